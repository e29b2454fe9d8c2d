package status

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/internal/pool"
	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/internal/registry"
)

// deaf is an observer of what nobody asks about.
type deaf struct{}

func (deaf) Probed(string, probe.Result)                          {}
func (deaf) Changed(pool.Transition)                              {}
func (deaf) Resolved(string, error)                               {}
func (deaf) Settled(from, to pool.Condition, after time.Duration) {}

// block is a kms block for example.org with the hosts of script, "NAME[/PRIORITY[/WEIGHT]]=STATE" each. Nothing runs behind it.
func block(t *testing.T, script string) Face {
	t.Helper()
	f := Face{Block: config.Default(), Target: func(r pool.Record, _ string) string { return r.Name }}
	f.Zones = []string{"example.org."}
	remembered := make(map[string]pool.Memory)
	for _, word := range strings.Fields(script) {
		word, state, _ := strings.Cut(word, "=")
		parts := strings.Split(word, "/")
		h, err := config.ParseHost(parts[0] + ".example.org")
		if err != nil {
			t.Fatal(err)
		}
		for i, to := range []*uint16{&h.Priority, &h.Weight} {
			if len(parts) > i+1 {
				fmt.Sscan(parts[i+1], to)
			}
		}
		h.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		f.Hosts = append(f.Hosts, h)
		if state != "unchecked" {
			remembered[h.Endpoint()] = memory(state)
		}
	}
	f.Pool = engine.Pool{Name: "example.org", Pool: pool.New(f.Hosts, f.Probe, pool.Means{Observer: deaf{}, Jitter: func() float64 { return 0 }}, remembered)}
	f.Result = func(s *pool.Snapshot) string {
		switch {
		case s.Condition == pool.AllDown && len(s.Records) == 0:
			return "nodata"
		case s.Condition == pool.AllDown || s.Condition == pool.SelfSuspected:
			return "fail_open"
		}
		return "normal"
	}
	f.TTL = func(c pool.Condition) int { return map[pool.Condition]int{pool.Calm: 30}[c] + 5*min(int(c), 1) }
	return f
}

// memory is that of a host which came into state ten minutes ago.
func memory(state string) pool.Memory {
	events := map[string][]pool.Event{"up": {pool.Pass}, "suspect": {pool.Pass, pool.Fail}, "down": {pool.Fail, pool.Fail, pool.Fail},
		"drained": {pool.Pass, pool.Drain}}[state]
	now := time.Now()
	m := pool.Memory{At: now, Since: now.Add(-10 * time.Minute), Last: probe.Result{Start: now.Add(-time.Second), RTT: time.Millisecond, Syntax: "NDR64"}}
	for _, e := range events {
		m.Health, _ = m.Health.Next(e, pool.Thresholds{Rise: 2, Fall: 3})
	}
	switch state {
	case "suspect", "down":
		m.Reason = errors.New("connection to 192.0.2.1:1688 refused\x1b[31m")
	case "drained":
		m.Drainage = &pool.Drainage{By: "alice", Why: "new disks", At: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)}
	}
	return m
}

// server is a running server with these blocks and this ledger, which may be nil.
func server(book *ledger.Ledger, faces ...Face) *Live {
	l := &Live{HostHistory: new(history.Hosts), ClientHistory: new(history.Clients), Server: Server{Name: "dns1", Started: time.Now().Add(-time.Hour)},
		Faces: func() []Face { return faces }, Broken: func() error { return nil }, Unloaded: func() time.Time { return time.Time{} }}
	l.Book = func() *engine.Book {
		if book == nil {
			return nil
		}
		return &engine.Book{Ledger: book}
	}
	return l
}

// TestLiveZones: the answer as it is, the reason of each record, and who is missing.
func TestLiveZones(t *testing.T) {
	for _, tt := range []struct {
		name, script, result string
		answer               []string // "PRIORITY TARGET CHANCE%: part of the reason" of each record
		absent               []string
	}{
		{"calm", "kms1/0/60=up kms2/0/40=up kms3/10=unchecked kms4=drained", "normal", []string{
			"0 kms1.example.org 60%: up for 10 min: as configured, priority 0",
			"0 kms2.example.org 40%: up for 10 min",
			"10 kms3.example.org 0%: not asked yet, and offered until it is",
		}, []string{"kms4.example.org:1688 drained: drained by alice on 2026-11-24 09:30 UTC: new disks"}},
		{"a suspect", "kms1/5=suspect kms2/7=up", "normal", []string{
			"7 kms2.example.org 100%: up for",
			"8 kms1.example.org 0%: suspect since 10 min: behind every healthy host (configured priority 5)",
		}, nil},
		{"nothing but a suspect", "kms1=suspect", "normal", []string{"0 kms1.example.org 100%: suspect since 10 min, and nobody is healthier"}, nil},
		{"one is down", "kms1=up kms2=down", "normal", []string{"0 kms1.example.org 100%: up"},
			[]string{"kms2.example.org:1688 down: connection to 192.0.2.1:1688 refused\ufffd[31m"}},
		{"all down", "kms1=down kms2/9=down", "fail_open", []string{"0 kms1.example.org 100%: down, and answered all the same: of the first tier"},
			[]string{"kms2.example.org:1688 down: as all hosts are, and it is not of the first tier"}},
		{"all drained", "kms1=drained", "nodata", nil, []string{"kms1.example.org:1688 drained: drained by alice"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := server(nil, block(t, tt.script)).Report().Zones[0]
			if z.Name != "example.org" || z.Service != "_vlmcs._tcp.example.org" || z.Result != tt.result || z.Why == "" {
				t.Errorf("zone %+v", z)
			}
			var answer, absent []string
			for _, r := range z.Answer {
				answer = append(answer, fmt.Sprintf("%d %s %.0f%%: %s", r.Priority, r.Target, 100*r.Chance, r.Why))
			}
			for _, a := range z.Absent {
				absent = append(absent, a.Endpoint+" "+a.State+": "+a.Why)
			}
			begins := func(got, want string) bool { return strings.HasPrefix(got, want) }
			if !slices.EqualFunc(answer, tt.answer, begins) || !slices.EqualFunc(absent, tt.absent, begins) {
				t.Errorf("answer %q\nabsent %q", answer, absent)
			}
		})
	}
}

