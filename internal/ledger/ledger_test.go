package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// machine is the client with number n.
func machine(n int) Client {
	var id [16]byte
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	return ByCMID(id)
}

// call is one that host took, days after start.
func call(client int, host string, days int) Call {
	return Call{At: start.Add(time.Duration(days) * day), Client: machine(client), Host: host, Counted: true, Version: "6.0", Result: "ok"}
}

func counts(t *testing.T, l *Ledger, what, host string, clients, homes int) {
	t.Helper()
	if c, h := l.Clients(host), l.Homes(host); c != clients || h != homes {
		t.Errorf("%s: %s has %d clients and is home to %d, want %d and %d", what, host, c, h, clients, homes)
	}
}

func TestByAddress(t *testing.T) {
	mapped, plain := netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("192.0.2.1")
	if ByAddress(mapped) != ByAddress(plain) {
		t.Error("an IPv4-mapped address is another client")
	}
	if ByAddress(netip.MustParseAddr("fe80::1%eth0")) != ByAddress(netip.MustParseAddr("fe80::1%eth1")) {
		t.Error("a zone makes another client")
	}
}

// TestSettle: what is recorded is in the table after Settle, without Run.
func TestSettle(t *testing.T) {
	l := New(0)
	for n := range 2 * batch {
		l.Record(call(n, "a", 0))
	}
	counts(t, l, "before", "a", 0, 0)
	l.Settle()
	counts(t, l, "after", "a", 2*batch, 2*batch)
}

// TestWindow: a host counts a client for thirty days after its last request.
func TestWindow(t *testing.T) {
	l := New(0)
	for n := range 30 {
		l.Enter(call(n, "a", 0))
		l.Enter(call(n, "a", 0)) // nobody is counted twice
	}
	counts(t, l, "first day", "a", 30, 30)
	l.Enter(call(0, "a", Window-1))
	counts(t, l, "last day of the window", "a", 30, 30)
	l.Enter(call(0, "a", Window))
	counts(t, l, "the day after", "a", 1, 1)
	l.Enter(call(1, "a", Window))
	counts(t, l, "one came back", "a", 2, 2)
	counts(t, l, "unheard of", "b", 0, 0)
}

// TestHome: a client that moves is counted by both hosts, as they do, and has one home.
func TestHome(t *testing.T) {
	l := New(0)
	l.Enter(call(0, "a", 0))
	l.Enter(call(0, "b", 1))
	counts(t, l, "old", "a", 1, 0)
	counts(t, l, "new", "b", 1, 1)

	copied := call(0, "c", 1)
	copied.Copied = true
	l.Enter(copied)
	counts(t, l, "standby", "c", 1, 0)
	if e, _ := l.Find(machine(0)); e.Home != "b" || e.Host != "b" || e.Calls != 2 {
		t.Errorf("a copy changed the client: %+v", e)
	}
	if at := l.Visited(machine(0), "c"); !at.Equal(start.Add(day)) {
		t.Errorf("visited c %v", at)
	}
	if at := l.Visited(machine(1), "c"); !at.IsZero() {
		t.Errorf("an unknown client visited c %v", at)
	}
}

func TestNotCounted(t *testing.T) {
	l := New(0)
	refused := call(0, "a", 0)
	refused.Counted, refused.Result = false, "refused"
	l.Enter(refused)
	l.Enter(Call{At: start, Client: machine(1), Result: "no host"})
	counts(t, l, "refused", "a", 0, 0)
	if e, ok := l.Find(machine(0)); !ok || e.Host != "a" || e.Home != "" || !e.Served.IsZero() || e.Result != "refused" {
		t.Errorf("refused: %+v, %v", e, ok)
	}
	if s := l.Summary(start); s.Clients != 2 {
		t.Errorf("%+v", s)
	}
}

