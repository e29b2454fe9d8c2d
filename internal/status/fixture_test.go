package status

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// estate is a Source with something of everything: several zones, hosts in every state, a pool that suspects itself, one that
// has nobody and one that has 256 hosts; and people who call their machines what they like.
type estate struct {
	at      time.Time
	hostile string // stands wherever others choose the text
	silent  bool   // nothing happened yet
	small   bool   // without the pool of 256 hosts
	views   bool   // two of the first zone and of its pool, by one name
}

// noon is when the tests are.
var noon = time.Date(2026, 3, 4, 12, 0, 30, 0, time.UTC)

func (e estate) text(s string) string { return s + e.hostile }

// hour is a Point a minute, each as state says of the minute before noon (0 is the last).
func (e estate) hour(state func(ago int) string, rtt float64) []Point {
	var out []Point
	for ago := 59; ago >= 0; ago-- {
		s := state(ago)
		if s == "" {
			continue
		}
		p := Point{At: e.at.Truncate(time.Minute).Add(-time.Duration(ago) * time.Minute), State: s}
		switch s {
		case "up", "drained", "claimed":
			wave := 1 + .3*math.Sin(float64(ago)/5) + .2*math.Cos(float64(ago)*1.7)
			p.Passed, p.Mean, p.Min, p.Max = 6, rtt*wave, rtt*wave*.7, rtt*wave*1.5
		case "suspect":
			p.Passed, p.Failed, p.Mean, p.Min, p.Max = 4, 2, rtt*2, rtt, rtt*4
		case "down":
			p.Failed = 1
		}
		out = append(out, p)
	}
	return out
}

func always(state string) func(int) string { return func(int) string { return state } }

// turned is one state for the last minutes, and another before.
func turned(minutes int, now, before string) func(int) string {
	return func(ago int) string {
		if ago < minutes {
			return now
		}
		return before
	}
}

func (e estate) host(endpoint, state string, since time.Duration, hour []Point) Host {
	return Host{
		Endpoint: e.text(endpoint), State: state, Since: e.at.Add(-since), Why: "it is " + state + e.text(""), Weight: 50, Key: "any",
		Addresses: []string{"192.0.2.10"}, Probed: e.at.Add(-4 * time.Second), RTT: .0021, Next: e.at.Add(6 * time.Second),
		Syntax: "NDR64", Errors: []Errors{}, Latency: hour, Transitions: []Event{},
	}
}

