// Package plugin is the DNS face: it turns questions for the names that kms owns into answers, from the snapshot that a pool
// published last. It checks no host and keeps no state of its own beyond records made ready.
package plugin

import (
	"context"
	"slices"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/fall"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/registry"

	"github.com/miekg/dns"
)

// Name is the plugin's name and its directive in a Corefile.
const Name = "kms"

// serviceLabels is what Windows clients ask for, in front of their DNS suffix.
const serviceLabels = "_vlmcs._tcp."

// Site is one kms block: the zones it answers for, and how.
type Site struct {
	config.Block
	Fall   fall.F        // zones whose questions of types that the block has not go to the next plugin
	Places config.Places // where in the Corefile what the block says stands

	// Pool must be set before the first query.
	Pool *pool.Pool

	// Registry has what was announced, if Update is set; it must be set before the first query. Without one nothing can be
	// announced.
	Registry *registry.Registry

	// Journals has the journal of each of the zones, by service name, if NS is set; it must be set before the first query.
	Journals map[string]*Journal
}

// Handler answers for every kms block of one server block. Its fields are set before the first query and not changed then.
type Handler struct {
	Next plugin.Handler

	// Checked says whether the first round of probes is over, in all of the process: the ready plugin hears only one kms
	// block of many.
	Checked func() bool

	// Signed says that the dnssec plugin stands in front and will add signatures to what it passes on.
	Signed bool

	// Sealed says that the tsig plugin stands in front and will sign replies to signed questions.
	Sealed bool

	// Direct says of a writer whether nobody looks at the records of a reply to it, so that it may be written as octets; nil:
	// of none.
	Direct func(dns.ResponseWriter) bool

	// Dynupdate says that Next is the dynupdate plugin, which gets the UPDATEs that are not for us.
	Dynupdate bool

	// Questions, if not nil, is told of each question for a service name: for people who want to know what a client was
	// answered.
	Questions *history.Clients

	owners    map[string]*owner // by lower-case name; immutable
	nonLeaves map[string]*owner // _tcp.<zone> and others that exist because something below them does; immutable
	cuts      map[string]*cut   // service names that are zones of their own; immutable

	announcers []*announcer // of the sites with Update; immutable
	updates    *updates
}

// New returns a handler for sites. No zone may stand in two of them. origins is the zones of the server block; every zone of a
// site is one of them or below one.
func New(sites []*Site, origins []string) *Handler {
	h := &Handler{owners: map[string]*owner{}, nonLeaves: map[string]*owner{}, cuts: map[string]*cut{}, updates: newUpdates(sites)}
	countUpdates(sites)
	for _, s := range sites {
		if s.Update != nil {
			h.announcers = append(h.announcers, newAnnouncer(s))
		}
		for _, zone := range s.Zones {
			h.add(s, zone, origins)
		}
	}
	return h
}

// add makes h answer for the names of s in zone.
func (h *Handler) add(s *Site, zone string, origins []string) {
	service := config.ServiceName(zone)
	o := &owner{site: s, zone: zone, name: service}
	h.owners[service] = o
	if len(s.NS) > 0 {
		o.cut = newCut(o, origins)
		h.cuts[service] = o.cut
	}
	for _, above := range between(service, origins) {
		h.nonLeaves[above] = &owner{site: s, zone: around(service), name: above}
	}
	for _, host := range s.Hosts {
		if host.Name == "" {
			made := &owner{site: s, zone: zone, name: madeUpName(host.Addresses[0], zone), address: host.Addresses[0]}
			if config.Delegated(zone) {
				made.cut = o.cut
			}
			h.owners[made.name] = made
		}
	}
}

// between is the names above name, as far as they are below an origin.
func between(name string, origins []string) []string {
	var all []string
	for {
		i, end := dns.NextLabel(name, 0)
		if end {
			return all
		}
		name = name[i:]
		if slices.Contains(origins, name) || !plugin.Zones(origins).Contains(name) {
			return all
		}
		all = append(all, name)
	}
}

