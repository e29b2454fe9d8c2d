package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

var zoneRules = []Rule{
	{Name: "shadowed-srv", Severity: Warning, block: shadowedSRV,
		Reason: "records of the zone below that kms answers for are seen by nobody but secondaries of that zone, and go stale"},
	{Name: "last-resort-srv", Severity: Note, block: lastResortSRV,
		Reason: "with fallthrough, static records are answered where kms would answer nothing: nobody probes them"},
	{Name: "hidden-zone", Severity: Warning, block: hiddenZone,
		Reason: "CoreDNS gives a question to the server block with the longest zone alone"},
	{Name: "nested-zones", Severity: Note, block: nestedZones,
		Reason: "a zone inside another is answered from its own block alone"},
	{Name: "nothing-below", Severity: Note, block: nothingBelow,
		Reason: "names of a zone that kms does not own get SERVFAIL if no plugin stands behind it"},
	{Name: "not-delegated", Severity: Warning, block: notDelegated,
		Reason: "a zone of its own (ns) that the zone above does not delegate is found by nobody who asks the other servers " +
			"of that zone"},
	{Name: "delegated-elsewhere", Severity: Warning, block: delegatedElsewhere,
		Reason: "the zone above and the block must name the same servers, or half of the questions go astray"},
	{Name: "no-transfer", Severity: Warning, block: noTransfer,
		Reason: "secondaries that ns names can fetch the zone only through the transfer plugin"},
	{Name: "dnssec-cut", Severity: Note, block: dnssecCut,
		Reason: "where dnssec signs and the zone around is in the same server block, validating clients see no zone of its own"},
}

// falls says whether questions for name fall through.
func (b Block) falls(name string) bool {
	return slices.ContainsFunc(b.Fall, func(z string) bool { return inside(name, z) })
}

// inside says whether name is zone or below it; both are absolute and lower-case.
func inside(name, zone string) bool {
	return zone == "." || name == zone || strings.HasSuffix(name, "."+zone)
}

// static is the zone's own records in words, with those that no host of b has marked.
func (b Block) static(records []Record) string {
	var words []string
	for i, r := range records {
		if i == 5 {
			words = append(words, fmt.Sprintf("and %d more", len(records)-i))
			break
		}
		stray := ""
		if !slices.ContainsFunc(b.Hosts, func(h config.Host) bool { return h.Name == r.Target && h.Port == r.Port }) {
			stray = ", which is no host here"
		}
		words = append(words, fmt.Sprintf("%d %d %d %s%s", r.Priority, r.Weight, r.Port, bare(r.Target), stray))
	}
	return strings.Join(words, "; ")
}

func shadowedSRV(v view, say sayer) {
	b := v.block
	for _, z := range b.Zones {
		service := config.ServiceName(z)
		if below := b.Below[z]; len(below.SRV) > 0 && !b.falls(service) {
			say(b.Places.Of(), "the zone below has SRV records of its own at %s (%s): kms answers, and nobody sees them; "+
				"remove them there",
				bare(service), b.static(below.SRV))
		}
	}
}

func lastResortSRV(v view, say sayer) {
	b := v.block
	for _, z := range b.Zones {
		service := config.ServiceName(z)
		if below := b.Below[z]; len(below.SRV) > 0 && b.falls(service) {
			when := "all hosts are down or drained"
			if b.AllDown != config.NoData {
				when = fmt.Sprintf("all hosts are drained; with all_down %s not if they are down, as they would be with "+
					"\"all_down nodata\"", b.AllDown)
			}
			say(b.Places.Of("fallthrough"), "SRV records of the zone below at %s (%s) are the last resort: answered, unprobed, "+
				"only if %s",
				bare(service), b.static(below.SRV), when)
		}
	}
}

// longest is the longest of zones that name is in; empty: none.
func longest(name string, zones []string) string {
	best := ""
	for _, z := range zones {
		if inside(name, z) && len(z) > len(best) {
			best = z
		}
	}
	return best
}