func (e estate) corp() Pool {
	kms1 := e.host("kms1.corp.example.org:1688", "up", 53*time.Hour, e.hour(always("up"), .0021))
	kms1.Why, kms1.Clients, kms1.Homes, kms1.Served, kms1.LastServed = "passed its last 40 probes", 8412, 8100, 91822,
		e.at.Add(-9*time.Second)
	kms1.Count, kms1.CountAt = 50, e.at.Add(-9*time.Second)
	kms1.Errors = []Errors{
		{"0xC004F042", "the host has no key for this product: it declined", 211, e.at.Add(-40 * time.Minute)},
		{"silent", "it did not answer in time", 3, e.at.Add(-50 * time.Hour)},
	}
	kms2 := e.host("kms2.corp.example.org:1688", "suspect", 6*time.Second, e.hour(turned(1, "suspect", "up"), .0034))
	kms2.Why, kms2.Error, kms2.Clients = "failed its last probe: it is answered behind every healthy host",
		e.text("no answer from 192.0.2.11:1688 within 2s"), 31
	kms2.Transitions = []Event{{e.at.Add(-6 * time.Second), "corp.example.org", kms2.Endpoint, "up", "suspect", 7300,
		e.text("no answer within 2s")}}
	kms3 := e.host("kms3.corp.example.org:1688", "down", 8*time.Minute, e.hour(turned(8, "down", "up"), .0060))
	kms3.Why, kms3.Error = "failed 8 times in a row",
		e.text("connection to 192.0.2.12:1688 refused: nothing listens there, or a firewall rejects it")
	kms3.Priority, kms3.Clients, kms3.Syntax, kms3.RTT = 10, 7, "NDR32", 0
	for i := range 50 {
		kms3.Transitions = append(kms3.Transitions, Event{e.at.Add(-time.Duration(8+i*70) * time.Minute), "corp.example.org",
			kms3.Endpoint, []string{"suspect", "down"}[i%2], []string{"down", "suspect"}[i%2], 90, e.text("refused")})
	}
	kms4 := e.host("kms4.corp.example.org:1688", "drained", 26*time.Hour, e.hour(turned(30, "drained", ""), .0011))
	kms4.Drained = &Drainage{By: e.text("alice"), Why: e.text("new disks"), At: e.at.Add(-26 * time.Hour)}
	kms5 := e.host("kms5.corp.example.org:1688", "claimed", 12*time.Second, e.hour(turned(1, "claimed", ""), .0020))
	kms5.Announced, kms5.Clients = true, 0
	kms6 := e.host("kms6.corp.example.org:1689", "unchecked", 3*time.Second, []Point{})
	kms6.Probed, kms6.Next, kms6.Addresses, kms6.Clients = time.Time{}, time.Time{}, []string{}, 3
	return Pool{
		Name: "corp.example.org", Condition: "unsettled", Why: "a suspect is answered, behind the hosts that are well.", Checked: false,
		Age: 1.2, Interval: 10, Hosts: []Host{kms1, kms2, kms3, kms4, kms5, kms6},
		Responder: &Responder{
			Address: "0.0.0.0:1688", Policy: "concentrate", Connections: 12,
			Calls: map[string]uint64{"forwarded_ok": 91822, "forwarded_error": 40, "declined": 211, "no_host": 0, "failed": 2,
				"unreadable": 7},
			Refused:  map[string]uint64{"network": 14, "connections": 0, "client": 2, "rate": 1},
			LastCall: e.at.Add(-9 * time.Second),
		},
	}
}

// lab is a pool of 256 hosts.
func (e estate) lab() Pool {
	p := Pool{Name: "lab.example.org", Condition: "unsettled", Why: "a suspect is answered.", Checked: true, Age: .1, Interval: 10,
		Hosts: []Host{}}
	for i := range 256 {
		state := "up"
		switch {
		case i%37 == 5:
			state = "down"
		case i%61 == 7:
			state = "suspect"
		}
		h := e.host(fmt.Sprintf("host%03d.lab.example.org:1688", i), state, time.Hour, e.hour(always(state), .001+float64(i)/1e5))
		h.Clients, h.Priority = i, uint16(i/64)
		p.Hosts = append(p.Hosts, h)
	}
	return p
}

