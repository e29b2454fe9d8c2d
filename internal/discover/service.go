package discover

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// highTTL is above what we call a high TTL: for as long a dead host lives on in caches.
const highTTL = time.Hour

// answered says that the server said something.
func (a Answer) answered() bool {
	return a.Outcome != "TIMEOUT" && a.Outcome != "UNREACHABLE" && a.Outcome != "GARBLED"
}

// same says whether two servers say the same of a name.
func (a Answer) same(b Answer) bool {
	return a.Outcome == b.Outcome && slices.Equal(a.Records, b.Records)
}

// askService asks server for the SRV records of name.
func (w *walk) askService(ctx context.Context, server, name string) Answer {
	r := w.ask(ctx, server, name, dns.TypeSRV, true)
	a := Answer{Server: server, Name: name, RTT: r.rtt.Seconds(), TCP: r.tcp, Error: r.why(server), Extended: []string{},
		Records: []Record{}}
	a.Outcome, a.local = r.outcome(ctx)
	if r.msg != nil {
		a.read(r.msg, name)
	}
	a.Code = codeOf(a.Outcome)
	return a
}

// read fills in what m says of name.
func (a *Answer) read(m *dns.Msg, name string) {
	a.Authoritative, a.Recursive, a.Extended, a.extra = m.Authoritative, m.RecursionAvailable, extended(m), make(found)
	owner := dns.CanonicalName(dns.Fqdn(name))
	for range 8 { // a chain of aliases
		i := slices.IndexFunc(m.Answer, func(rr dns.RR) bool {
			c, ok := rr.(*dns.CNAME)
			return ok && dns.CanonicalName(c.Hdr.Name) == owner
		})
		if i < 0 {
			break
		}
		owner = dns.CanonicalName(m.Answer[i].(*dns.CNAME).Target)
		a.Alias = strings.TrimSuffix(owner, ".")
	}
	for _, rr := range m.Answer {
		s, ok := rr.(*dns.SRV)
		if !ok || dns.CanonicalName(s.Hdr.Name) != owner {
			continue
		}
		if len(a.Records) == MaxRecords {
			a.cut++
			continue
		}
		if len(a.Records) == 0 || s.Hdr.Ttl < a.TTL {
			a.TTL = s.Hdr.Ttl
		}
		a.Records = append(a.Records, Record{s.Priority, s.Weight, s.Port, strings.TrimSuffix(dns.CanonicalName(s.Target), ".")})
	}
	slices.SortFunc(a.Records, func(x, y Record) int {
		return cmp.Or(cmp.Compare(x.Priority, y.Priority), cmp.Compare(y.Weight, x.Weight), cmp.Compare(x.Target, y.Target),
			cmp.Compare(x.Port, y.Port))
	})
	for _, rr := range m.Extra {
		a.extra.add(rr)
	}
	if m.Rcode == dns.RcodeSuccess && len(a.Records) == 0 {
		a.Outcome = "NODATA"
		if !m.Authoritative && !m.RecursionAvailable && !hasSOA(m.Ns) && len(m.Ns) > 0 {
			a.Outcome = "REFERRAL"
		}
	}
}