// meet says whether both server blocks get the questions of one socket, as far as can be told: a view or a bind may part them.
func (s Server) meet(other Server) bool {
	shared := slices.ContainsFunc(s.Listens, func(l string) bool { return slices.Contains(other.Listens, l) })
	if !shared || s.has("view") || other.has("view") {
		return false
	}
	words := func(s Server) (all []string) {
		for _, l := range s.Directives["bind"] {
			all = append(all, l.Words...)
		}
		slices.Sort(all)
		return all
	}
	return slices.Equal(words(s), words(other))
}

func hiddenZone(v view, say sayer) {
	for _, z := range v.block.Zones {
		service := config.ServiceName(z)
		mine := longest(service, v.server.Zones)
		for _, other := range v.file.Servers {
			if theirs := longest(service, other.Zones); len(theirs) > len(mine) && v.server.meet(other) {
				say(v.block.Places.Of(), "no question for %s comes here: all go to the server block of %s; move the kms block there",
					bare(service), bare(theirs))
				break
			}
		}
	}
}

func nestedZones(v view, say sayer) {
	for _, s := range v.file.Servers {
		for _, b := range s.Blocks {
			for _, outer := range b.Zones {
				for _, z := range v.block.Zones {
					if z != outer && inside(z, outer) && outer != "." && !config.Delegated(z) && b.Places.Of() != v.block.Places.Of() {
						say(v.block.Places.Of(), "%s lies in %s of the block on line %d: each is answered from its own hosts alone; "+
							"if both are to have the same hosts, one block can have both zones", bare(z), bare(outer), b.Places.Of().Line)
					}
				}
			}
		}
	}
}

func nothingBelow(v view, say sayer) {
	b := v.block
	if i := slices.IndexFunc(b.Zones, func(z string) bool { return !config.Delegated(z) }); i >= 0 && len(v.server.Behind) == 0 {
		say(b.Places.Of(), "no plugin stands behind kms: questions for other names in %s are answered SERVFAIL; "+
			"serve the zone with \"file\", pass them on with \"forward\", or take over only "+
			"%s", bare(b.Zones[i]), bare(config.ServiceName(b.Zones[i])))
	}
}

func notDelegated(v view, say sayer) {
	b := v.block
	for _, z := range b.Zones {
		below, known := b.Below[z]
		if service := config.ServiceName(z); known && len(b.NS) > 0 && len(below.NS) == 0 && v.server.has("transfer") {
			say(b.Places.Of("ns"), "%s is a zone of its own, but the zone below does not delegate it: its secondaries know "+
				"nothing of it; "+
				"add \"%s NS %s\" there", bare(service), service, b.NS[0])
		}
	}
}

func delegatedElsewhere(v view, say sayer) {
	b := v.block
	for _, z := range b.Zones {
		there := slices.Sorted(slices.Values(b.Below[z].NS))
		here := slices.Sorted(slices.Values(b.NS))
		service := config.ServiceName(z)
		switch {
		case len(there) == 0 || slices.Equal(there, here):
		case len(here) == 0:
			say(b.Places.Of(), "the zone below delegates %s to %s, but here it is no zone of its own: no SOA, no transfer; add "+
				"\"ns %s\", or remove the delegation",
				bare(service), bareAll(there), bareAll(there))
		default:
			say(b.Places.Of("ns"), "the zone below delegates %s to %s, and ns names %s; make them the "+
				"same", bare(service), bareAll(there), bareAll(here))
		}
	}
}

func bareAll(names []string) string {
	var all []string
	for _, n := range names {
		all = append(all, bare(n))
	}
	return strings.Join(all, " ")
}

func noTransfer(v view, say sayer) {
	if b := v.block; len(b.NS) > 1 && !v.server.has("transfer") {
		say(b.Places.Of("ns"), "ns names %d servers, and without the transfer plugin no secondary can fetch the zone; add "+
			"\"transfer { to ... }\", "+
			"or see that each of them runs kms itself", len(b.NS))
	}
}

func dnssecCut(v view, say sayer) {
	b := v.block
	if len(b.NS) == 0 || !v.server.has("dnssec") {
		return
	}
	for _, z := range b.Zones {
		if service := config.ServiceName(z); longest(service, v.server.Zones) != service {
			say(b.Places.Of("ns"), "dnssec signs here and the zone around is in this server block: who asks for signatures "+
				"sees no zone %s; "+
				"a server block of its own for it would be signed as such", bare(service))
			return
		}
	}
}
