package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// machinesPerKey is on how many machines Microsoft lets one KMS host key be activated.
const machinesPerKey = 6

var hostRules = []Rule{
	{Name: "one-host", Severity: Warning, block: oneHost,
		Reason: "without a second host nobody is activated while the first is away"},
	{Name: "hosts-per-key", Severity: Warning, block: hostsPerKey,
		Reason: "a KMS host key can be activated on six machines; the seventh may stand there without a valid one"},
	{Name: "unreachable", Severity: Warning, block: unreachable,
		Reason: "a host that does not pass probes is left out of the answers"},
	{Name: "unresolvable", Severity: Warning, block: unresolvable,
		Reason: "a host whose name this machine cannot look up can be neither probed nor called"},
	{Name: "alias", Severity: Warning, block: aliases,
		Reason: "the target of an SRV or NS record must not be an alias (RFC 2782, RFC 2181 10.3): some clients do not follow it"},
	{Name: "by-address", Severity: Note, block: byAddress,
		Reason: "a host given by its address gets a made-up name, and a renumbering of the network becomes an edit of the Corefile"},
	{Name: "probe-tcp", Severity: Note, block: probeTCP,
		Reason: "a host that hangs still accepts connections: only the bind of probe rpc finds out"},
}

// at is where h stands.
func (b Block) at(h config.Host) config.Place { return b.Places.Of("host " + h.Endpoint()) }

// grows says whether hosts may announce themselves to b.
func (b Block) grows() bool { return b.Update != nil && !b.Update.Observe }

func oneHost(v view, say sayer) {
	if b := v.block; len(b.Hosts) == 1 && !b.grows() {
		say(b.at(b.Hosts[0]), "%s is the only KMS host: while it is away nobody is activated; a second one with a priority "+
			"behind it would step in",
			b.Hosts[0].Endpoint())
	}
}

// machine is what tells a host's machine from others: hosts on several ports are one.
func machine(h config.Host) string {
	if h.Name != "" {
		return h.Name
	}
	return h.Addresses[0].String()
}

func hostsPerKey(v view, say sayer) {
	seen := make(map[config.Key][]string)
	for _, h := range v.block.Hosts {
		if m := machine(h); !slices.Contains(seen[h.Key], m) {
			seen[h.Key] = append(seen[h.Key], m)
		}
		if len(seen[h.Key]) > machinesPerKey {
			say(v.block.at(h), "more than %d hosts with \"key %s\": a KMS host key can be activated on %d machines; "+
				"if they have several keys of one group this is fine", machinesPerKey, h.Key, machinesPerKey)
			return
		}
	}
}

func unreachable(v view, say sayer) {
	for _, h := range v.block.Hosts {
		if wrong := v.file.Probes[h.Endpoint()]; wrong != "" && !v.file.rehearsal(h) {
			say(v.block.at(h), "%s does not pass a probe from here: %s; until it does the server does not answer it", h.Endpoint(), wrong)
		}
	}
}

func unresolvable(v view, say sayer) {
	for _, h := range v.block.Hosts {
		name := v.file.Names[h.Name]
		if h.Name == "" || len(h.Addresses) > 0 || name.Resolver == nil || len(name.Resolver.Addresses) > 0 {
			continue
		}
		better := "correct the name, or give its address beside it, as in \"address 192.0.2.10\""
		if name.Below != nil && len(name.Below.Addresses) > 0 {
			better = fmt.Sprintf("the zone below has it, but names are looked up through this machine's resolver: unless that is "+
				"to be this very server, give the address beside it, as in \"address %s\"", name.Below.Addresses[0])
		}
		say(v.block.at(h), "%s cannot be looked up from here%s; %s", bare(h.Name), because(name.Resolver.Err), better)
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

func aliases(v view, say sayer) {
	b := v.block
	look := func(name string, at config.Place, what string) {
		if to := v.file.Names[name].alias(); to != "" {
			say(at, "%s %s is an alias of %s: the target of %s record must not be one; write %s",
				what, bare(name), bare(to), map[bool]string{true: "an NS", false: "an SRV"}[what == "name server"], bare(to))
		}
	}
	for _, h := range b.Hosts {
		look(h.Name, b.at(h), "host")
	}
	if b.Responder != nil {
		look(b.Responder.Advertise.Name, b.Places.Of("responder advertise"), "advertised name")
	}
	for _, name := range b.NS {
		look(name, b.Places.Of("ns"), "name server")
	}
}

func byAddress(v view, say sayer) {
	for _, h := range v.block.Hosts {
		if h.Name == "" {
			say(v.block.at(h), "host %s is given by its address: a name is made up for it; a name of its own, which DNS knows, "+
				"would follow the machine", h.Addresses[0])
		}
	}
}

func probeTCP(v view, say sayer) {
	if v.block.Probe.Kind == config.ProbeTCP {
		say(v.block.Places.Of("probe"), "probe tcp only connects: a host that hangs passes; probe rpc asks for the KMS "+
			"interface and changes no host's count either")
	}
}

// rehearsal says whether h is a rehearsal host of the Corefile, which runs when the server does.
func (c *Corefile) rehearsal(h config.Host) bool {
	for _, s := range c.Servers {
		for _, b := range s.Blocks {
			for _, r := range b.Rehearse {
				if slices.ContainsFunc(c.addresses(h), func(a netip.Addr) bool { return c.listens(r.Address, netip.AddrPortFrom(a, h.Port)) }) {
					return true
				}
			}
		}
	}
	return false
}

// addresses is what is known of where h is.
func (c *Corefile) addresses(h config.Host) []netip.Addr {
	if len(h.Addresses) > 0 {
		return h.Addresses
	}
	return c.Names[h.Name].addresses()
}

// listens says whether who listens on address, host:port, is reached at at.
func (c *Corefile) listens(address string, at netip.AddrPort) bool {
	on, ok := listenOn(address)
	if !ok || on.Port() != at.Port() {
		return false
	}
	if !on.Addr().IsUnspecified() {
		return on.Addr() == at.Addr()
	}
	return at.Addr().IsLoopback() || slices.Contains(c.Local, at.Addr())
}

// bare is name without its closing dot, as people write it.
func bare(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}
