package status

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/explain"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
)

// unheeded is after how many days of calls that no host took somebody has to be told: a client that is well renews every 7.
const unheeded = 14

// Bounds of a Why.
const (
	maxMeant     = 20 // clients that a name may mean
	maxQuestions = 40
	maxCalls     = 40
)

// Why implements Source.
func (l *Live) Why(client string) (Why, error) {
	client = strings.TrimSpace(client)
	if client == "" || len(client) > MaxSearch {
		return Why{}, fmt.Errorf("client %q: an IP address, a CMID as slmgr /dlv shows it, or the name of a machine, of at most %d octets",
			line(client), MaxSearch)
	}
	m := l.moment()
	out := Why{Version: Version, At: m.now, Query: line(client), Clients: []Client{}, Questions: []Question{}, Calls: []Call{},
		Preferences: []Preference{}}
	p := m.meant(client)
	for _, e := range p.entries {
		out.Clients = append(out.Clients, m.client(e))
	}
	calls := l.ClientHistory.Calls(p.made)
	for _, c := range calls[:min(len(calls), maxCalls)] {
		p.addresses[plainAddress(c.From)] = true
		out.Calls = append(out.Calls, call(c))
	}
	for a := range p.addresses {
		for _, q := range l.ClientHistory.Questions(a) {
			out.Questions = append(out.Questions, question(q))
		}
	}
	slices.SortStableFunc(out.Questions, func(a, b Question) int { return b.At.Compare(a.At) })
	out.Questions = out.Questions[:min(len(out.Questions), maxQuestions)]
	turned := m.turned(p)
	if len(out.Clients)+len(out.Calls)+len(out.Questions)+len(turned) == 0 {
		return Why{}, m.unknown(p)
	}
	out.Preferences = m.preferences(p, calls)
	out.Story = append(m.story(&out, p), turned...)
	return out, nil
}

// turned says that p's addresses were turned away by the responder, if they were.
func (m *moment) turned(p person) []string {
	var all []string
	for a := range p.addresses {
		if last, n := m.ClientHistory.TurnedAway(a); n > 0 {
			all = append(all, fmt.Sprintf("The responder turned %s away %s before it asked any host, the last time %s: %s.",
				a, counted(n, "time", "times"), ago(m.now, last[0].At), line(last[0].Limit)))
		}
	}
	slices.Sort(all)
	return all
}

// unknown is that nothing is known of p. A client that is turned away is not asked for its name.
func (m *moment) unknown(p person) error {
	all := m.ClientHistory.Turnings(m.now)
	if p.client.Address.IsValid() || len(all) == 0 {
		return ErrUnknownClient
	}
	last := slices.MaxFunc(all, func(a, b history.Turning) int { return a.At.Compare(b.At) })
	return fmt.Errorf("%w; but clients were turned away before they could say who they are, the last one from %s (%s, %s): ask for the address",
		ErrUnknownClient, last.From, line(last.Limit), ago(m.now, last.At))
}

// person is whom somebody asks about.
type person struct {
	name      string // of the machine, in lower case; empty if an address or a CMID was given
	client    ledger.Client
	known     bool           // client is set
	entries   []ledger.Entry // those that called last, at most maxMeant, the latest first
	clients   int            // of the ledger that it may be
	addresses map[netip.Addr]bool
}

// meant is whom text means: an address, a CMID or a machine's name, with or without its domain.
func (m *moment) meant(text string) person {
	p := person{addresses: make(map[netip.Addr]bool)}
	match := func(_ ledger.Client, _ netip.Addr, machine string) bool { return sameMachine(machine, p.name) }
	if a, err := netip.ParseAddr(text); err == nil {
		p.client, p.known = ledger.ByAddress(a), true
		p.addresses[p.client.Address] = true
		match = func(_ ledger.Client, from netip.Addr, _ string) bool { return plainAddress(from) == p.client.Address }
	} else if id, err := kmswire.ParseGUID(strings.Trim(text, "{}")); err == nil {
		p.client, p.known = ledger.ByCMID(id), true
		match = func(c ledger.Client, _ netip.Addr, _ string) bool { return c == p.client }
	} else {
		p.name = strings.ToLower(strings.TrimSuffix(text, "."))
	}
	if m.book != nil {
		_, p.clients = m.book.Select(ledger.Query{Match: match})
		p.entries, _ = m.book.Select(ledger.Query{Match: match, Offset: max(p.clients-maxMeant, 0), Limit: maxMeant})
		slices.Reverse(p.entries)
	}
	for _, e := range p.entries {
		p.addresses[plainAddress(e.From)] = true
	}
	return p
}

