package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
)

// An importPlan is what becomes of the records of a zone.
type importPlan struct {
	source string
	blocks []*blockPlan // one for each name with records
	notes  []string     // about the zone as a whole
}

// A blockPlan is one kms block.
type blockPlan struct {
	zones   []string // that whose records they are, then those whose service name is an alias of it
	ns      []string // for a zone that is the service name itself
	ttl     uint32   // the lowest of the records'
	records []*taking
	notes   []string
}

// A taking is one SRV record and what becomes of it.
type taking struct {
	target string       // as the record has it
	host   config.Host  // as a Corefile would have it, without addresses
	known  []netip.Addr // that the zone has
	drop   []string     // why it is commented out; none: it is taken over
	notes  []string     // what else is to be said of it
	twin   *taking      // the same host and port, which stands for it too
	result *probe.Result
}

// planImport decides what can be decided without asking anybody.
func planImport(z *zoneContents, licensed licenses) *importPlan {
	plan := &importPlan{source: z.source}
	for _, name := range slices.Sorted(maps.Keys(z.services)) {
		if !plan.writable(name) {
			continue
		}
		b := &blockPlan{zones: []string{zoneOf(name)}}
		if z.apex == name {
			b.delegated(z)
		}
		records := z.services[name]
		// The order in which clients try them. Of two records of one host the one that they would try first stays.
		slices.SortStableFunc(records, func(a, b *dns.SRV) int {
			return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight),
				cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
		})
		b.ttl = records[0].Hdr.Ttl
		for _, rr := range records {
			b.ttl = min(b.ttl, rr.Hdr.Ttl)
			b.records = append(b.records, b.take(z, rr, licensed))
		}
		plan.blocks = append(plan.blocks, b)
	}
	plan.others(z)
	slices.SortStableFunc(plan.blocks, func(a, b *blockPlan) int { // parents first
		return cmp.Compare(dns.CountLabel(a.zones[0]), dns.CountLabel(b.zones[0]))
	})
	return plan
}

// writable is whether the zone whose service name is name can stand in a Corefile, and is not taken for something else there, with
// a port or a prefix length. If not, that is noted.
func (p *importPlan) writable(name string) bool {
	zone := zoneOf(name)
	if strings.ContainsAny(name, `\"{}#*`) || !slices.Equal(plugin.Host(withoutDot(zone)).NormalizeExact(), []string{zone}) {
		p.notes = append(p.notes, fmt.Sprintf("%s: a zone of that name cannot stand in a Corefile", name))
		return false
	}
	return true
}

// zoneOf is the zone whose service name is name.
func zoneOf(name string) string {
	return cmp.Or(strings.TrimPrefix(name, config.ServiceName(".")), ".")
}

// delegated makes b a block for the service name as a zone of its own, which needs its name servers.
func (b *blockPlan) delegated(z *zoneContents) {
	ns := []string{z.primary}
	for _, server := range z.servers[z.apex] {
		if !slices.Contains(ns, server) {
			ns = append(ns, server)
		}
	}
	if err := config.ValidateNS(ns, []string{z.apex}); err != nil {
		b.notes = append(b.notes, fmt.Sprintf("%s is a zone of its own, but its name servers cannot be: %v", z.apex, err))
		return
	}
	b.zones, b.ns = []string{z.apex}, ns
}

