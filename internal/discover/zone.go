package discover

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// zoneSteps says in which zone the records of suffix are, and whether the zone's servers answer.
func (w *walk) zoneSteps(ctx context.Context, suffix string) []Step {
	name := service(suffix)
	r := w.ask(ctx, w.server, name, dns.TypeSOA, true)
	if r.err != nil {
		return nil // the question for the records says it, too
	}
	soa := start(r.msg)
	if soa == nil {
		if rcode(r.msg) != "NOERROR" {
			return w.nameServers(ctx, name, suffix) // SERVFAIL for what is delegated to the dead: who are they?
		}
		return []Step{{Part: name, Mark: Note, Text: "its zone could not be found out: the answer has no SOA"}}
	}
	zone := strings.TrimSuffix(dns.CanonicalName(soa.Hdr.Name), ".")
	text := fmt.Sprintf("is in the zone %s, whose primary server is %s, serial %d", zone, strings.TrimSuffix(soa.Ns, "."), soa.Serial)
	steps := []Step{{Part: name, Mark: Good, Text: text}}
	switch {
	case strings.HasSuffix(zone, "."+suffix):
		steps[0].Text += "; the cut is below " + suffix + ", so that its records can be served without touching that zone"
	case zone == suffix:
	case zone == "" || !strings.Contains(zone, "."):
		steps[0].Mark = Note
		steps[0].Text = fmt.Sprintf("the nearest zone is %q: nobody whom %s asks knows the zone %s", zone+".", w.server, suffix)
	default:
		steps[0].Text += fmt.Sprintf("; %s is no zone of its own", suffix)
	}
	if zone == "" || !strings.Contains(zone, ".") {
		return steps
	}
	return append(steps, w.nameServers(ctx, name, zone)...)
}

// start is the SOA in an answer, wherever it stands.
func start(m *dns.Msg) *dns.SOA {
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa
		}
	}
	return nil
}

// nameServers asks each name server of zone whether it serves it.
func (w *walk) nameServers(ctx context.Context, part, zone string) []Step {
	r := w.ask(ctx, w.server, zone, dns.TypeNS, true)
	if r.err != nil {
		return nil
	}
	extra, names := make(found), []string{}
	for _, rr := range r.msg.Extra {
		extra.add(rr)
	}
	for _, rr := range slices.Concat(r.msg.Answer, r.msg.Ns) { // Ns: a referral
		if ns, ok := rr.(*dns.NS); ok && len(names) < maxNS {
			names = append(names, strings.TrimSuffix(dns.CanonicalName(ns.Ns), "."))
		}
	}
	failures, local := make([]string, len(names)), make([]bool, len(names))
	each(len(names), func(i int) {
		addresses := extra.of(names[i])
		if len(addresses) == 0 {
			addresses, _, _ = w.addresses(ctx, names[i])
		}
		failures[i], local[i] = w.serves(ctx, names[i], addresses, zone)
	})
	var steps []Step
	dead := 0
	for _, f := range failures {
		if f != "" {
			dead++
		}
	}
	for i, f := range failures {
		switch {
		case f == "":
		case local[i]:
			steps = append(steps, Step{Part: part, Mark: Note, Text: f + ": this machine could not ask"})
		case dead == len(names) && w.serverKnows(ctx, zone):
			// A firewall lets only resolvers out, or the delegation is for the world outside.
			steps = append(steps, Step{Part: part, Mark: Note, Text: f + "; " + w.server + " knows the zone all the same"})
		default:
			steps = append(steps, Step{Part: part, Mark: Warn, Text: f,
				Change: []string{fmt.Sprintf("repair that server, or take it out of the NS records of %s and of the zone above", zone)}})
		}
	}
	if dead == 0 && len(names) > 0 {
		steps = append(steps, Step{Part: part, Mark: Good, Text: "the zone's name servers answer: " + strings.Join(names, ", ")})
	}
	return steps
}

// serverKnows says whether the server that clients ask has an answer for zone.
func (w *walk) serverKnows(ctx context.Context, zone string) bool {
	r := w.ask(ctx, w.server, zone, dns.TypeSOA, true)
	return r.err == nil && r.msg.Rcode == dns.RcodeSuccess
}

// serves asks the name server at addresses for zone's SOA, and says what is wrong; "" if it serves it.
func (w *walk) serves(ctx context.Context, name string, addresses []Address, zone string) (failure string, local bool) {
	if len(addresses) == 0 {
		return fmt.Sprintf("the name server %s has no address", name), false
	}
	for _, a := range addresses[:min(len(addresses), 2)] {
		to := w.portOf(a.Address)
		r := w.ask(ctx, to, zone, dns.TypeSOA, false)
		if r.err != nil {
			_, local = r.outcome(ctx)
			failure = fmt.Sprintf("the name server %s does not serve %s: %s", name, zone, r.why(to))
			continue
		}
		if r.msg.Authoritative && r.msg.Rcode == dns.RcodeSuccess {
			return "", false
		}
		failure = fmt.Sprintf("the name server %s (%s) does not serve %s: it answers %s and is not authoritative", name, to, zone,
			rcode(r.msg))
	}
	return failure, local
}

// portOf is where a name server at address is asked: at port 53, unless it is the very server that we were told to ask at another.
func (w *walk) portOf(address string) string {
	for _, s := range w.r.Servers {
		if to, err := netip.ParseAddrPort(s); err == nil && to.Addr().Unmap().String() == address {
			return s
		}
	}
	return net.JoinHostPort(address, "53")
}
