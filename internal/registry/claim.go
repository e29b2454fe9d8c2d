package registry

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// A host that was up once stays this long after it was last up, if the lease is not shorter: the time in which a KMS host
// that lives announces itself again.
const afterHealth = 24 * time.Hour

// Claim is one KMS host that announced itself.
type Claim struct {
	Target   string       `json:"target"`           // absolute, lower-case
	Port     uint16       `json:"port"`             // not 0
	Priority uint16       `json:"priority"`         //
	Weight   uint16       `json:"weight"`           //
	Owner    string       `json:"owner"`            // who may change it: "key NAME" or "address IP"
	Source   netip.Addr   `json:"source"`           // where the last announcement came from
	Hints    []netip.Addr `json:"hints,omitempty"`  // what Target resolved to then, at most config.MaxAddresses; not to be changed
	Updated  time.Time    `json:"updated"`          // last announcement
	Healthy  time.Time    `json:"healthy,omitzero"` // last time its state was seen Up, to the minute; zero if it never was
}

// Endpoint names the host as the pool and config.Host do: "kms1.example.org:1688".
func (c Claim) Endpoint() string { return config.Host{Name: c.Target, Port: c.Port}.Endpoint() }

// Expires is when the claim ends unless it is announced, or seen up, again: lease after the last announcement, or, if it was
// up since, a day after it last was, or lease if that is shorter.
func (c Claim) Expires(lease time.Duration) time.Time {
	if c.Updated.After(c.Healthy) {
		return c.Updated.Add(lease)
	}
	return c.Healthy.Add(min(afterHealth, lease))
}

// proved is whether c need not prove itself to a pool that does not know it: it was up not long ago.
func (c Claim) proved(now time.Time) bool {
	return !c.Healthy.IsZero() && now.Sub(c.Healthy) <= afterHealth
}

// host is c as a pool knows it, with the addresses that were announced for its name.
func (c Claim) host(addresses []netip.Addr) config.Host {
	return config.Host{Name: c.Target, Port: c.Port, Priority: c.Priority, Weight: c.Weight, Addresses: addresses}
}

// normal is c in the one form that is kept, or what is wrong with it.
func (c Claim) normal() (Claim, error) {
	c.Target = strings.ToLower(c.Target)
	if !strings.HasSuffix(c.Target, ".") {
		return c, fmt.Errorf("target %q: an absolute name, as in \"kms1.example.org.\"", c.Target)
	}
	c.Hints = usable(c.Hints)
	c.Updated, c.Healthy = plain(c.Updated), plain(c.Healthy)
	return c, c.host(nil).Validate()
}

// usable is the first config.MaxAddresses of hints that can be a host's. The others are dropped: they are only hints.
func usable(hints []netip.Addr) []netip.Addr {
	var kept []netip.Addr
	for _, a := range hints {
		h := config.Host{Addresses: []netip.Addr{a}, Port: config.DefaultPort}
		if h.Validate() == nil && !slices.Contains(kept, a) && len(kept) < config.MaxAddresses {
			kept = append(kept, a)
		}
	}
	return kept
}

func (c Claim) equal(o Claim) bool {
	return c.Target == o.Target && c.Port == o.Port && c.Priority == o.Priority && c.Weight == o.Weight && c.Owner == o.Owner &&
		c.Source == o.Source && slices.Equal(c.Hints, o.Hints) && c.Updated.Equal(o.Updated) && c.Healthy.Equal(o.Healthy)
}

// Address is an A or AAAA record that was announced.
type Address struct {
	Name    string     `json:"name"`    // absolute, lower-case
	IP      netip.Addr `json:"ip"`      // of one machine, without a zone
	Owner   string     `json:"owner"`   // who may change it, as in Claim
	Source  netip.Addr `json:"source"`  // where the last announcement came from
	Updated time.Time  `json:"updated"` // last announcement
}

// normal is a in the one form that is kept, or what is wrong with it.
func (a Address) normal() (Address, error) {
	a.Name, a.Updated = strings.ToLower(a.Name), plain(a.Updated)
	switch {
	case !strings.HasSuffix(a.Name, "."):
		return a, fmt.Errorf("name %q: an absolute name, as in \"kms1.example.org.\"", a.Name)
	case a.IP.Is4In6():
		return a, fmt.Errorf("address %s: an IPv4 address belongs in an A record", a.IP)
	}
	return a, config.Host{Name: a.Name, Addresses: []netip.Addr{a.IP}, Port: config.DefaultPort}.Validate()
}

func (a Address) equal(o Address) bool {
	return a.Name == o.Name && a.IP == o.IP && a.Owner == o.Owner && a.Source == o.Source && a.Updated.Equal(o.Updated)
}

// plain is t as a clock on the wall has it: what is read back from a store equals it.
func plain(t time.Time) time.Time { return t.Round(0).UTC() }