// Name implements plugin.Handler.
func (h *Handler) Name() string { return Name }

// Ready implements ready.Readiness.
func (h *Handler) Ready() bool { return h.Checked() }

// CacheBypassZones implements cache.ZoneBypasser: no cache in this process may keep a dead host. It names exactly what kms
// owns, so that a zone below is cached as before.
func (h *Handler) CacheBypassZones() []string {
	names := make([]string, 0, len(h.owners))
	for name := range h.owners {
		names = append(names, name)
	}
	return names
}

// ServeDNS implements plugin.Handler.
func (h *Handler) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	if r.Opcode == dns.OpcodeUpdate {
		return h.serveUpdate(ctx, w, r)
	}
	if len(r.Question) != 1 || r.Opcode != dns.OpcodeQuery || r.Question[0].Qclass != dns.ClassINET {
		return plugin.NextOrFailure(Name, h.Next, ctx, w, r)
	}
	o, ours := h.find(r.Question[0].Name)
	if !ours {
		if o == nil {
			if c := h.cutAround(r.Question[0].Name); c != nil && !h.hides(c, r) {
				return h.deny(ctx, w, r, c)
			}
			if host := h.announced(r.Question[0].Name); host != nil {
				return h.serveAnnounced(ctx, w, r, host)
			}
			return plugin.NextOrFailure(Name, h.Next, ctx, w, r)
		}
		if host := h.announced(r.Question[0].Name); host != nil {
			return h.serveAnnounced(ctx, w, r, host) // a name on the way to another block's zone may be a host's
		}
		if h.Next != nil {
			// Who writes nothing, as hosts does for a name that it has not, knows nothing: the name exists all the same.
			if code, err := plugin.NextOrFailure(Name, h.Next, ctx, existing{w}, r); plugin.ClientWrite(code) {
				return code, err
			}
		}
	}
	q := query{ctx: ctx, handler: h, owner: o}
	q.state.W, q.state.Req = w, r // a literal would have its copy on the stack: see find
	if !ours {
		return q.noData(pool.Calm)
	}
	switch qtype := r.Question[0].Qtype; {
	case qtype == dns.TypeSRV && !o.address.IsValid():
		return q.service()
	case qtype == dns.TypeA && o.address.Is4(), qtype == dns.TypeAAAA && o.address.Is6():
		return q.address()
	case qtype == dns.TypeANY:
		return q.any()
	case q.atApex() && qtype != dns.TypeDS:
		return q.apex()
	}
	return q.noData(pool.Calm)
}

// maxName is the octets of a domain name (RFC 1035 2.3.4); written out with escapes it may have more.
const maxName = 255

// find returns the owner of name, in whatever case, or, if ours is false, of the name below it; nil for any other name. A lookup
// by the octets of a slice makes no string.
//
// It is not inlined, to keep its buffer out of the frame under WriteMsg: each query has a goroutine of its own, whose small
// stack is copied to a larger one when what is on it outgrows it.
//
//go:noinline
func (h *Handler) find(name string) (o *owner, ours bool) {
	var onStack [maxName]byte
	lower := appendLower(onStack[:0], name)
	if o, ours = h.owners[string(lower)]; ours {
		return o, true
	}
	return h.nonLeaves[string(lower)], false
}

// existing answers for an empty non-terminal. The plugin below knows nothing of _vlmcs and may deny the name above it, and a
// resolver that minimises its questions (RFC 9156) or believes that nothing is under a denied name (RFC 8020) would stop
// there. The name exists: NODATA.
type existing struct{ dns.ResponseWriter }

func (w existing) WriteMsg(m *dns.Msg) error {
	if m.Rcode == dns.RcodeNameError {
		m = m.Copy()
		m.Rcode = dns.RcodeSuccess
	}
	return w.ResponseWriter.WriteMsg(m)
}