func TestSilent(t *testing.T) {
	l := New(0)
	for n, days := range []int{0, 31, 90, 91} {
		l.Enter(call(n, "a", days))
	}
	now := start.Add(181 * day)
	if s := l.Summary(now); s.Silent90 != 4 || s.Silent150 != 2 || s.Silent180 != 1 {
		t.Errorf("%+v", s)
	}
	if s := l.Summary(start.Add(180 * day)); s.Silent90 != 3 || s.Silent150 != 1 || s.Silent180 != 1 {
		t.Errorf("%+v", s)
	}
	if got := l.Silent(now, 150*day); len(got) != 2 || got[0].Client != machine(0) || got[1].Client != machine(1) {
		t.Errorf("silent for 150 days: %+v", got)
	}
}

// TestForget: who did not call for a year is forgotten, but never because the clock was wrong: not before both clocks have gone
// alike for a day, and not by a call or by what a store has.
func TestForget(t *testing.T) {
	l := New(0)
	l.Enter(call(1, "a", 0))
	l.Enter(call(2, "a", 300))
	stored := l.Export()
	l.Enter(call(3, "a", 700)) // the clock is wrong
	l.Enter(call(3, "a", 301))
	counts(t, l, "after a call from the future", "a", 2, 2)
	now, running := start.Add(301*day), time.Duration(0)
	hour := func(jump time.Duration) {
		now, running = now.Add(time.Hour+jump), running+time.Hour
		l.expire(now, running)
	}
	known := func(what string, want int) {
		t.Helper()
		if s := l.Summary(now); s.Clients != want {
			t.Errorf("%s: %d clients are known, want %d", what, s.Clients, want)
		}
	}
	for range 48 {
		hour(0)
	}
	known("none is silent for a year", 3)
	hour(500 * day)
	known("a clock that went ahead", 3)
	for range 23 {
		hour(0)
	}
	known("for less than a day", 3)
	hour(-500 * day)
	for range 30 {
		hour(0)
	}
	known("and went back", 3)
	hour(70 * day)
	for range 23 {
		hour(0)
	}
	known("before it is believed", 3)
	hour(0)
	known("a year later", 2)
	again := New(0)
	again.Import(stored, start.Add(2000*day))
	if got := again.Export(); len(got) != 2 {
		t.Errorf("%d clients of 2 that are stored are taken by a process whose clock is wrong", len(got))
	}
	if c := again.Changes(10); len(c.Gone) != 0 {
		t.Errorf("The store is to forget %v", c.Gone)
	}
}

func TestSelect(t *testing.T) {
	l := New(0)
	for n := range 10 {
		c := call(n, "a", n)
		c.Machine, c.From = fmt.Sprint("PC", n), netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
		c.Counted = n%2 == 0
		l.Enter(c)
	}
	machine7 := machine(7)
	names := func(q Query) (names string, total int) {
		page, total := l.Select(q)
		for _, e := range page {
			names += e.Machine + " "
		}
		return names, total
	}
	for _, tt := range []struct {
		name  string
		q     Query
		want  string
		total int
	}{
		{"a page", Query{Offset: 2, Limit: 3}, "PC2 PC3 PC4 ", 10},
		{"beyond the end", Query{Offset: 20, Limit: 3}, "", 10},
		{"no room", Query{}, "", 10},
		{"until", Query{Until: start.Add(2 * day), Limit: 10}, "PC0 PC1 PC2 ", 3},
		{"unserved", Query{Unserved: true, Limit: 2}, "PC1 PC3 ", 5},
		{"match", Query{Match: func(c Client, from netip.Addr, machine string) bool {
			return c == machine7 || from == netip.AddrFrom4([4]byte{192, 0, 2, 3}) || machine == "PC5"
		}, Limit: 10}, "PC3 PC5 PC7 ", 3},
	} {
		if got, total := names(tt.q); got != tt.want || total != tt.total {
			t.Errorf("%s: %q of %d, want %q of %d", tt.name, got, total, tt.want, tt.total)
		}
	}
}

