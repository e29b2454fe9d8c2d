package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The severities of a Finding, and the statuses of a Report.
const (
	OK       = "ok"
	Warning  = "warning"
	Critical = "critical"
)

const (
	clientThreshold = 25 // distinct clients that a KMS host counts before it activates Windows clients
	serverThreshold = 5  // likewise for servers and Office

	// stuck is how many intervals may pass without the end of any probe before somebody has to look.
	stuck = 4

	// provedBy is how long a host that announced itself may take to pass its checks before somebody has to look.
	provedBy = 10 * time.Minute

	// lately is how far back what happened still is a finding.
	lately = 24 * time.Hour
)

// findings is what needs somebody in r, the worst first.
func (m *moment) findings(r *Report) []Finding {
	all := []Finding{}
	add := func(severity, about, what, next string) { all = append(all, Finding{severity, about, what, next}) }
	if err := m.Broken(); err != nil {
		add(Critical, "store", line(err.Error()), "mend the file or its disk, and reload; clients are answered all the same, but what changes now is lost at a restart")
	}
	if at := m.Unloaded(); !at.IsZero() {
		add(Warning, "Corefile", "the last reload failed, "+ago(m.now, at)+": what runs is the configuration of before",
			"see what the log said then, or ask kms lint; mend the Corefile and reload")
	}
	for _, z := range r.Zones {
		if z.Result == "nodata" || z.Result == "servfail" {
			add(Critical, z.Service, "clients get no host from here: "+z.Why, "bring a host back (kms hosts shows why each is out), or undrain one")
		}
	}
	for _, p := range r.Pools {
		m.poolFindings(p, add)
		for _, h := range p.Hosts {
			m.hostFindings(p, h, add)
		}
	}
	if n := r.Clients.Silent150; n > 0 {
		add(Warning, "clients", counted(n, "client", "clients")+" did not call for 150 days: activations are valid for 180",
			"see whether they still exist (kms clients -silent 150); if they do, run slmgr /ato there and look at event 12288")
	}
	if n := r.Clients.Rejected; n > 0 {
		add(Warning, "clients", counted(n, "client calls", "clients call")+" and no host took a request of them for 30 days",
			"see what hosts answer them (kms clients -unserved, kms why CLIENT): they may need a host key for their product")
	}
	m.itselfFindings(add)
	m.turnedFindings(add)
	m.updateFindings(r.Updates, add)
	slices.SortStableFunc(all, func(a, b Finding) int { return strings.Compare(a.Severity, b.Severity) }) // critical, warning
	return all
}

func (m *moment) poolFindings(p Pool, add func(severity, about, what, next string)) {
	switch p.Condition {
	case "all-down":
		add(Critical, p.Name, p.Why, "look at the hosts below: what ails each is said there; kms probe HOST asks one by hand")
	case "self-suspected":
		add(Critical, p.Name, p.Why, "look at this server's own network and firewall first; kms probe HOST from another machine tells which it is")
	}
	if limit := stuck * p.Interval; p.Age > max(limit, 120) && len(p.Hosts) > 0 {
		add(Critical, p.Name, fmt.Sprintf("no probe has ended for %s", seconds(p.Age)), "restart the server, and keep its log for a report: this must not happen")
	}
}