// others notes service names that have no records here: aliases, which become zones of a block, and delegations.
func (p *importPlan) others(z *zoneContents) {
	for _, name := range slices.Sorted(maps.Keys(z.aliases)) {
		if !config.Delegated(name) {
			continue
		}
		end, _ := z.follow(name)
		i := slices.IndexFunc(p.blocks, func(b *blockPlan) bool { return config.ServiceName(b.zones[0]) == end })
		if i < 0 {
			p.notes = append(p.notes, fmt.Sprintf("%s is an alias of %s, which is not in the zone: nothing was taken over for it", name, end))
			continue
		}
		if p.writable(name) {
			p.blocks[i].zones = append(p.blocks[i].zones, zoneOf(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(z.servers)) {
		if config.Delegated(name) && name != z.apex {
			p.notes = append(p.notes, fmt.Sprintf("%s is delegated to %s: what stands there is in another zone",
				name, strings.Join(z.servers[name], ", ")))
		}
	}
}

// take judges one record. Those that b has already stand before it.
func (b *blockPlan) take(z *zoneContents, rr *dns.SRV, licensed licenses) *taking {
	name, ok := z.follow(rr.Target)
	if !ok {
		name = rr.Target
	}
	t := &taking{target: rr.Target, host: config.Host{Name: name, Port: rr.Port, Priority: rr.Priority, Weight: rr.Weight}}
	switch err := t.host.Validate(); {
	case rr.Target == ".":
		t.drop = append(t.drop, "the target \".\" says that there is no such service (RFC 2782)")
		return t
	case !ok:
		t.drop = append(t.drop, "the target is an alias that leads in a circle")
		return t
	case err != nil:
		t.drop = append(t.drop, err.Error())
		return t
	}
	if name != rr.Target {
		t.notes = append(t.notes, fmt.Sprintf("the record names %s, an alias, which RFC 2782 forbids", rr.Target))
	}
	t.known = z.addresses[name]
	for _, earlier := range b.records {
		if earlier.host.Endpoint() == t.host.Endpoint() {
			t.twin = earlier
			t.drop = append(t.drop, fmt.Sprintf("duplicate: the same host and port stands above with priority %d weight %d",
				earlier.host.Priority, earlier.host.Weight))
			return t
		}
	}
	if !licensed.has(name, rr.Target) {
		t.drop = append(t.drop, "not a licensed host of the list")
	}
	return t
}

// probe asks each host once. Addresses that the zone has not are looked up.
func (p *importPlan) probe(ctx context.Context, prober probe.Prober) {
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, probe.InFlight)
	for _, b := range p.blocks {
		for _, t := range b.records {
			if t.twin != nil || t.host.Validate() != nil {
				continue
			}
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				r := probeKnown(ctx, prober, t.host, t.known)
				t.result = &r
			})
		}
	}
}

// probeKnown asks h at the addresses that are known of it or, if there are none, at those that its name has for this machine.
func probeKnown(ctx context.Context, prober probe.Prober, h config.Host, known []netip.Addr) probe.Result {
	if len(known) == 0 {
		return probeHost(ctx, prober, h.Endpoint())
	}
	return prober.Probe(ctx, known, h.Port)
}

// isStale says whether r, of a host that DNS names, says that the host is of no use to clients; certain is false if nothing is
// known.
func isStale(r probe.Result) (stale, certain bool) {
	if r.Outcome.Verdict() {
		return r.Outcome != probe.Passed, true
	}
	var missing *net.DNSError
	gone := errors.As(r.Err, &missing) && missing.IsNotFound
	return gone, gone
}

// conclude decides by what the probes found.
func (p *importPlan) conclude(z *zoneContents) {
	for _, b := range p.blocks {
		taken := 0
		for _, t := range b.records {
			if t.result != nil {
				t.conclude(*t.result)
			}
			if len(t.drop) > 0 {
				continue
			}
			if taken++; taken > config.MaxHosts {
				t.drop = append(t.drop, fmt.Sprintf("more than %d hosts in one block", config.MaxHosts))
			}
		}
	}
	if z.found == 0 {
		p.notes = append(p.notes, "no _vlmcs._tcp record in "+z.source)
	}
}

func (t *taking) conclude(r probe.Result) {
	switch stale, certain := isStale(r); {
	case stale:
		t.drop = append(t.drop, fmt.Sprintf("stale: %s", r))
	case !certain:
		t.notes = append(t.notes, fmt.Sprintf("not checked: %s", r))
	case len(t.drop) > 0:
		t.drop = append(t.drop, "yet it answers as a KMS host")
	}
}

// status is how the import went as a whole.
func (p *importPlan) status() exitStatus {
	taken, changed := 0, len(p.notes)
	for _, b := range p.blocks {
		changed += len(b.notes)
		for _, t := range b.records {
			if len(t.drop) == 0 {
				taken++
			}
			changed += len(t.drop) + len(t.notes)
		}
	}
	switch {
	case taken == 0:
		return statusCritical
	case changed > 0:
		return statusWarning
	}
	return statusOK
}

// ttlFor is the TTL that a block gets for records that had old, zero for the default, and what is to be said about it.
func ttlFor(old uint32) (d time.Duration, note string) {
	d = time.Duration(old) * time.Second
	if config.ValidateTTL(d) == nil {
		return d, ""
	}
	note = fmt.Sprintf("the zone has a TTL of %s; here it is %s, the default: ", d, config.Default().TTL)
	if d > config.MaxTTL {
		return 0, note + fmt.Sprintf("with more than %s a dead host would live on in resolvers. They may keep the old records for %s after the change",
			config.MaxTTL, d)
	}
	return 0, note + "no cache would keep the answer"
}