// TestLiveReasons: what cannot be brought about without a network is what it is, and not what is nearest to it.
func TestLiveReasons(t *testing.T) {
	m := &moment{now: time.Now()}
	host := func(state pool.State, priority uint16) pool.Status {
		return pool.Status{Host: config.Host{Priority: priority}, State: state, Since: m.now.Add(-time.Minute),
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	}
	nameless, renamed := host(pool.Unchecked, 0), host(pool.Unchecked, 0)
	nameless.Addresses, nameless.Unresolved, renamed.Unresolved = nil, errors.New("no such host"), errors.New("no such host")
	for _, tt := range []struct {
		condition pool.Condition
		priority  uint16 // of the record
		host      pool.Status
		want      string
	}{
		{pool.AllDown, 0, nameless, "its name does not resolve here, and never did: answered all the same"},
		{pool.Calm, 1, nameless, "its name does not resolve here, and never did: behind every other host"},
		{pool.Calm, 0, renamed, "not asked yet, and offered until it is"}, // it has the addresses that it had
		{pool.SelfSuspected, 1, nameless, "its name does not resolve here, and never did: behind every other host"},
		{pool.SelfSuspected, 0, host(pool.Down, 0), "kept from the last good answer"},
		{pool.SelfSuspected, 0, host(pool.Suspect, 0), "kept from the last good answer"},
		{pool.SelfSuspected, 8, host(pool.Suspect, 3), "suspect since 1 min: behind every healthy host (configured priority 3)"},
		{pool.Unsettled, 0, host(pool.Up, 65535), "up for 1 min: its place as configured, but all are numbered anew (configured priority 65535)"},
	} {
		if got := m.recordWhy(&pool.Snapshot{Condition: tt.condition}, pool.Record{Priority: tt.priority}, tt.host); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s, %s: %q, want %q", tt.condition, tt.host.State, got, tt.want)
		}
	}
	if got := m.stateWhy(renamed); got != "not asked yet" {
		t.Errorf("an address is known, and yet %q", got)
	}
	if got := absentWhy("fail_open", &pool.Snapshot{Condition: pool.AllDown}, nameless); !strings.Contains(got, "not of the first tier") {
		t.Errorf("not of the first tier, and yet %q", got)
	}
	for condition, want := range map[pool.Condition]string{pool.SelfSuspected: "the last good answer", pool.AllDown: "every host failed its checks"} {
		if got := resultWhy("fail_open", &pool.Snapshot{Condition: condition}); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", condition, got, want)
		}
	}
	for result, want := range map[string]string{"servfail": "no host may be offered, and all_down says SERVFAIL", "nodata": "an empty answer: no host may be offered"} {
		if got := resultWhy(result, &pool.Snapshot{Condition: pool.AllDown}); !strings.HasPrefix(got, want) {
			t.Errorf("%s with every host drained: %q, want %q", result, got, want)
		}
		if got := resultWhy(result, &pool.Snapshot{Condition: pool.AllDown, Standing: 1}); !strings.Contains(got, "every host failed its checks") {
			t.Errorf("%s with every host down: %q", result, got)
		}
	}
}

// TestLiveFallthrough: an answer that is empty here need not be empty.
func TestLiveFallthrough(t *testing.T) {
	f := block(t, "kms1=drained")
	f.Falls = func(zone string) bool { return zone == "example.org." }
	f.Zones = []string{"example.org.", "example.net."}
	r := server(nil, f).Report()
	for i, want := range []bool{true, false} {
		if got := strings.Contains(r.Zones[i].Why, "the next plugin answers first"); got != want {
			t.Errorf("%s: %q", r.Zones[i].Name, r.Zones[i].Why)
		}
	}
	from := netip.MustParseAddr("10.0.0.7")
	l := server(nil, f)
	l.ClientHistory.Ask(history.Question{At: time.Now(), From: from, Name: "_vlmcs._tcp.example.org.", Type: 33, Result: "fallthrough"})
	if w, err := l.Why("10.0.0.7"); err != nil || !strings.Contains(strings.Join(w.Story, " "), "what another plugin of this server says") {
		t.Errorf("%v, %q", err, w.Story)
	}
}

