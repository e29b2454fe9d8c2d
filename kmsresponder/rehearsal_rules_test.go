package kmsresponder

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

const day = 24 * time.Hour

// machine is a request, made now, of the nth machine of the product group.
func machine(n int, group config.Key) kmswire.RequestV4 {
	q := (&RehearsalClient{Group: group, Name: "pc.example.org"}).newRequest()
	q.CMID = kmswire.GUID{}
	binary.BigEndian.PutUint32(q.CMID[:], uint32(n))
	return q
}

// putTo asks r, which must answer with a message exactly if the outcome is OK.
func putTo(t *testing.T, r *Rehearsal, q kmswire.RequestV4) (kmswire.ResponseV4, kmswire.HRESULT) {
	t.Helper()
	s := newSealer(r.Secret)
	message, hr := r.answer(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 50000}, s.request(kmswire.V4, q))
	if hr != kmswire.OK {
		if message != nil {
			t.Errorf("%v with %x", hr, message)
		}
		return kmswire.ResponseV4{}, hr
	}
	answer, v, err := s.openResponse(message)
	if err != nil || v != kmswire.V4 || answer.CMID != q.CMID || answer.ClientTime != q.ClientTime {
		t.Errorf("answer %+v of version %v to %+v: %v", answer, v, q, err)
	}
	return answer, hr
}

// countOf is the count that r answers.
func countOf(t *testing.T, r *Rehearsal, q kmswire.RequestV4) int {
	t.Helper()
	answer, hr := putTo(t, r, q)
	if hr != kmswire.OK {
		t.Fatalf("refused: %v", hr)
	}
	return int(answer.Count)
}

