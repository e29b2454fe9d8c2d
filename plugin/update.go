package plugin

import (
	"context"
	"net/netip"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/tsig"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/internal/registry"

	"github.com/miekg/dns"
)

// maxUpdateRecords bounds the prerequisites and changes of one UPDATE together. A KMS host sends two or three.
const maxUpdateRecords = 64

// updates is what all UPDATEs to one handler share.
type updates struct {
	names   *hostNames
	resolve func(ctx context.Context, name string) ([]netip.Addr, error) // the machine's resolver
	lookups lookupPlaces
	lines   lineLimiter
}

func newUpdates(sites []*Site) *updates {
	return &updates{names: newHostNames(sites), resolve: probe.NewResolver().Resolve}
}

// update is one UPDATE (RFC 2136).
type update struct {
	site    *Site  // whose block has the zone; nil if none has
	zone    string // of its zone section, absolute and lower-case
	around  string // zone of the block that it is for
	service string // the service name in that
	apex    []dns.RR

	from   netip.AddrPort
	key    string // that it is signed with; empty: none
	who    requester
	barred *refusal // why its sender may announce nothing; nil if it may

	prerequisites, changes []dns.RR
}

// serveUpdate answers an UPDATE. One that is for nothing of ours goes to the dynupdate plugin, if there is one, and to no
// other: what answers questions alone would take it for one, or send it on in our name.
func (h *Handler) serveUpdate(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	u := h.newUpdate(ctx, w, r)
	if len(r.Question) != 1 || r.Question[0].Qtype != dns.TypeSOA {
		return h.answer(w, r, u, malformed(dns.RcodeFormatError, "the zone section must have one record, of type SOA"))
	}
	ours, mixed := u.concerns(h.Dynupdate)
	if !ours {
		if h.Dynupdate {
			return plugin.NextOrFailure(Name, h.Next, ctx, w, r)
		}
		return h.answer(w, r, u, &refusal{dns.RcodeNotAuth, updateNotAuth, "it is for nothing that a kms block has"})
	}
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	changed, refused := h.carryOut(ctx, w, u, mixed)
	if refused == nil && !changed {
		return h.answer(w, r, u, &refusal{dns.RcodeSuccess, updateUnchanged, "all of it is so already"})
	}
	return h.answer(w, r, u, refused)
}

func (h *Handler) newUpdate(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) *update {
	u := &update{from: sender(w), prerequisites: r.Answer, changes: r.Ns}
	u.key, _ = tsig.ValidatedKeyName(ctx)
	if len(r.Question) != 1 {
		return u
	}
	u.zone = dns.CanonicalName(r.Question[0].Name)
	o := h.zoneOwner(u.zone)
	if o == nil || r.Question[0].Qclass != dns.ClassINET {
		return u
	}
	u.site, u.around, u.service = o.site, o.zone, o.name
	if u.zone == u.service && o.cut != nil {
		u.apex = append([]dns.RR{o.cut.journal().SOA()}, o.cut.ns...)
	}
	var why string
	switch u.who, why = identify(u.site.Update, u.from.Addr(), u.key); {
	case u.site.Update != nil && u.site.Update.Observe:
		u.barred = &refusal{dns.RcodeRefused, updateObserved, "only watching: nobody may announce anything"}
	case why != "":
		u.barred = refuse("%s", why)
	case u.site.Registry == nil:
		u.barred = failure("nothing can be kept: the log has the reason, from when this configuration was loaded")
	}
	return u
}

// zoneOwner is the service name that an UPDATE of zone may be about; nil if zone is none of ours. Who asks for the SOA record
// around a service name is told that of the zone, or, with ns, that of the name itself.
func (h *Handler) zoneOwner(zone string) *owner {
	o := h.owners[config.ServiceName(zone)]
	if o == nil || zone != o.zone && zone != o.name {
		return nil
	}
	return o
}