// TestLiveAnnouncements: all that is remembered counts, and a hundred of it are shown.
func TestLiveAnnouncements(t *testing.T) {
	f := block(t, "kms1=up")
	f.Update = new(config.Update)
	var err error
	if f.Registry, err = registry.New(config.Update{}, "test", nil); err != nil {
		t.Fatal(err)
	}
	for n := range maxAttempts + 20 {
		f.Registry.Tried(registry.Attempt{At: time.Now().Add(-time.Duration(n) * time.Minute), Accepted: n < 5,
			From: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n % 7)}), uint16(n))})
	}
	f.Registry.Tried(registry.Attempt{At: time.Now().Add(-25 * time.Hour), From: netip.MustParseAddrPort("192.0.2.99:53")})
	other := f // of a second block with the same registry
	r := server(nil, f, other).Report()
	if u := r.Updates; !u.Enabled || u.Accepted != 5 || u.Refused != maxAttempts+16 || len(u.Attempts) != maxAttempts || u.Attempts[0].At.Before(u.Attempts[1].At) {
		t.Errorf("%d accepted, %d refused, %d shown", u.Accepted, u.Refused, len(u.Attempts))
	}
	if len(r.Findings) != 1 || !strings.HasPrefix(r.Findings[0].What, fmt.Sprintf("%d announcements refused in 24 hours, from 192.0.2.", maxAttempts+15)) ||
		!strings.HasSuffix(r.Findings[0].What, " and 2 more") {
		t.Errorf("%+v", r.Findings)
	}
}

// TestLivePoolsOfOneName: a reload that gives a zone's hosts to another zone keeps their pool under its name, and that name may be
// taken anew. Each zone is answered from its own.
func TestLivePoolsOfOneName(t *testing.T) {
	a, b, c := block(t, "kms1=up"), block(t, "kms2=down"), block(t, "kms1=up")
	b.Zones, c.Zones, c.Pool = []string{"example.net."}, []string{"example.com."}, a.Pool
	r := server(nil, a, b, c).Report()
	if len(r.Pools) != 2 || r.Pools[0].Hosts[0].Endpoint != "kms1.example.org:1688" || r.Pools[1].Hosts[0].Endpoint != "kms2.example.org:1688" {
		t.Errorf("pools %+v", r.Pools)
	}
	if z := r.Zones[1]; len(z.Answer) != 1 || z.Answer[0].State != "down" {
		t.Errorf("example.net %+v", z)
	}
	if z := r.Zones[2]; len(z.Answer) != 1 || z.Answer[0].State != "up" {
		t.Errorf("example.com %+v", z)
	}
}

// TestLiveTwoResponders: blocks that share a pool may each have one.
func TestLiveTwoResponders(t *testing.T) {
	a := block(t, "kms1=up")
	counts := func() map[string]uint64 { return map[string]uint64{"forwarded_ok": 7} }
	a.Responder = &ResponderFace{Connections: func() int { return 2 }, Calls: counts, Refused: counts, Itself: func(string) bool { return false }}
	a.Block.Responder = &config.Responder{Address: "127.0.0.1:1688"}
	b := a
	b.Block.Responder = &config.Responder{Address: "127.0.0.2:1688"}
	if r := server(nil, a, b).Report().Pools[0].Responder; r.Address != "127.0.0.1:1688, 127.0.0.2:1688" || r.Connections != 4 || r.Calls["forwarded_ok"] != 7 {
		t.Errorf("%+v", r)
	}
}

// TestLiveResponderInAnswer: this server stands in its own answer for what it is.
func TestLiveResponderInAnswer(t *testing.T) {
	f := block(t, "kms1/10=up")
	f.Pool.Advertise(pool.Record{Endpoint: "kms.example.org:1688", Name: "kms.example.org.", Port: 1688})
	z := server(nil, f).Report().Zones[0]
	if r := z.Answer[0]; len(z.Answer) != 2 || r.State != "responder" || r.Chance != 1 || r.AnyChance != 0.5 || !strings.Contains(r.Why, "this server") {
		t.Errorf("%+v", z.Answer)
	}
}

