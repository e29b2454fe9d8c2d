package lint

import (
	"net/netip"
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// What a KMS host wants to have counted before it activates.
const (
	clientThreshold = 25
	serverThreshold = 5
)

var responderRules = []Rule{
	{Name: "advertise-no-address", Severity: Warning, block: advertiseNoAddress,
		Reason: "clients that are told a name without an address go on to the next record: the responder is never called"},
	{Name: "advertise-behind", Severity: Warning, block: advertiseBehind,
		Reason: "clients that go to the hosts themselves are not concentrated, not failed over inside a call, and in no log"},
	{Name: "spread-dilutes", Severity: Note, block: spreadDilutes,
		Reason: "each host counts for itself and activates nobody below 25 clients (5 servers) in 30 days"},
	{Name: "warm-low", Severity: Warning, block: warmLow,
		Reason: "a standby that is kept below 25 clients activates no client when its turn comes"},
	{Name: "responder-open", Severity: Warning, block: responderOpen,
		Reason: "a responder for everybody hands the organisation's activations out to the Internet"},
	{Name: "limit-shared", Severity: Note, block: limitShared,
		Reason: "limits are by address: all clients behind a translator or proxy share those of one"},
	{Name: "limit-unreached", Severity: Warning, block: limitUnreached,
		Reason: "a limit for one client above that for all of them is never reached: one client can take every place"},
}

func advertiseNoAddress(v view, say sayer) {
	b := v.block
	if b.Responder == nil || b.Responder.Advertise.Name == "" {
		return
	}
	name := v.file.Names[b.Responder.Advertise.Name]
	asked := name.Below
	if asked == nil {
		asked = name.Resolver
	}
	if asked != nil && len(asked.Addresses) == 0 && !asked.Local && name.alias() == "" {
		say(b.Places.Of("responder advertise"), "%s, which clients are told, has no address%s; add an A or AAAA record with "+
			"an address of this machine",
			bare(b.Responder.Advertise.Name), because(asked.Err))
	}
}

func advertiseBehind(v view, say sayer) {
	b := v.block
	if b.Responder == nil || b.Responder.Advertise.Name == "" {
		return
	}
	mine := b.Responder.Advertise.Priority
	for _, h := range b.Hosts {
		switch {
		case h.Priority < mine:
			say(b.Places.Of("responder advertise"), "%s (priority %d) stands before the responder (priority %d): clients call "+
				"it and not the responder; "+
				"give the responder the lowest number", h.Endpoint(), h.Priority, mine)
			return
		case h.Priority == mine && b.Responder.Policy == config.Concentrate:
			say(b.Places.Of("responder advertise"), "%s has the responder's priority %d: some clients call it past the "+
				"responder, and policy concentrate fills no host; "+
				"give the hosts a higher number", h.Endpoint(), mine)
			return
		}
	}
}

func spreadDilutes(v view, say sayer) {
	b := v.block
	if b.Responder == nil || b.Responder.Policy != config.Spread || len(b.Hosts) == 0 {
		return
	}
	first := 0
	best := slices.MinFunc(b.Hosts, func(x, y config.Host) int { return int(x.Priority) - int(y.Priority) }).Priority
	for _, h := range b.Hosts {
		if h.Priority == best {
			first++
		}
	}
	if first > 1 {
		say(b.Places.Of("responder policy"), "policy spread over %d hosts: each needs %d clients (or %d servers) of its own "+
			"in 30 days, about %d in all; "+
			"with fewer, nobody is activated: policy concentrate fills one host "+
			"first", first, clientThreshold, serverThreshold, first*clientThreshold)
	}
}

func warmLow(v view, say sayer) {
	if b := v.block; b.Responder != nil && b.Responder.Warm > 0 && b.Responder.Warm < clientThreshold {
		say(b.Places.Of("responder warm"), "warm %d keeps a standby below the %d that it takes to activate clients; %d or "+
			"more is what makes it ready",
			b.Responder.Warm, clientThreshold, clientThreshold)
	}
}

func responderOpen(v view, say sayer) {
	b := v.block
	if b.Responder == nil {
		return
	}
	if i := slices.IndexFunc(b.Responder.Allow, whole); i >= 0 {
		say(b.Places.Of("responder allow"), "responder allow %s: anybody who reaches this machine is activated; name your "+
			"networks", b.Responder.Allow[i])
	}
}

func limitShared(v view, say sayer) {
	b := v.block
	if b.Responder == nil {
		return
	}
	one := func(p netip.Prefix) bool { return p.IsSingleIP() && !p.Addr().IsLoopback() }
	if i := slices.IndexFunc(b.Responder.Allow, one); i >= 0 {
		say(b.Places.Of("responder allow"), "%s is one address: if clients come through it (a translator, a proxy), all "+
			"share its %d connections and %d requests in a minute; raise \"limit client\" and \"limit rate\" then",
			b.Responder.Allow[i].Addr(), b.Responder.PerClient, b.Responder.Rate)
	}
}

func limitUnreached(v view, say sayer) {
	if b := v.block; b.Responder != nil && b.Responder.PerClient >= b.Responder.Connections {
		say(b.Places.Of("responder limit"), "limit client %d is not below limit connections %d: one client can take every "+
			"place; lower it",
			b.Responder.PerClient, b.Responder.Connections)
	}
}
