package plugin

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"

	"github.com/miekg/dns"
)

// requester is who sent an UPDATE, and for whom it may speak.
type requester struct {
	from  netip.Addr
	owner string // as registry.Claim has it: "key NAME" or "address IP"

	// key is that of the Corefile whose signature the UPDATE has; nil for one who speaks for itself alone.
	key *config.UpdateKey

	targets []string // patterns of the hosts that it may announce; none: any
}

// ownerKey is how an owner begins that has a key.
const ownerKey = "key "

// identify says who sent an UPDATE from an address, signed by the key of that name, or by none if it is empty; and if u lets
// that one announce nothing, why. A key that may not sign from there is as good as none.
func identify(u *config.Update, from netip.Addr, key string) (who requester, why string) {
	who = requester{from: from, owner: "address " + from.String()}
	if u == nil {
		return who, `its kms block has no "update"`
	}
	for i := range u.Keys {
		if k := &u.Keys[i]; k.Name == key && (len(k.From) == 0 || within(k.From, from)) {
			who.key, who.owner, who.targets = k, ownerKey+k.Name, k.Targets
			return who, ""
		}
	}
	if within(u.Allow, from) {
		who.targets = u.Targets
		return who, ""
	}
	if key != "" {
		return who, "neither key " + key + " nor " + from.String() + " may announce anything"
	}
	return who, from.String() + ` is in no network of "allow", and there is no signature`
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// covers is whether the requester has a key that is good for the host name (lower-case).
func (r *requester) covers(name string) bool { return r.key != nil && r.may(name) }

// may is whether the host name (lower-case) is among those that the requester may announce at all.
func (r *requester) may(name string) bool {
	return len(r.targets) == 0 || slices.ContainsFunc(r.targets, func(pattern string) bool {
		below, wild := strings.CutPrefix(pattern, "*.")
		if wild {
			return name != below && dns.IsSubDomain(below, name)
		}
		return name == pattern
	})
}

// sender is where the message came from that w answers.
func sender(w dns.ResponseWriter) netip.AddrPort {
	a := w.RemoteAddr()
	if wrapped, ok := a.(interface{ Unwrap() net.Addr }); ok { // of the proxyproto plugin
		a = wrapped.Unwrap()
	}
	var from netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		from = a.AddrPort()
	case *net.TCPAddr:
		from = a.AddrPort()
	}
	return netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
}