// TestLiveFindings: what is wrong is said, the worst first, each with what to do; what is well is not.
func TestLiveFindings(t *testing.T) {
	silent := ledger.New(0)
	silent.Enter(ledger.Call{At: time.Now().Add(-160 * day), Client: ledger.ByCMID([16]byte{1}), Host: "kms1.example.org:1688", Counted: true})
	rejected := ledger.New(0)
	for _, days := range []int{40, 20, 0} {
		rejected.Enter(ledger.Call{At: time.Now().Add(-time.Duration(days) * day), Client: ledger.ByCMID([16]byte{2}), Host: "kms1.example.org:1688"})
	}
	for _, tt := range []struct {
		name, script string
		change       func(*Live)
		status       string
		want         []string // parts of the findings
	}{
		{"all is well", "kms1=up kms2=up kms3=drained", nil, OK, nil},
		{"not asked yet", "kms1=unchecked", nil, OK, nil},
		{"a suspect", "kms1=up kms2=suspect", nil, Warning, []string{"kms2.example.org:1688: it fails since 10 min, not often enough"}},
		{"one down", "kms1=up kms2=down", nil, Warning, []string{"kms2.example.org:1688: down for 10 min: connection to"}},
		{"all down", "kms1=down", nil, Critical, []string{"example.org: every host that is not drained failed", "kms1.example.org:1688: down"}},
		{"all drained", "kms1=drained", nil, Critical, []string{"_vlmcs._tcp.example.org: clients get no host from here", "example.org: there is no host that may be offered"}},
		{"the store is broken", "kms1=up", func(l *Live) { l.Broken = func() error { return errors.New("disk full") } }, Critical, []string{"store: disk full"}},
		{"a reload failed", "kms1=up", func(l *Live) { l.Unloaded = func() time.Time { return time.Now().Add(-time.Minute) } }, Warning,
			[]string{"Corefile: the last reload failed, "}},
		{"below the threshold", "kms1=up", func(l *Live) {
			l.HostHistory.Served("example.org", "kms1.example.org:1688", 3, time.Now())
		}, Warning, []string{"kms1.example.org:1688: it takes calls and has had 0 distinct clients in 30 days; Windows clients need a count of 25"}},
		{"a client silent", "kms1=up", func(l *Live) { l.Book = func() *engine.Book { return &engine.Book{Ledger: silent} } }, Warning,
			[]string{"clients: 1 client did not call for 150 days"}},
		{"a client in vain", "kms1=up", func(l *Live) { l.Book = func() *engine.Book { return &engine.Book{Ledger: rejected} } }, Warning,
			[]string{"clients: 1 client calls and no host took a request of them for 30 days"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := server(nil, block(t, tt.script))
			if tt.change != nil {
				tt.change(l)
			}
			r := l.Report()
			var got []string
			for _, f := range r.Findings {
				got = append(got, f.About+": "+f.What)
				if f.Next == "" {
					t.Errorf("nothing to do about %q", f.What)
				}
			}
			up, _, _ := strings.Cut(r.Summary, " of ")
			if want := fmt.Sprint(strings.Count(tt.script, "=up")); up != want {
				t.Errorf("%q: %s are up", r.Summary, want)
			}
			if r.Status != tt.status || !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("%s (%s): %q", r.Status, r.Summary, got)
			}
		})
	}
	if r := server(nil).Report(); r.Status != Critical || r.Zones == nil || r.Pools == nil || r.Findings == nil {
		t.Errorf("without a block: %+v", r)
	}
}

// TestLiveHosts: what is remembered of a host is shown with it.
func TestLiveHosts(t *testing.T) {
	book := ledger.New(0)
	const kms1 = "kms1.example.org:1688"
	for n := range 30 {
		book.Enter(ledger.Call{At: time.Now(), Client: ledger.ByCMID([16]byte{byte(n + 1)}), Host: kms1, Counted: true})
	}
	l := server(book, block(t, "kms1=up kms2=down"))
	now := time.Now()
	l.HostHistory.Changed("example.org", pool.Transition{Host: kms1, From: pool.Suspect, To: pool.Up, After: time.Minute}, now.Add(-30*time.Minute))
	l.HostHistory.Probed("example.org", kms1, probe.Result{Outcome: probe.Passed, RTT: 2 * time.Millisecond}, now)
	l.HostHistory.Served("example.org", kms1, 28, now)
	l.HostHistory.Failed("example.org", kms1, "0xC004F042", now)
	l.HostHistory.Failed("example.org", kms1, "silent", now)
	r := l.Report()
	h := r.Pools[0].Hosts[0]
	if h.State != "up" || h.Clients != 30 || h.Homes != 30 || h.Count != 28 || h.Served != 1 || h.Syntax != "NDR64" || h.RTT != 0.001 {
		t.Errorf("%+v", h)
	}
	if len(h.Errors) != 2 || h.Errors[0].Text != "host has no key for that product" || h.Errors[1].Text != "it did not answer in time" {
		t.Errorf("errors %+v", h.Errors)
	}
	if len(h.Transitions) != 1 || h.Transitions[0].From != "suspect" || len(r.Events) != 1 || r.Events[0].Pool != "example.org" {
		t.Errorf("transitions %+v, events %+v", h.Transitions, r.Events)
	}
	last := h.Latency[len(h.Latency)-1]
	if n := len(h.Latency); n < 59 || n > 60 || last.Passed != 1 || last.Max != 0.002 || last.State != "up" || h.Latency[10].State != "suspect" {
		t.Errorf("%d minutes, the last %+v, the eleventh %+v", n, last, h.Latency[10])
	}
	l.HostHistory.Probed("example.org", kms1, probe.Result{Outcome: probe.Passed, RTT: time.Millisecond}, now.Add(-5*time.Minute))
	l.Server.Started = now // by a clock that was set: a probe is older than the server
	if all := l.Report().Pools[0].Hosts[0].Latency; all[len(all)-1].Passed != 1 {
		t.Errorf("The last minute of a clock that was set: %+v", all[len(all)-1])
	}
	if n := len(l.Report().Pools[0].Hosts[0].Latency); n > 2 {
		t.Errorf("%d minutes of a server that has just started", n)
	}
}

