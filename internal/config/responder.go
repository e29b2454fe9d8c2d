package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Policy is how the responder shares clients out among hosts of equal priority.
type Policy uint8

const (
	Concentrate Policy = iota // fill one host after the other, so that each gets over the activation thresholds
	Spread                    // RFC 2782 weights from the start
)

var policyWords = [...]string{Concentrate: "concentrate", Spread: "spread"}

func (p Policy) String() string { return word(policyWords[:], p) }

// ParsePolicy reads the word of a Corefile.
func ParsePolicy(s string) (Policy, error) { return parseWord[Policy]("policy", policyWords[:], s) }

// Responder is the responder of one block.
type Responder struct {
	Address   string         // to listen on, host:port
	Allow     []netip.Prefix // client networks; at least one
	Policy    Policy
	Warm      int           // clients to keep each standby's count at; 0 is off, at most 50
	Advertise Advertise     // this node in the SRV answer
	Budget    time.Duration // for one call with every try in it; 1 s to 1 min

	Connections int // open at once
	PerClient   int // open at once from one address
	Rate        int // requests from one address in a minute
}

// Advertise is this node as an SRV record. It is off if Name is empty.
type Advertise struct {
	Name             string // absolute, lower-case
	Priority, Weight uint16
}

// DefaultResponder is a responder block that says nothing.
func DefaultResponder() Responder {
	return Responder{
		Address: ":1688",
		Allow: []netip.Prefix{ // loopback, and what is not routed on the Internet
			netip.MustParsePrefix("127.0.0.0/8"),
			netip.MustParsePrefix("10.0.0.0/8"),
			netip.MustParsePrefix("172.16.0.0/12"),
			netip.MustParsePrefix("192.168.0.0/16"),
			netip.MustParsePrefix("169.254.0.0/16"),
			netip.MustParsePrefix("::1/128"),
			netip.MustParsePrefix("fc00::/7"),
			netip.MustParsePrefix("fe80::/10"),
		},
		Budget:      10 * time.Second,
		Connections: 10_000,
		PerClient:   100,
		Rate:        120,
	}
}

// Validate reports what is wrong with r, in words that say what would be right.
func (r Responder) Validate() error {
	switch {
	case len(r.Allow) == 0:
		return misplaced("responder allow", "allow: no network may use the responder: at least one")
	case r.Warm < 0 || r.Warm > 50:
		return misplaced("responder warm", "warm %d: from 0 (off) to 50, which is as far as a host counts", r.Warm)
	case r.Budget < time.Second || r.Budget > time.Minute:
		return misplaced("responder budget", "budget %s: from 1s to 1m", r.Budget)
	}
	for what, n := range map[string]int{"connections": r.Connections, "client": r.PerClient, "rate": r.Rate} {
		if n < 1 || n > 1_000_000 {
			return misplaced("responder limit "+what, "limit %s %d: from 1 to 1000000", what, n)
		}
	}
	if r.Advertise.Name != "" {
		if err := ValidateHostName(r.Advertise.Name); err != nil {
			return Misplaced{"responder advertise", err}
		}
	}
	return nil
}

// apart says whether h can be a host of the pool that r forwards to. The addresses of this machine are not known here: with a
// listener on all of them, what is refused is a loopback address, and the responder itself sees to the rest.
func (r Responder) apart(h Host) error {
	if h.Name != "" && h.Name == r.Advertise.Name {
		return misplaced("responder advertise", "responder: advertise %s: that is a KMS host of the pool: give the name of this machine", h.Name)
	}
	address, port, err := net.SplitHostPort(r.Address)
	if err != nil || port != strconv.Itoa(int(h.Port)) {
		return nil
	}
	listens, err := netip.ParseAddr(address)
	everywhere := err != nil || listens.IsUnspecified()
	for _, a := range h.Addresses {
		if a == listens.Unmap() || everywhere && a.IsLoopback() {
			return misplaced("host "+h.Endpoint(), "host %s: %s is the responder of this block, so that each call would come back to it: "+
				"give the KMS host's own address", h.Endpoint(), netip.AddrPortFrom(a, h.Port))
		}
	}
	return nil
}

// Limit is what of r turned a client away for a reason, a word of the metric responder_refused_total.
func (r Responder) Limit(reason string) string {
	switch reason {
	case "network":
		return "not in a network of allow"
	case "connections":
		return fmt.Sprintf("limit connections %d", r.Connections)
	case "client":
		return fmt.Sprintf("limit client %d", r.PerClient)
	case "rate":
		return fmt.Sprintf("limit rate %d", r.Rate)
	}
	return "its call came back here while it was under way"
}

// Rehearse is one rehearsal host.
type Rehearse struct {
	Address            string // to listen on, host:port
	Secret             string // the site's; empty for the default
	Group              Key    // which products it serves
	ActivationInterval time.Duration
	RenewalInterval    time.Duration
}

// DefaultRehearse is a rehearsal host at address whose block says nothing.
func DefaultRehearse(address string) Rehearse {
	return Rehearse{Address: address, ActivationInterval: 2 * time.Hour, RenewalInterval: 7 * 24 * time.Hour}
}

// Validate reports what is wrong with r, in words that say what would be right.
func (r Rehearse) Validate() error {
	for what, d := range map[string]time.Duration{"activation_interval": r.ActivationInterval, "renewal_interval": r.RenewalInterval} {
		if d < 15*time.Minute || d > 30*24*time.Hour || d%time.Minute != 0 {
			return misplaced("rehearse "+what, "%s %s: whole minutes from 15m to 720h, as a KMS host takes them", what, d)
		}
	}
	if len(r.Secret) > 256 {
		return misplaced("rehearse secret", "secret of %d octets: at most 256", len(r.Secret))
	}
	return nil
}