// sameMachine is whether a machine's own name is name, which is in lower case, or begins with it as with a first label.
func sameMachine(machine, name string) bool {
	machine = strings.ToLower(machine)
	rest, ok := strings.CutPrefix(machine, name)
	return ok && name != "" && (rest == "" || rest[0] == '.')
}

// made is whether c is a call that p made.
func (p person) made(c history.Call) bool {
	switch {
	case p.name != "":
		return sameMachine(c.Machine, p.name)
	case p.client.Address.IsValid():
		return plainAddress(c.From) == p.client.Address
	}
	return c.Client == p.client
}

// preferences is the order of hosts for p, by every responder.
func (m *moment) preferences(p person, calls []history.Call) []Preference {
	client, version := p.client, kmswire.V6
	if len(p.entries) > 0 {
		client, version = p.entries[0].Client, versionOf(p.entries[0].Version)
	} else if len(calls) > 0 {
		client, version = calls[0].Client, versionOf(calls[0].Version)
	} else if !p.known {
		return []Preference{}
	}
	all := []Preference{}
	for _, f := range m.faces {
		if f.Responder == nil {
			continue
		}
		for _, one := range f.Responder.Preferences(client, version) {
			one.Pool = f.Pool.Name
			all = append(all, one)
		}
	}
	return all
}

// versionOf is the version of the protocol that text names, the newest if it is none.
func versionOf(text string) kmswire.Version {
	for _, v := range []kmswire.Version{kmswire.V4, kmswire.V5} {
		if text == v.String() {
			return v
		}
	}
	return kmswire.V6
}

// question is q as it is shown.
func question(q history.Question) Question {
	out := Question{At: q.At, From: q.From.String(), Name: plainName(line(q.Name)), Type: typeName(q.Type), Result: q.Result}
	if q.Answer == nil || len(q.Answer.Records)+q.Answer.More == 0 {
		return out
	}
	var records []string
	if int(q.First) < len(q.Answer.Records) {
		records = append(records, strings.TrimSuffix(q.Answer.Records[q.First], "."))
	}
	for i, r := range q.Answer.Records {
		if i != int(q.First) {
			records = append(records, strings.TrimSuffix(r, "."))
		}
	}
	out.Answer = strings.Join(records, ", ")
	if q.Answer.More > 0 {
		out.Answer += fmt.Sprintf(" and %d more", q.Answer.More)
	}
	if int(q.First) >= len(q.Answer.Records) {
		out.Answer += ", one of which stood first"
	}
	return out
}

// typeName is the mnemonic of the types that clients ask for here.
func typeName(t uint16) string {
	if name, ok := map[uint16]string{1: "A", 2: "NS", 6: "SOA", 16: "TXT", 28: "AAAA", 33: "SRV", 43: "DS", 65: "HTTPS", 255: "ANY"}[t]; ok {
		return name
	}
	return fmt.Sprintf("TYPE%d", t)
}

// call is c as it is shown.
func call(c history.Call) Call {
	out := Call{
		At: c.At, Pool: c.Pool, From: c.From.String(), CMID: cmid(c.Client), Machine: kmswire.Printable(c.Machine), Version: c.Version,
		Result: c.Result, Host: c.Host, HRESULT: kmswire.HRESULT(c.HRESULT).Code(), Meaning: meaning(c), Took: c.Took.Seconds(),
		Required: c.Required, Count: c.Count, Asked: []Asked{},
	}
	if c.Required > 0 {
		out.License = kmswire.LicenseStatusWord(c.LicenseStatus)
	}
	for _, a := range c.Asked {
		out.Asked = append(out.Asked, Asked{Host: a.Host, Outcome: a.Outcome, Error: line(a.Err), Took: a.Took.Seconds()})
	}
	return out
}

// meaning is what became of c, in words. That a client is activated is never known: it decides so itself.
func meaning(c history.Call) string {
	switch {
	case c.HRESULT != 0:
		return word(resultWords, c.Result) + ": " + hresultWords(c.HRESULT)
	case c.Result == "forwarded_ok" && c.Required > 0 && c.Count > 0 && c.Count < c.Required:
		return fmt.Sprintf("the host took the request and counts %d clients of the %d that this one needs: it stays unactivated (0xC004F038)",
			c.Count, c.Required)
	case c.Result == "forwarded_ok" && c.Required > 0 && c.Count > 0:
		return fmt.Sprintf("the host took the request and counts %d clients, of which this one needs %d", c.Count, c.Required)
	case c.Result == "forwarded_ok":
		return "the host took the request; whether its count is high enough cannot be seen in this version of the protocol"
	}
	return word(resultWords, c.Result)
}

