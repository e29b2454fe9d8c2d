package plugin

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/coredns/coredns/plugin"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/registry"

	"github.com/miekg/dns"
)

// announcer answers for the addresses that hosts of one site announced. They count for names that are targets of announced
// KMS hosts alone, and without a key only of those that proved themselves: who may announce a host shall not give any name
// that it likes to its machine.
type announcer struct {
	site  *Site
	zones map[string]*owner // what the site's zones have in common: counters and the SOA record of denials; immutable
	table atomic.Pointer[announcedTable]
}

// announcedTable is the announced names of one moment, made by the first query after a change.
type announcedTable struct {
	snapshot *registry.Snapshot
	offered  *pool.Snapshot
	hosts    map[string]*announcedHost // by lower-case name
}

type announcedHost struct {
	name      string // lower-case
	zone      *owner
	addresses []netip.Addr
}

func newAnnouncer(s *Site) *announcer {
	a := &announcer{site: s, zones: map[string]*owner{}}
	for _, z := range s.Zones {
		a.zones[z] = &owner{site: s, zone: z, name: z}
	}
	return a
}

// ready returns the table of the present snapshot.
func (a *announcer) ready() *announcedTable {
	snapshot, offered := a.site.Registry.Snapshot(), a.site.Pool.Snapshot()
	if t := a.table.Load(); t != nil && t.snapshot == snapshot && t.offered == offered {
		return t
	}
	t := &announcedTable{snapshot: snapshot, offered: offered, hosts: map[string]*announcedHost{}}
	for _, c := range snapshot.Claims {
		if !strings.HasPrefix(c.Owner, ownerKey) && c.Healthy.IsZero() && !isOffered(offered, c.Target) {
			continue
		}
		addresses := snapshot.Addresses[c.Target]
		zone := plugin.Zones(a.site.Zones).Matches(c.Target)
		if len(addresses) == 0 || zone == "" || config.ValidateHostName(c.Target) != nil {
			continue
		}
		t.hosts[c.Target] = &announcedHost{c.Target, a.zones[zone], addresses}
	}
	a.table.Store(t) // two queries may both do this; both are right
	return t
}

// isOffered is whether clients are sent to a host of that name now.
func isOffered(s *pool.Snapshot, name string) bool {
	return slices.ContainsFunc(s.Records, func(r pool.Record) bool { return r.Name == name })
}

// announced returns the announced host called name, in whatever case; nil if there is none. It is not inlined for the reason
// that find is not.
//
//go:noinline
func (h *Handler) announced(name string) *announcedHost {
	if len(h.announcers) == 0 {
		return nil
	}
	var onStack [maxName]byte
	lower := appendLower(onStack[:0], name)
	for _, a := range h.announcers {
		if a.site.Registry == nil {
			continue
		}
		if host := a.ready().hosts[string(lower)]; host != nil {
			return host
		}
	}
	return nil
}

// appendLower appends name, in lower case, to dst.
func appendLower(dst []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// serveAnnounced answers a question for an announced host. Nobody announces a name that the next plugin has, so that is not
// asked.
func (h *Handler) serveAnnounced(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, host *announcedHost) (int, error) {
	q := query{ctx: ctx, handler: h, owner: host.zone}
	q.state.W, q.state.Req = w, r
	m := q.reply()
	name := host.name
	if !q.state.Do() { // as for other names: see spelling
		name = r.Question[0].Name
	}
	qtype := r.Question[0].Qtype
	if qtype == dns.TypeANY {
		m.Answer = []dns.RR{noSuchAnswer(name)}
		return q.write(m, Normal)
	}
	for _, a := range host.addresses {
		if qtype == dns.TypeA && a.Is4() || qtype == dns.TypeAAAA && a.Is6() {
			m.Answer = append(m.Answer, addressRecord(name, a, host.zone.site.TTLIn(pool.Calm)))
		}
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{q.soa(pool.Calm)}
		return q.write(m, NoData)
	}
	return q.write(m, Normal)
}