func (m *moment) hostFindings(p Pool, h Host, add func(severity, about, what, next string)) {
	switch h.State {
	case "down":
		add(Warning, h.Endpoint, h.Why, "see that the Software Protection service runs there and that TCP 1688 is open to this server; "+
			"kms drain it if it is to stay away, and take it out of the Corefile if it is no more")
	case "suspect":
		add(Warning, h.Endpoint, h.Why, "nothing yet: clients try it last, and in seconds it is up or down")
	case "unchecked":
		if h.Error != "" {
			add(Warning, h.Endpoint, h.Why, "mend its name in DNS, or give its address in the Corefile")
		}
	case "claimed":
		if m.now.Sub(h.Since) > provedBy {
			add(Warning, h.Endpoint, h.Why, "if it is no KMS host of yours, find out who announces it; else open TCP 1688 to this server")
		}
	}
	if h.State != "drained" && m.now.Sub(h.LastServed) < lately && h.Clients < clientThreshold {
		counts := fmt.Sprintf("it takes calls and has had %s in 30 days; Windows clients need a count of %d, servers and Office of %d",
			counted(h.Clients, "distinct client", "distinct clients"), clientThreshold, serverThreshold)
		add(Warning, h.Endpoint, counts, "if there are more clients, send them all to one host (policy concentrate), and look for clones with one CMID; "+
			"below the threshold nobody is activated")
	}
}

// itselfFindings is about hosts that are the responder in front of them: a probe passes, and no call is forwarded there.
func (m *moment) itselfFindings(add func(severity, about, what, next string)) {
	for _, f := range m.faces {
		if f.Responder == nil {
			continue
		}
		for _, h := range m.hosts(f.Pool) {
			if f.Responder.Itself(h.Endpoint()) {
				add(Warning, h.Endpoint(), "it is the responder "+f.Block.Responder.Address+" itself, which forwards no call to it: its checks pass all the same",
					"give the KMS host's own address or name, or another port to the responder")
			}
		}
	}
}

// turnedNext is what to do about clients that were turned away, by the word of the reason.
var turnedNext = map[string]string{
	"network":     "if they are clients of yours, put their network into \"allow\" of the responder",
	"connections": "raise it, or find who holds so many connections open",
	"client":      "if many clients share that address (address translation, a terminal server, a test), raise it; else see what that machine does",
	"rate":        "if many clients share that address (address translation, a terminal server, a test), raise it; else see what that machine does",
	"loop":        "a host of the pool is a responder that has this one as a host: give the KMS host's own address",
}

func (m *moment) turnedFindings(add func(severity, about, what, next string)) {
	for _, t := range m.ClientHistory.Turnings(m.now) {
		add(Warning, t.Pool, fmt.Sprintf("clients were turned away %s in 24 hours (%s), the last one %s from %s",
			counted(t.Count, "time", "times"), line(t.Limit), ago(m.now, t.At), t.From), word(turnedNext, t.Reason))
	}
}

func (m *moment) updateFindings(u Updates, add func(severity, about, what, next string)) {
	var from []string
	refused := 0
	for _, a := range u.Attempts {
		if a.Accepted || m.now.Sub(a.At) > lately {
			continue
		}
		refused++
		if host := a.From[:max(strings.LastIndexByte(a.From, ':'), 0)]; !slices.Contains(from, host) {
			from = append(from, host)
		}
	}
	if refused > 0 {
		const most = 5
		who := strings.Join(from[:min(len(from), most)], ", ")
		if len(from) > most {
			who += fmt.Sprintf(" and %d more", len(from)-most)
		}
		add(Warning, "announcements", fmt.Sprintf("%s refused in 24 hours, from %s", counted(refused, "announcement", "announcements"), who),
			"a KMS host that nobody knew of is found so: go and see what it is; if it is yours, put it into \"allow\" or give it a key")
	}
}

// judge is the worst of r's findings, and r in a sentence.
func judge(r *Report) (status, summary string) {
	status = OK
	if len(r.Findings) > 0 {
		status = r.Findings[0].Severity
	}
	up, hosts := 0, 0
	for _, p := range r.Pools {
		for _, h := range p.Hosts {
			hosts++
			if h.State == "up" {
				up++
			}
		}
	}
	if len(r.Pools) == 0 {
		return Critical, "no pool of KMS hosts: the server is starting or ending"
	}
	summary = fmt.Sprintf("%d of %s up", up, counted(hosts, "host", "hosts"))
	if n := len(r.Findings); n > 0 {
		summary += fmt.Sprintf(", %s to look at", counted(n, "thing", "things"))
	}
	return status, summary
}
