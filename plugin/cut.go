package plugin

import (
	"context"
	"strings"

	"github.com/coredns/coredns/plugin"

	"github.com/coredns-kms/coredns-kms/internal/pool"

	"github.com/miekg/dns"
)

// cut is a service name that is a zone of its own, because its block says ns: with an SOA record, name servers, and
// everything below.
type cut struct {
	site *Site
	name string // absolute, lower-case
	apex *owner
	ns   []dns.RR

	// overlaid says that the zone around it is answered for by this server block too. It then is the parent, which has the
	// DS record of the cut (RFC 4035 3.1.4.1).
	overlaid bool
}

// Timers of the SOA record, in seconds. Secondaries are told of changes by NOTIFY: refresh bounds how long a dead host stays
// with one that missed it, for a question a minute (BIND asks no more than every five unless min-refresh-time says so).
// expire is the two weeks of RFC 1912 2.2: hosts that nobody checks any more are what every zone file has, and better than
// none. Denials are short, since what is denied here is a KMS host.
const (
	soaRefresh = 60
	soaRetry   = 30
	soaExpire  = 14 * 24 * 3600
	soaMinimum = quick
)

// apexSOA is the SOA record of a cut called name, with the primary name server ns.
func apexSOA(name, ns string, ttl, serial uint32) *dns.SOA {
	return &dns.SOA{
		Hdr:    dns.RR_Header{Name: name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:     ns,
		Mbox:   "hostmaster." + strings.TrimPrefix(name, serviceLabels),
		Serial: serial, Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: soaMinimum,
	}
}

// around is the zone around a service name.
func around(service string) string {
	if zone := strings.TrimPrefix(service, serviceLabels); zone != "" {
		return zone
	}
	return "."
}

func nameServers(name string, servers []string, ttl uint32) []dns.RR {
	all := make([]dns.RR, len(servers))
	for i, s := range servers {
		h := dns.RR_Header{Name: name, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: ttl}
		all[i] = &dns.NS{Hdr: h, Ns: s}
	}
	return all
}

// newCut is the zone at apex, a service name of a site that has name servers.
func newCut(apex *owner, origins []string) *cut {
	s := apex.site
	return &cut{
		site: s, name: apex.name, apex: apex,
		ns:       nameServers(apex.name, s.NS, s.TTLIn(pool.Calm)),
		overlaid: plugin.Zones(origins).Contains(around(apex.name)),
	}
}

func (c *cut) journal() *Journal { return c.site.Journals[c.name] }

// cutAround is the cut that name is below of, or nil. It makes no string: names that are none of ours come by here. It is not
// inlined for the reason that find is not.
//
//go:noinline
func (h *Handler) cutAround(name string) *cut {
	if len(h.cuts) == 0 {
		return nil
	}
	var onStack [maxName]byte
	lower := appendLower(onStack[:0], name)
	for i := 0; ; {
		next, end := dns.NextLabel(name, i)
		if end {
			return nil
		}
		i = next
		if c := h.cuts[string(lower[i:])]; c != nil {
			return c
		}
	}
}

// hides says that the answer to r has to be as if c were a part of the zone around it: the dnssec plugin will sign it with the
// keys of that zone, and validators do not believe an SOA or NS record, not even in a denial, that another zone than its own
// has signed.
func (h *Handler) hides(c *cut, r *dns.Msg) bool {
	if !h.Signed || !c.overlaid {
		return false
	}
	opt := r.IsEdns0()
	return opt != nil && opt.Do()
}

// atApex says that q is about the apex of a zone.
func (q *query) atApex() bool {
	c := q.owner.cut
	return c != nil && c.apex == q.owner && !q.handler.hides(c, q.state.Req)
}

// apex answers for the types that the apex of a zone has besides the service.
func (q *query) apex() (int, error) {
	switch q.state.QType() {
	case dns.TypeSOA:
		return q.own([]dns.RR{q.owner.cut.journal().SOA()})
	case dns.TypeNS:
		return q.own(q.owner.cut.ns)
	case dns.TypeAXFR, dns.TypeIXFR:
		return dns.RcodeRefused, nil // the transfer plugin did not take it, or is not there
	}
	return q.noData(pool.Calm)
}

// own answers with rrs, which are not changed.
func (q *query) own(rrs []dns.RR) (int, error) {
	m := q.reply()
	m.Answer = rrs[:len(rrs):len(rrs)] // dnssec appends its signatures
	if name := q.spelling(); name != q.owner.name {
		m.Answer = make([]dns.RR, len(rrs))
		for i, rr := range rrs {
			m.Answer[i] = dns.Copy(rr)
			m.Answer[i].Header().Name = name
		}
	}
	if room := q.room(nil); q.sealed() && m.Len() > room {
		m.Truncate(room) // the server does not, for a message that is signed
	}
	return q.write(m, Normal)
}

// cutSOA is a copy of the SOA record of the cut that a denial is about; nil if there is none. That there is no DS record at
// the apex of a cut is for the zone around it to say, where that is ours too.
func (q *query) cutSOA() *dns.SOA {
	c := q.owner.cut
	if c == nil || q.handler.hides(c, q.state.Req) || c.overlaid && c.apex == q.owner && q.state.QType() == dns.TypeDS {
		return nil
	}
	soa := *c.journal().SOA()
	return &soa
}

// deny answers for a name below the cut c that nobody has. With fallthrough the next plugin may have it.
func (h *Handler) deny(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, c *cut) (int, error) {
	q := query{ctx: ctx, handler: h, owner: c.apex}
	q.state.W, q.state.Req = w, r
	if c.site.Fall.Through(r.Question[0].Name) && h.Next != nil {
		below := &undenied{ResponseWriter: w}
		if code, err := plugin.NextOrFailure(Name, h.Next, ctx, below, r); plugin.ClientWrite(code) && !below.denied {
			return code, err
		}
	}
	m := q.reply()
	m.Rcode = dns.RcodeNameError
	soa := *c.journal().SOA()
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	m.Ns = []dns.RR{&soa}
	return q.write(m, NXDomain)
}

// undenied does not pass on that a name does not exist: the zone that the name is in is ours, and so is its SOA record.
type undenied struct {
	dns.ResponseWriter
	denied bool
}

func (w *undenied) WriteMsg(m *dns.Msg) error {
	if m.Rcode == dns.RcodeNameError {
		w.denied = true
		return nil
	}
	return w.ResponseWriter.WriteMsg(m)
}
