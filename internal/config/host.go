package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// DefaultPort is where a KMS host listens unless somebody moved it (slmgr /sprt).
const DefaultPort = 1688

// MaxAddresses bounds the addresses of one host, configured or resolved.
const MaxAddresses = 8

// Host is one KMS host of a block.
type Host struct {
	Name      string       // absolute, lower-case host name; empty for a host that is given by its address
	Addresses []netip.Addr // given ones, which are then never resolved; exactly one if Name is empty
	Port      uint16       // 1 to 65535
	Priority  uint16       // RFC 2782: lower is tried first
	Weight    uint16       // RFC 2782: share among equals; 0 is a value of its own, as KMS hosts publish it
	Key       Key          // what its KMS host key activates
}

// Endpoint names the host in logs, metrics and commands, and tells two hosts apart: "kms1.example.org:1688".
func (h Host) Endpoint() string {
	if h.Name == "" {
		return netip.AddrPortFrom(h.Addresses[0], h.Port).String()
	}
	return strings.TrimSuffix(h.Name, ".") + ":" + strconv.Itoa(int(h.Port))
}

// Validate reports what is wrong with h, in words that say what would be right.
func (h Host) Validate() error {
	if h.Name == "" && len(h.Addresses) != 1 {
		return fmt.Errorf("a host without a name has exactly one address")
	}
	if h.Name != "" {
		if err := ValidateHostName(h.Name); err != nil {
			return err
		}
	}
	if h.Port == 0 {
		return fmt.Errorf("host %q: port 0: a port from 1 to 65535", h.Endpoint())
	}
	if len(h.Addresses) > MaxAddresses {
		return fmt.Errorf("host %q: %d addresses: at most %d", h.Endpoint(), len(h.Addresses), MaxAddresses)
	}
	for i, a := range h.Addresses {
		if err := validateAddress(a); err != nil {
			return fmt.Errorf("host %q: %w", h.Endpoint(), err)
		}
		for _, earlier := range h.Addresses[:i] {
			if a == earlier {
				return fmt.Errorf("host %q: address %s twice", h.Endpoint(), a)
			}
		}
	}
	return nil
}

// validateAddress says whether clients elsewhere can be told to connect to a.
func validateAddress(a netip.Addr) error {
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast():
		return fmt.Errorf("address %s: the address of one machine, as in 192.0.2.10 or 2001:db8::10", a)
	case a.Zone() != "":
		return fmt.Errorf("address %s: an address without a zone: %%%s means nothing on another machine", a, a.Zone())
	}
	return nil
}

// ValidateHostName says whether name (absolute) can be the target of an SRV record: letters, digits and hyphens (RFC 952,
// RFC 1123 2.1), fully qualified, at most 253 octets.
func ValidateHostName(name string) error {
	text := strings.TrimSuffix(name, ".")
	labels := strings.Split(text, ".")
	for _, l := range labels {
		if !isHostLabel(l) {
			return fmt.Errorf("%q is not a host name: labels of letters, digits and hyphens, as in kms1.example.org", text)
		}
	}
	switch {
	case len(text) > 253:
		return fmt.Errorf("%q is not a host name: %d octets, at most 253", text, len(text))
	case len(labels) < 2:
		return fmt.Errorf("%q is not fully qualified: write the whole name, as in %s.example.org", text, text)
	case isNumber(labels[len(labels)-1]):
		return fmt.Errorf("%q is neither a host name nor an IP address: 192.0.2.10, 2001:db8::10 or kms1.example.org", text)
	}
	return nil
}

func isHostLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for _, c := range []byte(l) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

func isNumber(l string) bool { return strings.Trim(l, "0123456789") == "" }

// SplitHost reads NAME[:PORT], ADDRESS[:PORT], [ADDRESS6][:PORT] or a bare ADDRESS6. The name is as it was written and not
// checked; the port is DefaultPort if none is given.
func SplitHost(s string) (name string, port uint16, err error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, DefaultPort, nil
	}
	switch {
	case strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") && strings.Contains(s, ":"):
		return s[1 : len(s)-1], DefaultPort, nil
	case !strings.ContainsAny(s, ":[]"):
		return s, DefaultPort, nil
	}
	name, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q: NAME, NAME:PORT, 192.0.2.10:PORT or [2001:db8::10]:PORT", s)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q: port %q: a number from 1 to 65535", s, text)
	}
	return name, uint16(n), nil
}

// ParseHost reads what SplitHost does, and takes only a full host name or the address of one machine. The result has no
// priority or weight yet and, if it is a name, no address.
func ParseHost(s string) (Host, error) {
	name, port, err := SplitHost(s)
	if err != nil {
		return Host{}, err
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return Host{Addresses: []netip.Addr{a.Unmap()}, Port: port}, validateAddress(a)
	}
	name = strings.ToLower(strings.TrimSuffix(name, ".")) + "."
	return Host{Name: name, Port: port}, ValidateHostName(name)
}

// Key is the product group of a KMS host key. A host activates the products of its group and of those below it.
type Key uint8

const (
	Any Key = iota // not said: assume that the host activates whatever it is asked
	ClientVL
	ServerA
	ServerB
	ServerC
)

var keyWords = [...]string{Any: "any", ClientVL: "client-vl", ServerA: "server-a", ServerB: "server-b", ServerC: "server-c"}

func (k Key) String() string { return word(keyWords[:], k) }

// ParseKey reads the word of a Corefile.
func ParseKey(s string) (Key, error) { return parseWord[Key]("key", keyWords[:], s) }