// TestSelectWhileCallsGoOn: the table is not locked for as long as it takes to make many rows, so what a row is of may change, or
// be forgotten, before it is made.
func TestSelectWhileCallsGoOn(t *testing.T) {
	l := New(2 * batch)
	for n := range 2 * batch {
		l.Enter(call(n, "a", 0))
	}
	found, total := l.find(Query{Limit: 2 * batch})
	l.Enter(call(1, "b", 1))
	l.Enter(call(3*batch, "a", 1)) // 0 is forgotten for it
	page := l.export(nil, found)
	if total != 2*batch || len(page) != total || page[0].Client != machine(0) || page[0].Calls != 1 || page[1].Home != "b" || page[1].Calls != 2 {
		t.Errorf("%d rows of %d, the first %+v", len(page), total, page[:2])
	}
	if page, _ := l.Select(Query{Limit: 2 * batch}); len(page) != 2*batch || page[len(page)-1].Client != machine(3*batch) {
		t.Errorf("%d rows", len(page))
	}
}

func TestWeeks(t *testing.T) {
	l := New(0)
	for n, days := range []int{0, 6, 7, 13, 14, 100} {
		l.Enter(call(n, "a", days))
	}
	if got := fmt.Sprint(l.Weeks(start.Add(100*day), 4)); got != "[1 0 0 5]" {
		t.Errorf("Weeks %s", got)
	}
	if got := fmt.Sprint(l.Weeks(start.Add(14*day), 4)); got != "[3 2 1 0]" {
		t.Errorf("Weeks, with one in the future: %s", got)
	}
}

// TestRejected: who comes again and again and is never served, or not since.
func TestRejected(t *testing.T) {
	l := New(0)
	enter := func(client int, counted bool, days ...int) {
		for _, d := range days {
			c := call(client, "a", d)
			c.Counted = counted
			l.Enter(c)
		}
	}
	enter(0, true, 0, 40)  // served lately
	enter(1, true, 0)      // served once, and then declined
	enter(1, false, 39)    //
	enter(2, false, 0, 39) // never served
	enter(3, false, 39)    // new
	enter(4, false, 0)     // gone
	now := start.Add(40 * day)
	if got := l.Rejected(now, 30*day); got != 2 {
		t.Errorf("%d clients call in vain for 30 days, want 2", got)
	}
	if got := l.Rejected(now, 41*day); got != 0 {
		t.Errorf("%d clients call in vain for longer than there is a ledger", got)
	}
}

// TestBound: the client that called longest ago makes room, and leaves the counts right.
func TestBound(t *testing.T) {
	l := New(3)
	for _, n := range []int{0, 1, 2, 0, 3} {
		l.Enter(call(n, "a", 0))
	}
	if _, ok := l.Find(machine(1)); ok {
		t.Error("client 1 is still there")
	}
	if s := l.Summary(start); s.Clients != 3 || s.Evicted != 1 {
		t.Errorf("%+v", s)
	}
	counts(t, l, "bounded", "a", 3, 3)

	for n := range maxVisits + 2 {
		l.Enter(call(0, fmt.Sprint("host", n), n))
	}
	if e, _ := l.Find(machine(0)); len(e.Visits) != maxVisits {
		t.Errorf("%d visits", len(e.Visits))
	}
	counts(t, l, "its first", "a", 2, 2)
	counts(t, l, "its second", "host0", 0, 0)
	counts(t, l, "its last", fmt.Sprint("host", maxVisits+1), 1, 1)
}

// TestClockSetBack: days that never were must not hide those that are.
func TestClockSetBack(t *testing.T) {
	l := New(0)
	l.Enter(call(0, "a", 0))
	l.Enter(call(1, "a", 1000))
	counts(t, l, "in the future", "a", 1, 1)
	l.Enter(call(2, "a", 0))
	if l.Clients("a") < 2 {
		t.Errorf("%d clients after the clock was set right", l.Clients("a"))
	}
}