func (e estate) Report() Report {
	r := Report{
		Version: Version, At: e.at, Server: Server{Name: e.text("dns1"), Program: "CoreDNS-1.15.0+kms-test",
			Started: e.at.Add(-75 * time.Hour)},
		Status: "ok", Summary: "Nothing to do: no zone is served.", Findings: []Finding{}, Zones: []Zone{}, Pools: []Pool{},
		Events:  []Event{},
		Clients: Summary{Weeks: make([]int, Weeks)}, Updates: Updates{Attempts: []Attempt{}},
	}
	if e.silent {
		return r
	}
	corp, lab := e.corp(), e.lab()
	self := e.host("kms.branch.example.org:1688", "down", 20*time.Second, e.hour(turned(1, "down", "up"), .04))
	r.Pools = []Pool{
		corp,
		{Name: "branch.example.org", Condition: "self-suspected",
			Why:     "all hosts failed within one interval: this server suspects its own network and keeps the last good answer.",
			Checked: true, Age: 2, Interval: 10, Hosts: []Host{self}},
		{Name: "empty.example.org", Condition: "all-down", Why: "nobody announced a host yet.", Hosts: []Host{}, Interval: 10},
		lab,
	}
	if e.small {
		r.Pools = r.Pools[:3]
	}
	r.Status, r.Summary = "critical", "1 zone has an empty answer, and 2 hosts need somebody."
	r.Findings = []Finding{
		{"critical", "empty.example.org", "clients get an empty answer and look again in two hours.",
			"Name a host in the Corefile, or let hosts announce themselves."},
		{"warning", e.text("kms3.corp.example.org:1688"), e.text("down for 8 min: connection refused."),
			"Look whether the service sppsvc runs there and whether its firewall lets port 1688 in."},
		{"warning", "clients", "9 clients did not call for 150 days: their activation ends in at most 30.", ""},
	}
	r.Zones = []Zone{
		{
			Name: "corp.example.org", Service: "_vlmcs._tcp.corp.example.org", Pool: corp.Name, Result: "normal",
			Why: "2 of 6 hosts are answered.", TTL: 5,
			Answer: []Record{
				{0, 0, 1688, "kms.corp.example.org", "kms.corp.example.org:1688", []string{"192.0.2.1", "2001:db8::1"}, "responder", .6,
					.33, 0, "This server itself: it carries calls to a live host."},
				{0, 50, 1688, e.text("kms1.corp.example.org"), corp.Hosts[0].Endpoint, []string{"192.0.2.10"}, "up", .4, .33, 0,
					"It is up, with the priority of the Corefile."},
				{21, 50, 1688, e.text("kms2.corp.example.org"), corp.Hosts[1].Endpoint, []string{"192.0.2.11"}, "suspect", 0, .33, 0,
					"It failed lately, and stands behind every healthy host."},
			},
			Absent: []Absent{
				{corp.Hosts[2].Endpoint, "down", e.text("It failed 8 times in a row.")},
				{corp.Hosts[3].Endpoint, "drained", e.text("alice took it out: new disks.")},
				{corp.Hosts[4].Endpoint, "claimed", "It announced itself and has to pass two probes first."},
			},
		},
		{Name: "branch.example.org", Service: "_vlmcs._tcp.branch.example.org", Pool: "branch.example.org", Result: "fail_open", TTL: 5,
			Why: "Every host failed at once; the last good answer stands for five minutes.", Absent: []Absent{},
			Answer: []Record{{0, 0, 1688, "kms.branch.example.org", self.Endpoint, []string{}, "down", 1, 1, 0,
				"It was up before all failed together."}}},
		{Name: "empty.example.org", Service: "_vlmcs._tcp.empty.example.org", Pool: "empty.example.org", Result: "nodata", TTL: 30,
			Why: "The pool has no hosts.", Answer: []Record{}, Absent: []Absent{}},
		{Name: "lab.example.org", Service: "_vlmcs._tcp.lab.example.org", Pool: lab.Name, Result: "normal", TTL: 30,
			Why:    "245 of 256 hosts are answered.",
			Answer: []Record{}, Absent: []Absent{}},
	}
	if e.small {
		r.Zones = r.Zones[:3]
		lab.Hosts = nil
	}
	wide := &r.Zones[len(r.Zones)-1]
	for _, h := range lab.Hosts {
		if h.State == "down" {
			wide.Absent = append(wide.Absent, Absent{h.Endpoint, h.State, "It is down."})
			continue
		}
		chance := 0.
		if h.Priority == 0 {
			chance = 1. / 62
		}
		name, _, _ := strings.Cut(h.Endpoint, ":")
		wide.Answer = append(wide.Answer, Record{h.Priority, h.Weight, 1688, name, h.Endpoint, h.Addresses, h.State, chance, 1. / 245,
			h.Priority, "It is up."})
	}
	for i := range 100 {
		h := corp.Hosts[i%3]
		r.Events = append(r.Events, Event{e.at.Add(-time.Duration(i*i*7+6) * time.Second), corp.Name, h.Endpoint,
			stateOrder[(i+1)%3], stateOrder[i%3], float64(40 + i*i), e.text("no answer within 2s")})
	}
	r.Clients = Summary{Known: 10342, Unserved: 17, Silent90: 61, Silent150: 9, Kept: true, Weeks: []int{
		8120, 1630, 300, 90, 40, 31, 22, 11, 9, 12, 8, 4, 4, 9, 8, 3, 6, 7, 5, 8, 6, 3, 2, 0, 1, 1, 2}}
	r.Updates = Updates{Enabled: true, Accepted: 41, Refused: 3, Attempts: []Attempt{
		{e.at.Add(-12 * time.Second), "10.1.0.15", "", "corp.example.org", "add kms5.corp.example.org:1688", true, ""},
		{e.at.Add(-3 * time.Hour), "10.9.0.77", "", "corp.example.org", e.text("add desktop-7f3.corp.example.org:1688"), false,
			e.text("10.9.0.77 is in no network that allow names")},
		{e.at.Add(-30 * time.Hour), "10.1.0.11", "kms-update.example.org", "corp.example.org", "delete all", true, ""},
	}}
	if e.views {
		r.Zones, r.Pools = append(r.Zones, r.Zones[0]), append(r.Pools, r.Pools[0])
	}
	return r
}

