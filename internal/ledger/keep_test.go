package ledger

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

// refused is a call of client that no host took.
func refused(client, days int) Call {
	c := call(client, "a", days)
	c.Counted, c.Result = false, "refused"
	return c
}

// TestStrangersGoFirst: whoever makes machine ids up cannot push out clients that are known.
func TestStrangersGoFirst(t *testing.T) {
	l := New(100)
	for n := range 100 {
		l.Enter(call(n, "a", 0))
	}
	for n := range 100_000 {
		l.Enter(refused(1000+n, 1))
	}
	if s := l.Summary(start); s.Clients != 100 || s.Unserved != 0 {
		t.Errorf("A full table after a flood: %+v", s)
	}
	counts(t, l, "a full table after a flood", "a", 100, 100)

	l = New(100)
	for n := range 50 {
		l.Enter(call(n, "a", 0))
	}
	for n := range 100_000 {
		l.Enter(refused(1000+n, 1))
	}
	if s := l.Summary(start); s.Clients != 60 || s.Unserved != 10 {
		t.Errorf("A half full table after a flood: %+v, want a tenth for strangers", s)
	}
	// One of those that are still remembered is served, and is a stranger no more.
	l.Enter(call(1000+99_999, "a", 2))
	if s := l.Summary(start); s.Clients != 60 || s.Unserved != 9 {
		t.Errorf("After one of them was served: %+v", s)
	}
	if _, ok := l.Find(machine(0)); !ok {
		t.Error("The oldest known client is gone")
	}
	for i := 1; i < 60; i++ {
		if all := l.Export(); all[i].Last.Before(all[i-1].Last) {
			t.Fatalf("Export is out of order: %v after %v", all[i].Last, all[i-1].Last)
		}
	}
	small := New(55)
	small.Import(l.Export(), start.Add(2*day))
	if s := small.Summary(start); s.Clients != 55 || s.Unserved != 4 {
		t.Errorf("Imported into a smaller table: %+v, want strangers left out first", s)
	}
}

// rows is a store.
type rows map[Client]Entry

// save stores what changed, in batches of n. Each broken-th batch fails; 0: none does.
func (r rows) save(t *testing.T, l *Ledger, n, broken int, between func()) (batches int) {
	t.Helper()
	for i := 1; ; i++ {
		c := l.Changes(n)
		if len(c.Gone)+len(c.Changed) == 0 {
			return i - 1
		}
		if got := len(c.Gone) + len(c.Changed); got > n {
			t.Fatalf("A batch of %d, want at most %d", got, n)
		}
		between()
		if broken > 0 && i%broken == 0 {
			l.NotStored(c)
			continue
		}
		for _, k := range c.Gone {
			delete(r, k)
		}
		for _, e := range c.Changed {
			r[e.Client] = e
		}
		l.Stored(c)
	}
}

// same says whether r has what l has, and nothing else.
func (r rows) same(t *testing.T, l *Ledger) {
	t.Helper()
	all := l.Export()
	if len(all) != len(r) {
		t.Fatalf("%d clients are stored, %d are known", len(r), len(all))
	}
	for _, e := range all {
		if !reflect.DeepEqual(r[e.Client], e) {
			t.Fatalf("Stored %+v\nknown  %+v", r[e.Client], e)
		}
	}
}

// TestChanges: whatever happens before, between and while batches are stored, at the end the store has what the table has.
func TestChanges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	l, r := New(60), rows{}
	days := 0
	some := func() {
		for range rnd.IntN(30) {
			days += rnd.IntN(300) / 299 * rnd.IntN(400)
			c := call(rnd.IntN(200), fmt.Sprint(rnd.IntN(12)), days)
			c.Counted, c.Copied = rnd.IntN(5) > 0, rnd.IntN(4) == 0
			l.Enter(c)
		}
	}
	for i := range 2000 {
		some()
		left := 3
		r.save(t, l, 1+rnd.IntN(20), rnd.IntN(4)*2, func() {
			if left--; left >= 0 {
				some()
			}
		})
		r.same(t, l)
		if i%100 == 0 { // another store, which has something from before
			r = maps.Collect(func(yield func(Client, Entry) bool) {
				for _, n := range []int{1, 2, 500, 501} {
					e := Entry{Client: machine(n), First: start, Last: start.Add(time.Duration(days-n) * day)}
					if !yield(e.Client, e) {
						return
					}
				}
			})
			l.Unstored()
			l.Import(slices.Collect(maps.Values(r)), start.Add(time.Duration(days)*day))
		}
	}
	if len(l.gone) > 0 || len(l.changed) > 0 {
		t.Errorf("%d gone and %d changed clients after everything was stored", len(l.gone), len(l.changed))
	}
}