// TestLiveClients: pages, searches and filters of the ledger.
func TestLiveClients(t *testing.T) {
	book := ledger.New(0)
	for n, days := range []int{200, 100, 3, 0} {
		book.Enter(ledger.Call{At: time.Now().Add(-time.Duration(days) * day), Client: ledger.ByCMID([16]byte{0: 0x78, 1: 0x56, 2: 0x34, 3: 0x12, 15: byte(n)}),
			From: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), Host: "kms1.example.org:1688", Counted: n != 2, Version: "4.0", Result: "forwarded_ok",
			Machine: fmt.Sprintf("PC%d<script>\u202e", n)})
	}
	book.Enter(ledger.Call{At: time.Now(), Client: ledger.ByAddress(netip.MustParseAddr("10.0.1.9")), From: netip.MustParseAddr("10.0.1.9"), Version: "6.0"})
	l := server(book, block(t, "kms1=up"))
	for _, tt := range []struct {
		q     ClientQuery
		total int
		first string // machine or address of the first row
	}{
		{ClientQuery{}, 5, `PC0<script>\u202e`},
		{ClientQuery{SilentDays: 90}, 2, `PC0<script>\u202e`},
		{ClientQuery{SilentDays: 150}, 1, `PC0<script>\u202e`},
		{ClientQuery{Unserved: true}, 2, `PC2<script>\u202e`},
		{ClientQuery{Search: "pc3"}, 1, `PC3<script>\u202e`},
		{ClientQuery{Search: "10.0.1.0/24"}, 1, "10.0.1.9"},
		{ClientQuery{Search: "10.0.0.1"}, 1, `PC1<script>\u202e`},
		{ClientQuery{Search: "12345678-"}, 4, `PC0<script>\u202e`},
		{ClientQuery{Search: "nobody"}, 0, ""},
		{ClientQuery{Offset: 1, Limit: 1}, 5, `PC1<script>\u202e`},
	} {
		got := l.Clients(tt.q)
		first := ""
		if len(got.Clients) > 0 {
			if first = got.Clients[0].Machine; first == "" {
				first = got.Clients[0].ID
			}
		}
		if got.Total != tt.total || first != tt.first || tt.q.Limit > 0 && len(got.Clients) > tt.q.Limit {
			t.Errorf("%+v: %d, the first %q, want %d and %q", tt.q, got.Total, first, tt.total, tt.first)
		}
	}
	if c := l.Clients(ClientQuery{}).Clients[0]; c.CMID != "12345678-0000-0000-0000-000000000000" || c.ID != c.CMID || int(c.Silent) != 200 {
		t.Errorf("%+v", c)
	}
	if got := server(nil).Clients(ClientQuery{}); got.Clients == nil || got.Total != 0 {
		t.Errorf("without a ledger: %+v", got)
	}
}