// clients are in the order of the ledger.
func (e estate) clients() []Client {
	var out []Client
	for i := range 240 {
		cmid := fmt.Sprintf("%08x-0000-4000-8000-%012x", i, i)
		silent := float64(240-i) * .72
		c := Client{ID: cmid, CMID: cmid, Machine: e.text("PC-" + strconv.Itoa(1000+i)),
			Address: netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}).String(), Version: "4.0",
			First: e.at.Add(-300 * 24 * time.Hour), Last: e.at.Add(-time.Duration(silent*24) * time.Hour),
			Host:   "kms1.corp.example.org:1688",
			Result: "forwarded_ok", Calls: uint64(3 * i), Silent: silent}
		c.Served = c.Last
		switch i % 12 {
		case 3:
			c.Served, c.Host, c.Result = time.Time{}, "", "no_host"
		case 7:
			c.ID, c.CMID, c.Machine, c.Version = c.Address, "", "", "6.0"
		}
		out = append(out, c)
	}
	return out
}

func (e estate) Clients(q ClientQuery) Clients {
	out := Clients{Version: Version, At: e.at, Offset: q.Offset, Clients: []Client{}}
	if e.silent {
		return out
	}
	all := slices.DeleteFunc(e.clients(), func(c Client) bool {
		return !strings.Contains(strings.ToLower(c.Machine+c.Address+c.ID), strings.ToLower(q.Search)) ||
			c.Silent < float64(q.SilentDays) || q.Unserved && !c.Served.IsZero()
	})
	out.Total = len(all)
	all = all[min(q.Offset, len(all)):]
	limit := q.Limit
	if limit == 0 {
		limit = DefaultRows
	}
	out.Clients = append(out.Clients, all[:min(limit, len(all))]...)
	return out
}

func (e estate) Why(client string) (Why, error) {
	if e.silent || strings.Contains(client, "nobody") {
		return Why{}, ErrUnknownClient
	}
	if strings.Contains(client, "!") {
		return Why{}, fmt.Errorf("%q is no client: name a machine, an address or a CMID", client)
	}
	rows := e.clients()[:1]
	return Why{
		Version: Version, At: e.at, Query: client, Clients: rows,
		Story: []string{e.text("PC-1000") + " called 3 s ago and was answered by kms2.corp.example.org:1688, which took the request.",
			"It was sent there because kms1.corp.example.org:1688, which it stays with, did not answer in time."},
		Questions: []Question{{e.at.Add(-5 * time.Second), "10.1.0.0", e.text("_vlmcs._tcp.corp.example.org"), "SRV", "normal",
			"0 0 1688 kms.corp.example.org, 0 50 1688 kms1.corp.example.org"}},
		Calls: []Call{
			{e.at.Add(-3 * time.Second), "corp.example.org", "10.1.0.0", rows[0].CMID, rows[0].Machine, "4.0", "forwarded_ok",
				"kms2.corp.example.org:1688", "0x00000000",
				"The host took the request.", 2.01, 25, 31, "licensed", []Asked{{"kms1.corp.example.org:1688", "silent",
					e.text("no answer within 2s"), 2}, {"kms2.corp.example.org:1688", "answered", "", .004}}},
			{e.at.Add(-3 * time.Hour), "corp.example.org", "10.1.0.0", rows[0].CMID, rows[0].Machine, "4.0", "no_host", "", "0xC004F074",
				"", 0, 25, 0, "notification", []Asked{}},
		},
		Preferences: []Preference{{"corp.example.org", "kms1.corp.example.org:1688", "it answered this client before"},
			{"corp.example.org", "kms2.corp.example.org:1688", "the next by weight"}},
	}, nil
}