// TestNothingToStore: what did not change is not stored again.
func TestNothingToStore(t *testing.T) {
	l, r := New(0), rows{}
	for n := range 25 {
		l.Enter(call(n, "a", 0))
	}
	if n := r.save(t, l, 10, 0, func() {}); n != 3 {
		t.Errorf("%d batches for 25 clients, ten in each", n)
	}
	again := New(0)
	again.Import(slices.Collect(maps.Values(r)), start)
	l.Enter(call(3, "a", 1))
	for _, l := range []*Ledger{l, again} {
		want := 0
		if e, _ := l.Find(machine(3)); e.Calls == 2 {
			want = 1
		}
		if got := l.Changes(10); len(got.Changed) != want || len(got.Gone) != 0 {
			t.Errorf("%+v to store, want %d clients", got, want)
		}
	}
}

var entries = []Entry{
	{Client: machine(7)},
	{Client: ByAddress(netip.MustParseAddr("192.0.2.9")), From: netip.MustParseAddr("192.0.2.9"), First: start, Last: start.Add(day), Host: "kms1:1688",
		Home: "kms1:1688", Served: start.Add(time.Hour), Version: "6.0", Result: "forwarded", Machine: "PC\x1b[1m \u202e", Calls: 1 << 60,
		Visits: []Visit{{"kms1:1688", start}, {"kms2:1688", time.Unix(0, 0)}}},
	{Client: ByAddress(netip.MustParseAddr("2001:db8::9")), From: netip.MustParseAddr("2001:db8::9"), First: time.Unix(0, -5), Last: start, Result: "refused"},
}

func TestRows(t *testing.T) {
	var r Rows
	for _, e := range entries {
		if e.First.IsZero() {
			e.First, e.Last = time.Unix(0, 1), time.Unix(0, 2)
		}
		row := e.AppendRow(nil)
		got, err := r.Parse(e.Client.Key(), row)
		if err != nil || !sameEntry(got, e) {
			t.Errorf("Got %+v, %v\nwant %+v", got, err, e)
		}
		for n := range row {
			if _, err := r.Parse(e.Client.Key(), row[:n]); err == nil {
				t.Errorf("The first %d of %d octets are a row", n, len(row))
			}
		}
		for _, wrong := range [][]byte{append(row, 0), append([]byte{2}, row[1:]...)} {
			if _, err := r.Parse(e.Client.Key(), wrong); err == nil {
				t.Errorf("%x is a row", wrong)
			}
		}
	}
	for _, key := range []string{"", "a", "m", "x1234567890123456", "m123", "a12345"} {
		if c, err := ParseKey(key); err == nil {
			t.Errorf("Key %q is that of %+v", key, c)
		}
	}
}

// sameEntry compares by the instant, not by where its day begins.
func sameEntry(a, b Entry) bool {
	if !a.First.Equal(b.First) || !a.Last.Equal(b.Last) || !a.Served.Equal(b.Served) || len(a.Visits) != len(b.Visits) {
		return false
	}
	for i := range a.Visits {
		if a.Visits[i].Host != b.Visits[i].Host || !a.Visits[i].At.Equal(b.Visits[i].At) {
			return false
		}
	}
	a.First, a.Last, a.Served, a.Visits = b.First, b.Last, b.Served, b.Visits
	return reflect.DeepEqual(a, b)
}

// FuzzRow: no octets make Parse panic or an entry that does not come back as it is.
func FuzzRow(f *testing.F) {
	for _, e := range entries {
		f.Add(e.Client.Key(), e.AppendRow(nil))
	}
	f.Fuzz(func(t *testing.T, key string, row []byte) {
		var r Rows
		e, err := r.Parse(key, row)
		if err != nil {
			return
		}
		again, err := r.Parse(e.Client.Key(), e.AppendRow(nil))
		if err != nil || !sameEntry(again, e) {
			t.Errorf("%+v came back as %+v, %v", e, again, err)
		}
	})
}