// TestLiveWhy: all that is known of one client, whatever it is called by.
func TestLiveWhy(t *testing.T) {
	book := ledger.New(0)
	id := [16]byte{0: 0x78, 1: 0x56, 2: 0x34, 3: 0x12, 15: 9}
	from, now := netip.MustParseAddr("10.0.0.7"), time.Now()
	client := ledger.ByCMID(id)
	book.Enter(ledger.Call{At: now.Add(-time.Minute), Client: client, From: from, Host: "kms2.example.org:1688", Counted: true, Version: "4.0",
		Result: "forwarded_ok", Machine: "pc7.example.org"})
	f := block(t, "kms1=up kms2=up")
	f.Responder = &ResponderFace{Preferences: func(c ledger.Client, v kmswire.Version) []Preference {
		if c != client || v != kmswire.V4 {
			t.Errorf("asked for %v in version %v", c, v)
		}
		return []Preference{{Endpoint: "kms1.example.org:1688", Why: "priority 0"}}
	}, Connections: func() int { return 0 }, Calls: func() map[string]uint64 { return nil }, Refused: func() map[string]uint64 { return nil }, Itself: func(string) bool { return false }}
	f.Block.Responder = &config.Responder{}
	l := server(book, f)
	l.ClientHistory.Ask(history.Question{At: now.Add(-2 * time.Minute), From: from, Name: "_VLMCS._tcp.example.org.", Type: 33, Result: "normal",
		Answer: &history.Answer{Records: []string{"0 0 1688 kms1.example.org.", "0 0 1688 kms2.example.org."}, More: 3}, First: 1})
	l.ClientHistory.Call(history.Call{At: now.Add(-time.Minute), Pool: "example.org", Client: client, From: from, Machine: "pc7.example.org", Version: "4.0",
		Result: "forwarded_ok", Host: "kms2.example.org:1688", Required: 25, Count: 7, LicenseStatus: 5, Took: 3 * time.Second,
		Asked: []history.Asked{{Host: "kms1.example.org:1688", Outcome: "silent", Err: "i/o timeout", Took: 3 * time.Second},
			{Host: "kms2.example.org:1688", Outcome: "answered", Took: time.Millisecond}}})
	for _, name := range []string{"10.0.0.7", "::ffff:10.0.0.7", "12345678-0000-0000-0000-000000000009", "{12345678-0000-0000-0000-000000000009}", "PC7", "pc7.EXAMPLE.org."} {
		w, err := l.Why(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		story := strings.Join(w.Story, "\n")
		for _, want := range []string{
			"pc7.example.org (12345678-0000-0000-0000-000000000009) called 1 time since",
			"It asked for _VLMCS._tcp.example.org SRV 2 min ago, and was answered: 0 0 1688 kms2.example.org, 0 0 1688 kms1.example.org and 3 more.",
			"In its last call, kms1.example.org:1688 was asked: it did not answer in time (i/o timeout), after 3.0 s.",
			"Then, kms2.example.org:1688 was asked: it took the request, after",
			"kms2.example.org:1688 answered it, 1 min ago, in 3.0 s: the host took the request and counts 7 clients of the 25 that this one needs: it stays unactivated (0xC004F038).",
			"If it called now, kms1.example.org:1688 would be asked first: priority 0.",
		} {
			if !strings.Contains(story, want) {
				t.Errorf("%s: the story does not say %q:\n%s", name, want, story)
			}
		}
		if len(w.Clients) != 1 || len(w.Questions) != 1 || len(w.Calls) != 1 || w.Calls[0].License != "notification" || w.Preferences[0].Pool != "example.org" {
			t.Errorf("%s: %+v", name, w)
		}
	}
	l.ClientHistory.Call(history.Call{At: now, Client: client, From: from, Version: "4.0", Result: "declined", HRESULT: 0xC004F042})
	w, err := l.Why("10.0.0.7")
	if story := strings.Join(w.Story, "\n"); err != nil || !strings.Contains(story, "0xC004F042: The host was reached") || !strings.Contains(story, "Most often: ") {
		t.Errorf("declined: %v\n%s", err, story)
	}
	for _, name := range []string{"10.0.0.8", "pc", "7", "12345678-0000-0000-0000-00000000000a"} {
		if w, err := l.Why(name); !errors.Is(err, ErrUnknownClient) {
			t.Errorf("%s: %v, %+v", name, err, w)
		}
	}
	for _, name := range []string{"", "  ", strings.Repeat("x", MaxSearch+1)} {
		if _, err := l.Why(name); err == nil || errors.Is(err, ErrUnknownClient) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestLiveLinkLocal: a client is found by its link-local address, with the zone of the interface it came by or without.
func TestLiveLinkLocal(t *testing.T) {
	book := ledger.New(0)
	from, now := netip.MustParseAddr("fe80::1%eth0"), time.Now()
	book.Enter(ledger.Call{At: now, Client: ledger.ByCMID([16]byte{1}), From: from, Machine: "pc1", Host: "kms1.example.org:1688", Counted: true})
	l := server(book, block(t, "kms1=up"))
	l.ClientHistory.Ask(history.Question{At: now, From: from, Name: "_vlmcs._tcp.example.org.", Type: 33})
	l.ClientHistory.Call(history.Call{At: now, Client: ledger.ByCMID([16]byte{1}), From: from, Machine: "pc1"})
	for _, text := range []string{"fe80::1", "fe80::1%eth0", "fe80::1%2", "fe80::/10", "pc1"} {
		if got := l.Clients(ClientQuery{Search: text}); got.Total != 1 {
			t.Errorf("Searching for %s: %d clients, want 1", text, got.Total)
		}
		if text == "fe80::/10" {
			continue
		}
		w, err := l.Why(text)
		if err != nil || len(w.Clients) != 1 || len(w.Calls) != 1 || len(w.Questions) != 1 {
			t.Errorf("Why of %s: %v, %d clients, %d calls, %d questions, want one of each", text, err, len(w.Clients), len(w.Calls), len(w.Questions))
		}
	}
	if got := l.Clients(ClientQuery{Search: "fe80::2"}); got.Total != 0 {
		t.Errorf("Another address finds %d clients", got.Total)
	}
}

// TestLiveItself: a host that is the responder itself is told of, since nothing else shows it.
func TestLiveItself(t *testing.T) {
	f := block(t, "kms1=up kms2=up")
	none := func() map[string]uint64 { return nil }
	f.Block.Responder = &config.Responder{Address: ":1688"}
	f.Responder = &ResponderFace{Connections: func() int { return 0 }, Calls: none, Refused: none,
		Itself: func(endpoint string) bool { return endpoint == "kms2.example.org:1688" }}
	all := server(nil, f).Report().Findings
	if len(all) != 1 || all[0].About != "kms2.example.org:1688" || !strings.HasPrefix(all[0].What, "it is the responder :1688 itself") {
		t.Errorf("findings %+v", all)
	}
}

// TestLiveTurnedAway: who was turned away by a limit is told, and so is whoever asks about a client that could not say its name.
func TestLiveTurnedAway(t *testing.T) {
	l := server(ledger.New(0), block(t, "kms1=up"))
	if _, err := l.Why("REHEARSAL-0025"); err != ErrUnknownClient {
		t.Errorf("nobody was turned away: %v", err)
	}
	from := netip.MustParseAddr("10.0.0.7")
	for range 20 {
		l.ClientHistory.TurnAway(history.Turned{At: time.Now().Add(-2 * time.Minute), Pool: "example.org", From: from, Reason: "rate", Limit: "limit rate 10"})
	}
	f := l.Report().Findings
	if len(f) != 1 || f[0].Severity != Warning || f[0].About != "example.org" || !strings.Contains(f[0].Next, "raise it") ||
		f[0].What != "clients were turned away 20 times in 24 hours (limit rate 10), the last one 2 min ago from 10.0.0.7" {
		t.Errorf("findings %+v", f)
	}
	w, err := l.Why("10.0.0.7")
	want := "The responder turned 10.0.0.7 away 20 times before it asked any host, the last time 2 min ago: limit rate 10."
	if err != nil || !slices.Contains(w.Story, want) {
		t.Errorf("%v: %q, want %q", err, w.Story, want)
	}
	if _, err := l.Why("10.0.0.8"); err != ErrUnknownClient {
		t.Errorf("another address: %v", err)
	}
	_, err = l.Why("REHEARSAL-0025")
	if want := "the last one from 10.0.0.7 (limit rate 10, 2 min ago): ask for the address"; !errors.Is(err, ErrUnknownClient) || !strings.Contains(err.Error(), want) {
		t.Errorf("a client that could not say who it is: %v, want %q", err, want)
	}
}

// TestLiveWhyOfManyHosts: what stood first is not claimed of a record that did not.
func TestLiveWhyOfManyHosts(t *testing.T) {
	for first, want := range []string{"0 0 1688 a, 0 0 1688 b and 3 more", "0 0 1688 b, 0 0 1688 a and 3 more", "0 0 1688 a, 0 0 1688 b and 3 more, one of which stood first"} {
		q := history.Question{Result: "normal", Answer: &history.Answer{Records: []string{"0 0 1688 a.", "0 0 1688 b."}, More: 3}, First: uint16(first)}
		if got := question(q).Answer; got != want {
			t.Errorf("record %d stood first: %q, want %q", first, got, want)
		}
	}
}

// TestLiveWhyNext: the next host is that of the pool that the client calls, and is not promised where it is drawn.
func TestLiveWhyNext(t *testing.T) {
	here, there := block(t, "kms1=up"), block(t, "kms2=up")
	there.Pool.Name = "example.net"
	for _, f := range []*Face{&here, &there} {
		f.Block.Responder = &config.Responder{}
		endpoint := f.Hosts[0].Endpoint()
		f.Responder = &ResponderFace{Preferences: func(ledger.Client, kmswire.Version) []Preference {
			return []Preference{{Endpoint: endpoint, Why: "priority 0"}}
		}}
	}
	from := netip.MustParseAddr("10.0.0.7")
	for _, tt := range []struct {
		policy config.Policy
		want   string
	}{
		{config.Concentrate, "If it called now, kms2.example.org:1688 would be asked first: priority 0."},
		{config.Spread, "If it called now, kms2.example.org:1688 might be asked first: priority 0."},
	} {
		there.Block.Responder.Policy = tt.policy
		l := server(nil, here, there)
		l.ClientHistory.Call(history.Call{At: time.Now(), Pool: "example.net", Client: ledger.ByAddress(from), From: from, Version: "6.0", Result: "forwarded_ok"})
		w, err := l.Why("10.0.0.7")
		if err != nil || w.Story[len(w.Story)-1] != tt.want {
			t.Errorf("%s: %v, %q, want %q", tt.policy, err, w.Story, tt.want)
		}
	}
}

// TestLiveWhyOfOneName: of many machines of one name the latest are shown, and the story is of the last.
func TestLiveWhyOfOneName(t *testing.T) {
	book, now := ledger.New(0), time.Now()
	for n := range maxMeant + 5 {
		book.Enter(ledger.Call{At: now.Add(-time.Duration(maxMeant+5-n) * day), Client: ledger.ByCMID([16]byte{15: byte(n)}), From: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}),
			Machine: "clone", Host: "kms1.example.org:1688", Counted: true, Version: "4.0", Result: "forwarded_ok"})
	}
	w, err := server(book, block(t, "kms1=up")).Why("clone")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.Clients); n != maxMeant || w.Clients[0].Address != "10.0.0.24" || w.Clients[n-1].Address != "10.0.0.5" {
		t.Errorf("%d clients: %+v", n, w.Clients)
	}
	if !strings.HasPrefix(w.Story[0], "clone may be 25 clients; this is about the one that called last") || !strings.HasPrefix(w.Story[1], "clone (00000000-0000-0000-0000-000000000018) called 1 time") {
		t.Errorf("%q", w.Story)
	}
	one, err := server(book, block(t, "kms1=up")).Why("10.0.0.3")
	if err != nil || !strings.HasPrefix(one.Story[0], "clone (00000000-0000-0000-0000-000000000003) called 1 time") {
		t.Errorf("one of them: %v, %q", err, one.Story)
	}
}

