package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// unknownError says that no endpoint is what a person wrote.
type unknownError struct {
	host  string
	known []string
}

func (e *unknownError) Error() string {
	if len(e.known) == 0 {
		return fmt.Sprintf("no host %q: there are no hosts at all", e.host)
	}
	return fmt.Sprintf("no host %q: there is %s", e.host, list(e.known))
}

// ambiguousError says that several are.
type ambiguousError struct {
	host string
	all  []string
}

func (e *ambiguousError) Error() string {
	return fmt.Sprintf("%q is several hosts: %s: say which, with its port", e.host, list(e.all))
}

// list is names in words, not more than somebody reads.
func list(names []string) string {
	const most = 20
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// match is the one of endpoints that a person means by host: in any case, with or without the dot at the end, with or
// without a port. Without a port it must be the only one with that name.
func match(host string, endpoints []string) (string, error) {
	endpoints = slices.Sorted(slices.Values(endpoints))
	endpoints = slices.Compact(endpoints)
	name, port, err := split(host)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range endpoints {
		n, p, err := config.SplitHost(e)
		if err == nil && plain(n) == name && (port == 0 || p == port) {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return "", &unknownError{host, endpoints}
	case 1:
		return found[0], nil
	}
	return "", &ambiguousError{host, found}
}

// split is host in the spelling of endpoints, and its port, 0 if it has none.
func split(host string) (name string, port uint16, err error) {
	if host == "" {
		return "", 0, fmt.Errorf("no host: a name as in kms1.example.org, with its port if there are several")
	}
	if len(host) > maxHost {
		return "", 0, fmt.Errorf("a host of %d octets: at most %d", len(host), maxHost)
	}
	name, port, err = config.SplitHost(host)
	if err != nil {
		return "", 0, err
	}
	if portless(host) {
		port = 0
	}
	return plain(name), port, nil
}

// portless is whether host, which SplitHost took, is without a port.
func portless(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || strings.HasSuffix(host, "]") || !strings.Contains(host, ":")
}

// plain is the one spelling of a name or an address.
func plain(name string) string {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