// TestTallies compares the counts that are kept up with those made anew, over calls at random.
func TestTallies(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	l := New(50)
	days := 0
	for range 20_000 {
		days += rnd.IntN(40) / 39
		c := call(rnd.IntN(80), fmt.Sprint(rnd.IntN(12)), days-rnd.IntN(2))
		c.Counted, c.Copied = rnd.IntN(5) > 0, rnd.IntN(4) == 0
		l.Enter(c)
		before := make(map[string][2]int)
		for host := range *l.tallies.Load() {
			before[host] = [2]int{l.Clients(host), l.Homes(host)}
		}
		l.recount()
		for host, b := range before {
			counts(t, l, "made anew", host, b[0], b[1])
		}
		if t.Failed() {
			return
		}
	}
}

func TestImport(t *testing.T) {
	l := New(0)
	for n := range 10 {
		l.Enter(call(n, "a", n))
		l.Enter(call(n, "b", n))
	}
	kept := l.Export()
	now := start.Add(10 * day)
	again := New(0)
	again.Enter(call(3, "c", 10)) // what was seen since the start wins
	again.Import(kept, now)
	counts(t, again, "imported", "a", 9, 0)
	counts(t, again, "imported", "b", 9, 9)
	counts(t, again, "seen", "c", 1, 1)
	exported := again.Export()
	if len(exported) != 10 || !reflect.DeepEqual(exported[:3], kept[:3]) {
		t.Errorf("exported %+v\nafter %+v", exported, kept)
	}
	small := New(4)
	small.Import(kept, now)
	if got := small.Export(); len(got) != 4 || got[0].Client != machine(6) {
		t.Errorf("%d clients fit, from %+v", len(got), got[0].Client)
	}
	counts(t, small, "imported", "b", 4, 4)
}

// TestRun: recording does not wait, and nothing recorded is lost at the end.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(0)
		for n := range queue + 7 {
			l.Record(Call{At: time.Now(), Client: machine(n), Host: "a", Counted: true})
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { l.Run(ctx) })
		synctest.Wait()
		if s := l.Summary(time.Now()); s.Clients != queue || s.Dropped != 7 {
			t.Errorf("%+v", s)
		}
		counts(t, l, "recorded", "a", queue, queue)
		time.Sleep(Window * day)
		synctest.Wait()
		counts(t, l, "thirty days without a call", "a", 0, 0)
		l.Record(Call{At: time.Now(), Client: machine(0), Host: "a", Counted: true})
		cancel()
		wg.Wait()
		counts(t, l, "at the end", "a", 1, 1)
	})
}

func BenchmarkRecord(b *testing.B) {
	l := New(0)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		c := call(n%200_000, "a", 0)
		l.Enter(c)
	}
}

// TestTaken: when a host last took a client's call outlives that client's move to another host, and a restart as far as the
// store tells.
func TestTaken(t *testing.T) {
	l := New(0)
	l.Enter(call(0, "a", 1))
	l.Enter(call(1, "a", 0)) // entered late
	copied := call(0, "b", 2)
	copied.Copied = true
	l.Enter(copied)
	l.Enter(refused(2, 3))
	again := New(0)
	again.Import(l.Export(), start.Add(3*day))
	l.Enter(call(0, "c", 40)) // a month later, everything is counted anew
	for _, tt := range []struct {
		what string
		l    *Ledger
		host string
		days int // after start; -1: never
	}{
		{"a call", l, "a", 1},
		{"the call of one who moved", l, "c", 40},
		{"a copy", l, "b", -1},
		{"nobody", l, "d", -1},
		{"a stored call", again, "a", 1},
		{"a stored copy", again, "b", -1},
	} {
		want := time.Time{}
		if tt.days >= 0 {
			want = start.Add(time.Duration(tt.days) * day)
		}
		if got := tt.l.Taken(tt.host); !got.Equal(want) {
			t.Errorf("%s: host %s took a call at %v, want %v", tt.what, tt.host, got, want)
		}
	}
}

// BenchmarkSummary: a scrape holds the lock for as long as this, when nobody at all called for half a year.
func BenchmarkSummary(b *testing.B) {
	l := New(0)
	for n := range DefaultMax {
		l.Enter(call(n, "a", 0))
	}
	for b.Loop() {
		if s := l.Summary(start.Add(180 * day)); s.Silent180 != DefaultMax {
			b.Fatalf("%+v", s)
		}
	}
}