// TestLiveWhyTells: how long somebody was silent, and what that means.
func TestLiveWhyTells(t *testing.T) {
	for _, tt := range []struct {
		days    int
		counted bool
		want    string // "" if nothing is to be said of it
	}{
		{1, false, "No host ever took a request of it."},
		{89, true, ""},
		{90, true, "It renews every 7 days where it can, and did not for 90"},
		{150, true, "That is 150 days: an activation is valid for 180, so it needs to call within 30 days."},
		{200, true, "That is 200 days: an activation is valid for 180, so it needs to call within 0 days."},
	} {
		book := ledger.New(0)
		from := netip.MustParseAddr("10.0.0.7")
		book.Enter(ledger.Call{At: time.Now().Add(-time.Duration(tt.days) * day), Client: ledger.ByAddress(from), From: from, Host: "kms1.example.org:1688", Counted: tt.counted})
		w, err := server(book, block(t, "kms1=up")).Why("10.0.0.7")
		story := strings.Join(w.Story[1:], "\n")
		if err != nil || tt.want != "" && !strings.HasPrefix(story, tt.want) || tt.want == "" && (strings.HasPrefix(story, "That is") || strings.HasPrefix(story, "It renews")) {
			t.Errorf("%d days: %v, %q, want %q", tt.days, err, story, tt.want)
		}
	}
}