// story is what w says, in sentences, from the question to what to do.
func (m *moment) story(w *Why, p person) []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	m.tellWho(w, p, say)
	m.tellAsked(w, say)
	m.tellCalled(w, say)
	tellError(w, say)
	m.tellNext(w, say)
	return all
}

// tellNext says who would be asked first, of the pool that it called last.
func (m *moment) tellNext(w *Why, say func(string, ...any)) {
	if len(w.Preferences) == 0 {
		return
	}
	first := w.Preferences[0]
	if len(w.Calls) > 0 {
		if i := slices.IndexFunc(w.Preferences, func(p Preference) bool { return p.Pool == w.Calls[0].Pool }); i >= 0 {
			first = w.Preferences[i]
		}
	}
	spreads := func(f Face) bool {
		return f.Pool.Name == first.Pool && f.Responder != nil && f.Block.Responder.Policy == config.Spread
	}
	if slices.ContainsFunc(m.faces, spreads) {
		say("If it called now, %s might be asked first: %s.", first.Endpoint, first.Why)
		return
	}
	say("If it called now, %s would be asked first: %s.", first.Endpoint, first.Why)
}

func (m *moment) tellWho(w *Why, p person, say func(string, ...any)) {
	if len(w.Clients) == 0 {
		say("No call of %s is in the ledger.", w.Query)
		return
	}
	c := w.Clients[0]
	if p.clients > 1 {
		say("%s may be %d clients; this is about the one that called last.", w.Query, p.clients)
	}
	name := c.ID
	if c.Machine != "" {
		name = c.Machine + " (" + c.ID + ")"
	}
	say("%s called %s since %s, the last time %s from %s.", name, counted(int(c.Calls), "time", "times"), c.First.UTC().Format("2006-01-02 15:04 UTC"),
		ago(m.now, c.Last), c.Address)
	switch silent := m.now.Sub(c.Last); {
	case c.Served.IsZero():
		say("No host ever took a request of it.")
	case silent >= 150*day:
		say("That is %d days: an activation is valid for 180, so it needs to call within %d days.", int(silent/day), max(180-int(silent/day), 0))
	case silent >= 90*day:
		say("It renews every 7 days where it can, and did not for %d: see whether it still exists.", int(silent/day))
	case m.now.Sub(c.Served) >= unheeded*day:
		say("It calls, but no host took a request of it for %d days: an activation is valid for 180.", int(m.now.Sub(c.Served)/day))
	}
}

func (m *moment) tellAsked(w *Why, say func(string, ...any)) {
	if len(w.Questions) == 0 {
		say("No question from its address to this DNS server is remembered: it asks through another resolver, has its host cached or set by " +
			"hand (slmgr /skms), or did not ask since this server started.")
		return
	}
	q := w.Questions[0]
	answer := q.Answer
	if answer == "" {
		answer = "no record (" + q.Result + ")"
	}
	if q.Result == "fallthrough" {
		answer = "what another plugin of this server says, to which it fell through"
	}
	say("It asked for %s %s %s, and was answered: %s.", q.Name, q.Type, ago(m.now, q.At), answer)
}

// tellError says what is behind the error of the last call, if it had one.
func tellError(w *Why, say func(string, ...any)) {
	if len(w.Calls) == 0 {
		return
	}
	e, err := explain.Lookup(w.Calls[0].HRESULT)
	if err != nil || w.Calls[0].HRESULT == kmswire.OK.Code() || len(e.Causes) == 0 {
		return
	}
	say("%s: %s Most often: %s. kms explain %s says what else, and what to do.", e.Code, e.Meaning, e.Causes[0].Text, e.Code)
}

func (m *moment) tellCalled(w *Why, say func(string, ...any)) {
	if len(w.Calls) == 0 {
		say("What became of its single calls is not remembered: they are kept in memory, since this server started.")
		return
	}
	c := w.Calls[0]
	for i, a := range c.Asked {
		when := "Then"
		if i == 0 {
			when = "In its last call"
		}
		what := word(outcomes, a.Outcome)
		if a.Error != "" {
			what += " (" + a.Error + ")"
		}
		say("%s, %s was asked: %s, after %s.", when, a.Host, what, took(a.Took))
	}
	host := "Nobody answered it"
	if c.Host != "" {
		host = c.Host + " answered it"
	}
	say("%s, %s, in %s: %s.", host, ago(m.now, c.At), took(c.Took), c.Meaning)
	if c.Result == "no_host" || c.Result == "failed" {
		say("The client was told that the server is too busy, so that it goes on to its next SRV record; if there is none that works, it shows 0xC004F074.")
	}
}
