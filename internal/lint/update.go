package lint

import (
	"net/netip"
	"slices"
	"time"
)

// publishing is how often a Windows KMS host announces itself.
const publishing = 24 * time.Hour

var updateRules = []Rule{
	{Name: "update-open", Severity: Warning, block: updateOpen,
		Reason: "whoever may announce a KMS host without a key can make every client ask for activation there"},
	{Name: "update-no-store", Severity: Warning, block: updateNoStore,
		Reason: "without a store what was announced is forgotten at a restart, and hosts announce themselves once a day"},
	{Name: "update-elsewhere", Severity: Warning, block: updateElsewhere,
		Reason: "KMS hosts send their updates to the primary that the SOA record names (MNAME)"},
	{Name: "update-observes", Severity: Note, block: updateObserves,
		Reason: "observe refuses everybody, whoever else is named beside it"},
	{Name: "lease-short", Severity: Note, block: leaseShort,
		Reason: "KMS hosts announce themselves once a day: a shorter lease forgets one that is not proved yet in between"},
	{Name: "no-store", Severity: Note, block: noStore,
		Reason: "drains, and who called when, are forgotten at a restart"},
}

// whole says whether p is everybody.
func whole(p netip.Prefix) bool { return p.Bits() == 0 }

// stored says whether the process has a store: one block that names it is enough for all.
func (c *Corefile) stored() bool {
	return slices.ContainsFunc(c.Servers, func(s Server) bool {
		return slices.ContainsFunc(s.Blocks, func(b Block) bool { return b.Store != "" })
	})
}

func updateOpen(v view, say sayer) {
	b := v.block
	if !b.grows() {
		return
	}
	if i := slices.IndexFunc(b.Update.Allow, whole); i >= 0 {
		say(b.Places.Of("update allow"), "update allow %s: anybody can announce a KMS host, and over UDP in anybody's name; "+
			"name the networks of the hosts, or use a key",
			b.Update.Allow[i])
	}
}

func updateNoStore(v view, say sayer) {
	if b := v.block; b.grows() && !v.file.stored() {
		say(b.Places.Of("update"), "update without a store: after a restart announced hosts are gone until they announce "+
			"themselves again, which Windows does once a day; "+
			"add \"store PATH\"")
	}
}

func updateElsewhere(v view, say sayer) {
	b := v.block
	if !b.grows() || len(v.file.Local) == 0 {
		return
	}
	for _, z := range b.Zones {
		primary, what := b.Below[z].MNAME, "the SOA record of the zone below"
		if len(b.NS) > 0 {
			primary, what = b.NS[0], "ns"
		}
		name := v.file.Names[primary]
		addresses := name.addresses()
		switch {
		case name.Resolver != nil && name.Resolver.Local:
		case primary == "" || slices.ContainsFunc(addresses, func(a netip.Addr) bool { return slices.Contains(v.file.Local, a) }):
		case len(addresses) > 0:
			say(b.Places.Of("update"), "updates for %s go to %s, which %s names as the primary and which is %s, not this machine; "+
				"name this server there, or say \"ns\" with its name first", bare(z), bare(primary), what, addresses[0])
		case name.Resolver != nil || name.Below != nil:
			say(b.Places.Of("update"), "updates for %s go to %s, which %s names as the primary and which has no address that "+
				"could be found; "+
				"name this server there, or say \"ns\" with its name first", bare(z), bare(primary), what)
		}
	}
}

func updateObserves(v view, say sayer) {
	b := v.block
	if b.Update != nil && b.Update.Observe && len(b.Update.Allow)+len(b.Update.Keys) > 0 {
		say(b.Places.Of("update observe"), "observe refuses those too whom allow and key name; remove it when you have seen enough")
	}
}

func leaseShort(v view, say sayer) {
	if b := v.block; b.grows() && b.Update.Lease < publishing {
		say(b.Places.Of("update lease"), "lease %s: KMS hosts announce themselves once a day, so one that does not pass a "+
			"probe at once is forgotten in between; 24h or more is better",
			short(b.Update.Lease))
	}
}

func noStore(v view, say sayer) {
	b := v.block
	if v.file.stored() || b.grows() || b.Responder == nil && b.Control == "" {
		return
	}
	what := "who called when"
	if b.Control != "" {
		what = "a drain"
	}
	say(b.Places.Of("control", "responder"), "without a store, %s is forgotten at a restart; add \"store PATH\"", what)
}