// TestLiveWhyUnheeded: calling is not being served.
func TestLiveWhyUnheeded(t *testing.T) {
	for _, days := range []int{13, 100} {
		book, from := ledger.New(0), netip.MustParseAddr("10.0.0.7")
		served := ledger.Call{At: time.Now().Add(-time.Duration(days) * day), Client: ledger.ByAddress(from), From: from, Host: "kms1.example.org:1688", Counted: true}
		refused := served
		refused.At, refused.Counted = time.Now(), false
		book.Enter(served)
		book.Enter(refused)
		w, err := server(book, block(t, "kms1=up")).Why("10.0.0.7")
		if told := strings.Contains(strings.Join(w.Story, " "), fmt.Sprintf("no host took a request of it for %d days", days)); err != nil || told != (days >= unheeded) {
			t.Errorf("%d days: %v, %q", days, err, w.Story)
		}
	}
}

// TestMeaning: nobody is ever said to be activated.
func TestMeaning(t *testing.T) {
	for _, tt := range []struct {
		call history.Call
		want string
	}{
		{history.Call{Result: "forwarded_ok", Required: 25, Count: 24}, "counts 24 clients of the 25 that this one needs: it stays unactivated"},
		{history.Call{Result: "forwarded_ok", Required: 25, Count: 25}, "counts 25 clients, of which this one needs 25"},
		{history.Call{Result: "forwarded_ok"}, "cannot be seen in this version"},
		{history.Call{Result: "no_host"}, "no host was alive"},
		{history.Call{Result: "failed", Required: 25}, "no host answered in time"},
		{history.Call{Result: "declined", HRESULT: 0xC004F042}, "every host declined: host has no key for that product"},
		{history.Call{Result: "forwarded_error", HRESULT: 0xC004F0FF}, "a host answered an error: an error that is not known here: kms explain 0xC004F0FF"},
	} {
		if got := meaning(tt.call); !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.call, got, tt.want)
		}
	}
}

// TestPoolFindings: a pool whose probes stand still is one, and one that asks seldom is not.
func TestPoolFindings(t *testing.T) {
	for _, tt := range []struct {
		age, interval float64
		hosts         int
		want          bool
	}{{120, 10, 1, false}, {121, 10, 1, true}, {121, 10, 0, false}, {1200, 300, 1, false}, {1201, 300, 1, true}} {
		found := false
		p := Pool{Name: "p", Condition: "calm", Age: tt.age, Interval: tt.interval, Hosts: make([]Host, tt.hosts)}
		new(moment).poolFindings(p, func(severity, _, _, _ string) { found = severity == Critical })
		if found != tt.want {
			t.Errorf("%+v: found %t", tt, found)
		}
	}
	var what []string
	new(moment).poolFindings(Pool{Condition: "self-suspected"}, func(severity, _, _, next string) { what = append(what, severity, next) })
	if len(what) != 2 || what[0] != Critical || !strings.Contains(what[1], "own network") {
		t.Errorf("%q", what)
	}
}