// concerns is whether u is for us, and whether it is for others too. dynupdate says that there is a better place than us for
// the addresses of hosts, and for messages that change nothing.
func (u *update) concerns(dynupdate bool) (ours, mixed bool) {
	if u.site == nil {
		return false, false
	}
	if u.zone == u.service {
		return true, false
	}
	others, claims := false, u.claims()
	for _, rr := range u.changes {
		name := dns.CanonicalName(rr.Header().Name)
		switch {
		case !dns.IsSubDomain(u.zone, name): // NOTZONE, whoever has to say so
		case dns.IsSubDomain(u.service, name), u.isHost(name, rr.Header().Rrtype, claims, dynupdate):
			ours = true
		default:
			others = true
		}
		if ours && others {
			return true, true
		}
	}
	if len(u.changes) == 0 {
		for _, rr := range u.prerequisites {
			ours = ours || dns.IsSubDomain(u.service, dns.CanonicalName(rr.Header().Name))
		}
	}
	// With nothing in the zone to change it is a question, as some updaters put it before they change something.
	return ours || !others && !dynupdate && !u.stranger(), false
}

// isHost is whether a change of name and type is the announcement of a host's addresses that concerns us. All the machines of
// a network may try to tell theirs: without a claim to be a KMS host, it is those who may announce one that count.
func (u *update) isHost(name string, rrtype uint16, claims map[string]bool, dynupdate bool) bool {
	if rrtype != dns.TypeA && rrtype != dns.TypeAAAA && rrtype != dns.TypeANY || config.ValidateHostName(name) != nil {
		return false
	}
	if claims[name] || u.announced(name) != nil {
		return true
	}
	return !dynupdate && (!u.stranger() || u.claimed(name))
}

// stranger is whether the sender may announce nothing, now and later.
func (u *update) stranger() bool { return u.barred != nil && u.barred.result != updateFailed }

// claims is the hosts that u announces.
func (u *update) claims() map[string]bool {
	claims := make(map[string]bool)
	for _, rr := range u.changes {
		if srv, ok := rr.(*dns.SRV); ok && srv.Hdr.Class == dns.ClassINET {
			claims[dns.CanonicalName(srv.Target)] = true
		}
	}
	return claims
}

// claimed is whether the host called name is announced.
func (u *update) claimed(name string) bool {
	if u.site.Registry == nil {
		return false
	}
	for _, c := range u.site.Registry.Snapshot().Claims {
		if c.Target == name {
			return true
		}
	}
	return false
}

// carryOut does what u asks for, or says why not. The order is that of RFC 2136 3, but for the question who may announce
// anything at all: strangers are told nothing of what is in the zone, and have nothing looked up.
func (h *Handler) carryOut(ctx context.Context, w dns.ResponseWriter, u *update, mixed bool) (changed bool, refused *refusal) {
	switch n := len(u.prerequisites) + len(u.changes); {
	case n > maxUpdateRecords:
		return false, beyond("%d records in one UPDATE: at most %d", n, maxUpdateRecords)
	case u.barred != nil:
		return false, u.barred
	case mixed:
		return false, refuse("it is for other names than those of KMS hosts too: send those by themselves")
	}
	looked, r := h.lookUp(ctx, w, u)
	if r != nil {
		return false, r
	}
	p := &policy{who: u.who, service: u.service, names: h.updates.names, looked: looked, ports: u.site.Update.Ports}
	err := u.site.Registry.Change(ctx, func(d *registry.Draft) error {
		before := u.contents(d, looked)
		after, diff, r := u.decide(p, before)
		if r != nil {
			return r
		}
		changed = !diff.empty()
		return u.keep(d, p, after, diff)
	})
	return changed, classify(err)
}

// decide is RFC 2136 3.2 to 3.4: what before becomes, or why it stays as it is.
func (u *update) decide(p *policy, before *contents) (after *contents, d difference, r *refusal) {
	if r = prerequisites(before, u.prerequisites); r != nil {
		return nil, d, r
	}
	if r = p.permits(before, u.changes); r != nil {
		return nil, d, r
	}
	if r = prescan(u.zone, u.changes); r != nil {
		return nil, d, r
	}
	after = before.apply(u.changes, u.who.owner)
	d = after.difference(before)
	return after, d, p.judge(before, after, d)
}

// answer replies with what became of u, and tells the operator.
func (h *Handler) answer(w dns.ResponseWriter, r *dns.Msg, u *update, refused *refusal) (int, error) {
	if refused == nil {
		refused = &refusal{rcode: dns.RcodeSuccess, result: updateAccepted}
	}
	h.updates.report(u, refused)
	m := new(dns.Msg)
	m.SetRcode(r, refused.rcode)
	return dns.RcodeSuccess, w.WriteMsg(m) // by WriteMsg, or else the tsig plugin would not sign it
}