func hasSOA(section []dns.RR) bool {
	return slices.ContainsFunc(section, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
}

// serviceSteps says what is found under each suffix, and in which zone, and collects the hosts.
func (w *walk) serviceSteps(ctx context.Context, answers [][]Answer) {
	if w.server == "" {
		return
	}
	zones := make([][]Step, len(answers))
	each(len(answers), func(i int) { zones[i] = w.zoneSteps(ctx, w.r.Suffixes[i].Name) })
	used, records := -1, 0
	for i, of := range answers {
		j := slices.IndexFunc(of, Answer.answered)
		if j < 0 { // the servers answer for other suffixes, and not for this one
			j = 0
		}
		a := of[j]
		if used < 0 && len(a.Records) > 0 {
			used = i
		}
		for _, r := range a.Records {
			w.addHost(r, a, w.r.Suffixes[i].Name, used == i, &records)
		}
	}
	for i, of := range answers {
		j := max(slices.IndexFunc(of, Answer.answered), 0)
		w.r.Steps = append(w.r.Steps, zones[i]...)
		w.answerSteps(w.r.Suffixes[i], of[j], used >= 0)
		w.otherServers(of, j)
	}
	if used >= 0 {
		w.otherSuffixes(answers, used)
	}
}

// addHost adds the host of a record, unless it is there already or there are too many.
func (w *walk) addHost(r Record, a Answer, suffix string, used bool, records *int) {
	*records++
	same := slices.ContainsFunc(w.r.Hosts, func(h Host) bool { return h.Endpoint() == r.Endpoint() })
	if same || *records > MaxRecords {
		return
	}
	w.r.Hosts = append(w.r.Hosts, Host{Record: r, Suffix: suffix, used: used, Addresses: a.extra.of(r.Target)})
}

// answerSteps judges the answer that a client goes by. elsewhere says that it finds records, here or under another suffix.
func (w *walk) answerSteps(s Suffix, a Answer, elsewhere bool) {
	part := a.Name
	if a.Alias != "" {
		w.step(Step{Part: part, Mark: Note, Text: "is an alias for " + a.Alias})
	}
	if len(a.Records) == 0 {
		w.step(w.noRecords(part, s, a, elsewhere))
		return
	}
	text := fmt.Sprintf("%s, TTL %d s, %s", plural(len(a.Records), "SRV record"), a.TTL, a.origin())
	if a.TCP {
		text += ", by TCP since they do not fit into UDP"
	}
	w.step(Step{Part: part, Mark: Good, Text: text})
	if a.cut > 0 {
		w.step(Step{Part: part, Mark: Warn, Text: fmt.Sprintf("%d more records are left out here: more than %d serve nobody", a.cut,
			MaxRecords)})
	}
	if seconds(float64(a.TTL)) > highTTL {
		w.step(Step{Part: part, Mark: Warn, Text: fmt.Sprintf("the TTL is high: for %s a host that is gone lives on in caches",
			seconds(float64(a.TTL))),
			Change: []string{"lower the TTL of the records to 5 minutes or less; kms answers with 30 seconds and leaves dead hosts out"}})
	}
	for _, e := range a.Extended {
		w.step(Step{Part: part, Mark: Warn, Text: "the server adds: " + e, Change: []string{"coredns kms hosts, where a kms block " +
			"answers, says what is wrong with its hosts"}})
	}
	if !a.Authoritative && !a.Recursive {
		w.step(Step{Part: part, Mark: Note, Text: "the server neither is authoritative nor offers recursion: it answers from a cache"})
	}
}

// origin says who is behind the answer.
func (a Answer) origin() string {
	if a.Authoritative {
		return "authoritative"
	}
	return "from a resolver"
}

// noRecords says why a client finds nothing under s, and what to change.
func (w *walk) noRecords(part string, s Suffix, a Answer, elsewhere bool) Step {
	step := Step{Part: part, Mark: Fail, Code: a.Code}
	zone := "the zone " + s.Name
	switch a.Outcome {
	case "NXDOMAIN":
		step.Text = "does not exist (NXDOMAIN)"
		step.Change = []string{
			fmt.Sprintf("publish a host: _vlmcs._tcp.%s. SRV 0 0 1688 kms1.%s., or serve the name by a kms block", s.Name, s.Name),
			"or, if clients are to look under another suffix: slmgr /skms-domain SUFFIX",
		}
	case "NODATA":
		step.Text = "exists and has no SRV record (NODATA)"
		step.Change = []string{"put SRV records there; if a kms block answers, all its hosts are down or drained: coredns kms hosts"}
	case "SERVFAIL":
		step.Text = fmt.Sprintf("%s could not find out (SERVFAIL)", a.Server)
		step.Change = []string{fmt.Sprintf("see that a server of %s answers, and that what is forwarded there arrives", zone)}
	case "REFUSED":
		step.Text = fmt.Sprintf("%s refuses to answer (REFUSED)", a.Server)
		step.Change = []string{"have clients ask a server that resolves for their network, or allow this network in the access list " +
			"of that one"}
	case "REFERRAL":
		step.Text = fmt.Sprintf("%s refers to other servers and resolves nothing itself: a client takes that for no record", a.Server)
		step.Change = []string{"have clients ask a resolver, or make that server forward the zone"}
	case "TRUNCATED":
		step.Text = a.Error
		step.Change = []string{"open TCP port 53 to the server, or publish fewer records"}
	case "TIMEOUT", "UNREACHABLE":
		step.Text = a.Error
		step.Change = []string{fmt.Sprintf("see that the servers of %s, and what is forwarded to them, answer in time", zone)}
		if a.local {
			step.Mark, step.Change, step.Text = Open, nil, a.Error+" in the time that was given"
		}
	default:
		step.Text = strings.TrimSpace(fmt.Sprintf("%s answers %s %s", a.Server, a.Outcome, a.Error))
		step.Change = []string{"look at that server's log"}
	}
	if len(a.Extended) > 0 {
		step.Text += ": " + strings.Join(a.Extended, "; ")
	}
	if elsewhere && step.Mark == Fail {
		step.Mark = Warn
		if !s.Given && (a.Outcome == "NXDOMAIN" || a.Outcome == "NODATA") {
			step.Mark, step.Change = Note, nil
			step.Text += ": a client goes on to its next suffix"
		}
	}
	return step
}

// otherServers compares what the other servers say with the answer of the server j.
func (w *walk) otherServers(of []Answer, j int) {
	for i, b := range of {
		if i == j || !b.answered() || b.same(of[j]) {
			continue
		}
		text := fmt.Sprintf("%s answers %s", b.Server, b.Outcome)
		if len(b.Records) > 0 {
			text = fmt.Sprintf("%s answers otherwise than %s: ", b.Server, of[j].Server) + difference(of[j].Records, b.Records)
		} else if len(of[j].Records) > 0 {
			text += ", and " + of[j].Server + " has records"
		}
		w.step(Step{Part: b.Name, Mark: Warn, Text: text,
			Change: []string{"make both serve the same zone (a transfer that hangs, a forwarder that is missing): what a client finds " +
				"depends on which one it asks"}})
	}
}

// difference says in which records b differs from a.
func difference(a, b []Record) string {
	var words []string
	for _, r := range b {
		if !slices.Contains(a, r) {
			words = append(words, fmt.Sprintf("it has %s (%d %d)", r.Endpoint(), r.Priority, r.Weight))
		}
	}
	for _, r := range a {
		if !slices.Contains(b, r) {
			words = append(words, fmt.Sprintf("it lacks %s (%d %d)", r.Endpoint(), r.Priority, r.Weight))
		}
	}
	if len(words) > 4 {
		words = append(words[:4], "...")
	}
	return strings.Join(words, ", ")
}

// otherSuffixes says which suffixes lead to other hosts than the one that a client uses.
func (w *walk) otherSuffixes(answers [][]Answer, used int) {
	of := func(i int) []Record { return answers[i][max(slices.IndexFunc(answers[i], Answer.answered), 0)].Records }
	for i := range answers {
		if i == used || len(of(i)) == 0 || slices.Equal(of(used), of(i)) {
			continue
		}
		w.step(Step{Part: service(w.r.Suffixes[i].Name), Mark: Warn,
			Text:   fmt.Sprintf("has other records than %s: %s", service(w.r.Suffixes[used].Name), difference(of(used), of(i))),
			Change: []string{"publish the same hosts under every suffix, from one kms block with several zones, unless they are to differ"}})
	}
}

const partTools = "What tools find and clients do not"

// toolSteps is the case of "nslookup works, slmgr does not": records at names that nslookup and dig come to by themselves, and a
// client does not.
func (w *walk) toolSteps(ctx context.Context) {
	if w.server == "" {
		return
	}
	clients := make(map[string]bool)
	for _, s := range w.r.Suffixes {
		clients[s.Name] = true
	}
	names := []string{""}
	add := func(suffix string) {
		suffix = strings.ToLower(strings.Trim(suffix, "."))
		if suffix != "" && !clients[suffix] && !slices.Contains(names, suffix) && len(names) < maxTooling {
			names = append(names, suffix)
		}
	}
	for _, s := range w.Search {
		add(s)
	}
	for _, s := range w.r.Suffixes { // nslookup goes up the domain; so did clients, long ago
		for _, parent, _ := strings.Cut(s.Name, "."); strings.Contains(parent, "."); _, parent, _ = strings.Cut(parent, ".") {
			add(parent)
		}
	}
	answers := make([]Answer, len(names))
	each(len(names), func(i int) { answers[i] = w.askService(ctx, w.server, service(names[i])) })
	for i, a := range answers {
		if len(a.Records) == 0 || i > 0 && len(w.r.Hosts) > 0 {
			continue // none there, or other clients' own
		}
		step := Step{Part: partTools, Mark: Note}
		if i == 0 {
			step.Text = fmt.Sprintf("the bare name _vlmcs._tcp has %s: nslookup finds them, and no client asks for a name without a suffix",
				plural(len(a.Records), "SRV record"))
		} else {
			step.Text = fmt.Sprintf("%s has %s: nslookup and dig may come to it from a short name, and a client with these suffixes "+
				"does not",
				a.Name, plural(len(a.Records), "SRV record"))
		}
		if len(w.r.Hosts) == 0 {
			step.Mark = Fail
			where := "SUFFIX"
			if len(w.r.Suffixes) > 0 {
				where = w.r.Suffixes[0].Name
			}
			step.Text = "nslookup works, slmgr does not: " + step.Text
			step.Change = []string{fmt.Sprintf("put the records at _vlmcs._tcp.%s, where clients look", where)}
			if i > 0 {
				step.Change = append(step.Change, "or tell the clients: slmgr /skms-domain "+names[i])
			}
		}
		w.step(step)
	}
}

func plural(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