// rule runs a test of one rule, in virtual time.
func rule(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// TestCounting has the guide's rules of counting, one by one.
func TestCounting(t *testing.T) {
	client, server := config.ClientVL, config.ServerA

	rule(t, "the client who asks is counted", func(t *testing.T) {
		r := new(Rehearsal)
		for n := 1; n <= 30; n++ {
			if got := countOf(t, r, machine(n, client)); got != n {
				t.Fatalf("client %d: count %d", n, got)
			}
		}
	})
	rule(t, "a client is counted once", func(t *testing.T) {
		r := new(Rehearsal)
		for range 10 {
			if got := countOf(t, r, machine(1, client)); got != 1 {
				t.Errorf("count %d", got)
			}
		}
	})
	rule(t, "clients and servers together", func(t *testing.T) {
		r := new(Rehearsal)
		for n := 1; n <= 20; n++ {
			countOf(t, r, machine(n, client))
		}
		for n := 21; n <= 25; n++ {
			if got := countOf(t, r, machine(n, server)); got != n {
				t.Errorf("server %d: count %d", n, got)
			}
		}
	})
	rule(t, "physical and virtual together", func(t *testing.T) {
		r := new(Rehearsal)
		for n := 1; n <= 10; n++ {
			q := machine(n, client)
			q.ClientVM = uint32(n % 2)
			if got := countOf(t, r, q); got != n {
				t.Errorf("machine %d: count %d", n, got)
			}
		}
	})
	rule(t, "each application on its own", func(t *testing.T) {
		r := new(Rehearsal)
		for n := 1; n <= 7; n++ {
			for _, app := range []kmswire.GUID{kmswire.Windows, kmswire.Office2010, kmswire.Office} {
				q := machine(n, client)
				q.AppID = app
				if got := countOf(t, r, q); got != n {
					t.Errorf("%s %d: count %d", app, n, got)
				}
			}
		}
	})
	rule(t, "30 days", func(t *testing.T) {
		r := new(Rehearsal)
		countOf(t, r, machine(1, client))
		time.Sleep(30*day - time.Second)
		if got := countOf(t, r, machine(2, client)); got != 2 {
			t.Errorf("a second before: count %d", got)
		}
		time.Sleep(time.Second)
		if got := countOf(t, r, machine(2, client)); got != 1 {
			t.Errorf("after: count %d", got)
		}
	})
	rule(t, "renewed on each request", func(t *testing.T) {
		r := new(Rehearsal)
		for range 20 {
			countOf(t, r, machine(1, client))
			time.Sleep(29 * day)
		}
		if got := countOf(t, r, machine(2, client)); got != 2 {
			t.Errorf("count %d", got)
		}
	})
	rule(t, "the renewed entry replaces the old one", func(t *testing.T) {
		r := new(Rehearsal)
		// Ten entries fill the table of a host that knows only servers; the
		// first is renewed and so the second the oldest.
		for n := 1; n <= 10; n++ {
			countOf(t, r, machine(n, server))
		}
		countOf(t, r, machine(1, server))
		countOf(t, r, machine(11, server))
		if known := r.clients[kmswire.Windows].known; len(known) != 10 || known[0].client != machine(3, server).CMID {
			t.Errorf("%d known, oldest %v", len(known), known[0].client)
		}
	})
	rule(t, "a request that is refused does not count", func(t *testing.T) {
		r := &Rehearsal{Key: config.ClientVL}
		putTo(t, r, machine(1, config.ServerC))
		late := machine(2, client)
		late.ClientTime = kmswire.FiletimeOf(time.Now().Add(-5 * time.Hour))
		putTo(t, r, late)
		if got := countOf(t, r, machine(3, client)); got != 1 {
			t.Errorf("count %d", got)
		}
	})
}

// TestTable has the rules of the table's size.
func TestTable(t *testing.T) {
	client, server := config.ClientVL, config.ServerA
	fill := func(t *testing.T, r *Rehearsal, from, to int, group config.Key) (count int) {
		for n := from; n <= to; n++ {
			count = countOf(t, r, machine(n, group))
		}
		return count
	}
	rule(t, "twice the servers' threshold", func(t *testing.T) {
		if got := fill(t, new(Rehearsal), 1, 60, server); got != 10 {
			t.Errorf("count %d", got)
		}
	})
	rule(t, "twice the clients' threshold", func(t *testing.T) {
		if got := fill(t, new(Rehearsal), 1, 90, client); got != 50 {
			t.Errorf("count %d", got)
		}
	})
	rule(t, "grows with the first client", func(t *testing.T) {
		r := new(Rehearsal)
		fill(t, r, 1, 20, server)
		if got := fill(t, r, 21, 21, client); got != 11 {
			t.Errorf("count %d", got)
		}
		if got := fill(t, r, 22, 90, server); got != 50 {
			t.Errorf("full: count %d", got)
		}
	})
	rule(t, "never shrinks", func(t *testing.T) {
		r := new(Rehearsal)
		fill(t, r, 1, 1, client)
		time.Sleep(365 * day)
		if got := fill(t, r, 2, 60, server); got != 50 {
			t.Errorf("a year later: count %d", got)
		}
	})
	rule(t, "the oldest goes when it is full", func(t *testing.T) {
		r := new(Rehearsal)
		for n := 1; n <= 11; n++ {
			countOf(t, r, machine(n, server))
			time.Sleep(day)
		}
		// The second is still there, the first is not: it drives out the
		// third when it comes back, as the second was renewed by then.
		countOf(t, r, machine(2, server))
		countOf(t, r, machine(1, server))
		if known := r.clients[kmswire.Windows].known; len(known) != 10 || known[0].client != machine(4, server).CMID {
			t.Errorf("%d known, oldest %v", len(known), known[0].client)
		}
	})
	rule(t, "a threshold that does not exist", func(t *testing.T) {
		r := new(Rehearsal)
		for n := 1; n <= 200; n++ {
			q := machine(n, client)
			q.Required = 1<<32 - 1
			if got := countOf(t, r, q); got > 50 {
				t.Fatalf("count %d", got)
			}
		}
		q := machine(1, client)
		q.Required = 0
		q.AppID = kmswire.Office
		if got := countOf(t, r, q); got != 1 {
			t.Errorf("threshold 0: count %d", got)
		}
	})
	rule(t, "applications without end", func(t *testing.T) {
		r := new(Rehearsal)
		ask := func(app byte) kmswire.HRESULT {
			q := machine(1, client)
			q.AppID = kmswire.GUID{app}
			_, hr := putTo(t, r, q)
			return hr
		}
		for app := range byte(maxApplications) {
			if hr := ask(app + 1); hr != kmswire.OK {
				t.Errorf("application %d: %v", app, hr)
			}
		}
		if hr := ask(99); hr != kmswire.HostUnusable {
			t.Errorf("one more: %v", hr)
		}
		if hr := ask(1); hr != kmswire.OK {
			t.Errorf("one that is known: %v", hr)
		}
		time.Sleep(30 * day)
		if hr := ask(99); hr != kmswire.OK || len(r.clients) != 1 {
			t.Errorf("when nobody is left in the others: %v, %d tables", hr, len(r.clients))
		}
	})
}

// TestIntervals: the two intervals and their settings.
func TestIntervals(t *testing.T) {
	for _, tc := range []struct {
		activation, renewal         time.Duration
		wantActivation, wantRenewal uint32
	}{
		{0, 0, 120, 10_080},
		{15 * time.Minute, 30 * day, 15, 43_200},
		{90 * time.Second, time.Millisecond, 1, 1},
	} {
		r := &Rehearsal{ActivationInterval: tc.activation, RenewalInterval: tc.renewal}
		a, hr := putTo(t, r, machine(1, config.ClientVL))
		if hr != kmswire.OK || a.ActivationInterval != tc.wantActivation || a.RenewalInterval != tc.wantRenewal {
			t.Errorf("%v, %v: %v, intervals %d and %d", tc.activation, tc.renewal, hr, a.ActivationInterval, a.RenewalInterval)
		}
	}
}

// TestProductGroups: each key activates its own group and those below.
func TestProductGroups(t *testing.T) {
	unknown := config.Key(0)
	for _, tc := range []struct {
		key    config.Key
		serves []config.Key
	}{
		{config.ClientVL, []config.Key{config.ClientVL}},
		{config.ServerA, []config.Key{config.ClientVL, config.ServerA}},
		{config.ServerB, []config.Key{config.ClientVL, config.ServerA, config.ServerB}},
		{config.ServerC, []config.Key{config.ClientVL, config.ServerA, config.ServerB, config.ServerC}},
		{config.Any, []config.Key{unknown, config.ClientVL, config.ServerA, config.ServerB, config.ServerC}},
	} {
		want := make(map[config.Key]bool)
		for _, k := range tc.serves {
			want[k] = true
		}
		for group := unknown; group <= config.ServerC; group++ {
			q := machine(1, group)
			if group == unknown {
				q.KMSID = kmswire.GUID{1}
			}
			_, hr := putTo(t, &Rehearsal{Key: tc.key}, q)
			if (hr == kmswire.OK) != want[group] || hr != kmswire.OK && hr != kmswire.HostUnusable {
				t.Errorf("%v host, %v client: %v", tc.key, group, hr)
			}
		}
	}
	if _, known := ProductGroup(kmswire.GUID{}); known {
		t.Error("no product is a product")
	}
}

// TestClocks: more than four hours apart, either way.
func TestClocks(t *testing.T) {
	for _, tc := range []struct {
		ahead time.Duration
		want  kmswire.HRESULT
	}{
		{0, kmswire.OK},
		{4 * time.Hour, kmswire.OK},
		{4*time.Hour + time.Second, kmswire.ClockSkew},
		{-4 * time.Hour, kmswire.OK},
		{-4*time.Hour - time.Second, kmswire.ClockSkew},
		{-200 * 365 * day, kmswire.ClockSkew},
	} {
		rule(t, tc.ahead.String(), func(t *testing.T) {
			q := machine(1, config.ClientVL)
			q.ClientTime = kmswire.FiletimeOf(time.Now().Add(tc.ahead))
			if _, hr := putTo(t, new(Rehearsal), q); hr != tc.want {
				t.Errorf("%v, want %v", hr, tc.want)
			}
		})
	}
	for _, end := range []kmswire.Filetime{0, 1<<64 - 1} {
		q := machine(1, config.ClientVL)
		q.ClientTime = end
		if _, hr := putTo(t, new(Rehearsal), q); hr != kmswire.ClockSkew {
			t.Errorf("%v: %v", end.Time(), hr)
		}
	}
}

// TestHostID: what stands where a KMS host has its product id is no product id,
// and fits.
func TestHostID(t *testing.T) {
	for name, want := range map[string]string{
		"":                      "REHEARSAL-ONLY",
		"kms1.corp.example.org": "REHEARSAL-ONLY kms1.corp.example.org",
		strings.Repeat("x", 99): "REHEARSAL-ONLY " + strings.Repeat("x", 48),
	} {
		if a, _ := putTo(t, &Rehearsal{Name: name}, machine(1, config.ClientVL)); a.HostID != want {
			t.Errorf("%q: host id %q", name, a.HostID)
		}
	}
}

// TestLog: one line for each request, with the fields of event 12290.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		r := &Rehearsal{Key: config.ClientVL, Log: func(l string) { lines = append(lines, l) }}
		q := machine(1, config.ClientVL)
		q.ClientVM = 1
		q.MachineName = "pc\n0x0, 25\x1b[2J"
		putTo(t, r, q)
		putTo(t, r, machine(2, config.ServerA))
		from := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 50000}
		r.answer(from, make([]byte, 252))
		r.answer(from, append([]byte{0, 0, 6, 0}, make([]byte, 256)...))
		r.answer(from, nil)
		edition := rehearsalEdition.String()
		want := []string{
			`0x00000000, 25, pc\n0x0\x2c 25\x1b[2J, 01000000-0000-0000-0000-000000000000, 2000/01/01 00:00, 1, 5, 0, ` + edition + ` from 192.0.2.7:50000`,
			`0xC004F042, 5, pc.example.org, 02000000-0000-0000-0000-000000000000, 2000/01/01 00:00, 0, 5, 0, ` + edition + ` from 192.0.2.7:50000`,
			`0x8007000D, -, -, -, -, -, -, -, - from 192.0.2.7:50000, version 0.0: not the expected protocol version`,
			`0x8007000D, -, -, -, -, -, -, -, - from 192.0.2.7:50000, version 6.0: not sealed by this rehearsal's secret`,
			`0x8007000D, -, -, -, -, -, -, -, - from 192.0.2.7:50000, version 0.0: kmswire: version in 0 octets: message ends before its contents do`,
		}
		if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
			t.Errorf("\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	})
}
