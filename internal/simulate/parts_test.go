package simulate

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// TestQueue: clients come out in the order of time, and of their numbers at one time, and come back later.
func TestQueue(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	q := newQueue(make([]client, 500), time.Hour)
	end := instant(time.Hour/tick) + 1
	for n := range q.clients {
		q.push(uint32(n), 1+instant(rnd.IntN(1000)))
	}
	left := len(q.clients)
	var last instant
	lastOne := uint32(0)
	for due, ok := q.peek(end); ok; due, ok = q.peek(end) {
		n := q.pop()
		if due < last || due == last && n <= lastOne || due != q.clients[n].due {
			t.Fatalf("Client %d came at %d, due at %d, after client %d at %d", n, due, q.clients[n].due, lastOne, last)
		}
		last, lastOne = due, n
		if rnd.IntN(3) > 0 {
			q.push(n, due+2*bucketTicks+instant(rnd.IntN(30_000)))
			if due+2*bucketTicks+30_000 < end {
				continue
			}
		}
		left--
	}
	if left > 0 || q.bucket != len(q.heads) {
		t.Errorf("%d clients never came out, after %d of %d buckets", left, q.bucket, len(q.heads))
	}
}

// TestQueueWaits: nobody comes who is due behind the limit, and nobody may be due in the past.
func TestQueueWaits(t *testing.T) {
	q := newQueue(make([]client, 2), time.Hour)
	q.push(0, 5*bucketTicks)
	if _, ok := q.peek(4 * bucketTicks); ok {
		t.Error("A client came whose bucket is not open yet")
	}
	if due, ok := q.peek(4*bucketTicks + 1); !ok || due != 5*bucketTicks {
		t.Errorf("Got %d, %t", due, ok)
	}
	defer func() {
		if recover() == nil {
			t.Error("A client was due in the past, and nobody said so")
		}
	}()
	q.push(1, 5*bucketTicks)
}

// TestClientLearns: what a client has learned is the same, to a tick, after it was put away.
func TestClientLearns(t *testing.T) {
	if size := unsafe.Sizeof(client{}); size > 24 {
		t.Errorf("A client has %d octets, want 24", size)
	}
	servers := []kmsresponder.SRV{{Target: "a."}, {Target: "b."}}
	numbers := map[string]int{"a.": 0, "b.": 1}
	for _, want := range []kmsresponder.Learned{
		{},
		{Installed: start, Activation: 15 * time.Minute, Renewal: 30 * day},
		{Installed: start.Add(tick), Licensed: start.Add((MaxDays + 180) * day), Cached: &servers[1],
			Activation: time.Minute, Renewal: day},
	} {
		var c client
		c.learn(&want, numbers)
		if got := c.learned(servers); got != want {
			t.Errorf("Got %+v, want %+v", got, want)
		}
	}
	c := client{cached: 1}
	c.learn(&kmsresponder.Learned{}, numbers)
	if c.learned(servers).Cached != nil {
		t.Error("A host was remembered that the client forgot")
	}
}

func TestClientOn(t *testing.T) {
	c := client{late: 2} // on from 8:00 to 17:00
	for at, want := range map[string]string{
		"Mon 07:59": "Mon 08:00", "Mon 08:00": "Mon 08:00", "Mon 16:59": "Mon 16:59", "Mon 17:00": "Tue 08:00",
		"Fri 17:00": "Mon 08:00", "Sat 12:00": "Mon 08:00", "Sun 23:59": "Mon 08:00",
	} {
		const layout = "Mon 15:04"
		moment := start
		for moment.Format(layout) != at {
			moment = moment.Add(time.Minute)
		}
		if got := c.on(moment); got.Format(layout) != want || got.Before(moment) || got.Sub(moment) > 3*day {
			t.Errorf("At %s: on at %s, want %s", at, got.Format(layout), want)
		}
	}
}

func TestFlatten(t *testing.T) {
	got := flatten([]span{{50, 60, off}, {10, 30, hung}, {20, 25, off}, {28, 40, refusing}, {40, 41, off}})
	want := []span{{10, 30, hung}, {30, 40, refusing}, {40, 41, off}, {50, 60, off}}
	if !slices.Equal(got, want) {
		t.Errorf("Got %v, want %v", got, want)
	}
}

// TestTroubles: they are as long and as many as asked for, the same whatever the clients and their way, and hosts are
// drained around their service.
func TestTroubles(t *testing.T) {
	s := Default()
	s.Hosts, s.Days = 4, MaxDays
	s.OutageEvery = 0
	spans, services := s.troubles()
	failures, hung0, bad := 0, 0, time.Duration(0)
	for i, host := range spans {
		last := time.Duration(0)
		for _, one := range host {
			if one.from < last || one.to <= one.from {
				t.Errorf("Host %d: %v after %s", i, one, last)
			}
			last = one.to
			if one.to-one.from != s.ServiceFor {
				failures++
				bad += one.to - one.from
			}
			if one.what == hung {
				hung0++
			}
		}
	}
	// 4 hosts, 1000 days, a failure each 30 days of 4 h: 133 failures, 532 h; a quarter hangs.
	if failures < 95 || failures > 170 || bad < 350*time.Hour || bad > 720*time.Hour || hung0 < failures/8 || hung0 > failures/2 {
		t.Errorf("Got %d failures of %s in all, %d hung", failures, bad, hung0)
	}
	if n := (MaxDays*day - 1) / s.ServiceEvery; len(services) != int(n) {
		t.Errorf("Got %d services, want %d", len(services), n)
	}
	for n, one := range services {
		middle := (one.from + one.to) / 2
		if one.host != n%4 || !slices.ContainsFunc(spans[one.host], func(s span) bool { return s.from <= middle && middle < s.to }) {
			t.Errorf("Service %d, of host %d, from %s: the host is never off", n, one.host, one.from)
		}
	}
	other := s
	other.Clients, other.Way, other.Vista, other.Hosts = 5, Warm, true, 2
	fewer, _ := other.troubles()
	failed := func(host []span) []span {
		return slices.DeleteFunc(slices.Clone(host), func(s span) bool { return s.what == refusing })
	}
	if !slices.Equal(failed(fewer[1])[:3], failed(spans[1])[:3]) {
		t.Error("Other troubles with fewer hosts")
	}
}

func TestDelays(t *testing.T) {
	d := newDelays()
	if d.quantile(0.5) != 0 {
		t.Error("A wait without anybody who waits")
	}
	for i := range 100 {
		d.add(time.Duration(i) * time.Minute)
	}
	d.add(1000 * day)
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 49 * time.Minute, 0.99: 98 * time.Minute, 1: delayMost} {
		if got := d.quantile(q); got != want {
			t.Errorf("Quantile %g: got %s, want %s", q, got, want)
		}
	}
}

func TestFigures(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 10_000_000: "10,000,000"} {
		if got := Thousands(n); got != want {
			t.Errorf("Got %q, want %q", got, want)
		}
	}
	for share, want := range map[float64]string{0: "0.00 %", 1e-9: "<0.01 %", 0.5: "50.00 %", 1 - 1e-9: ">99.99 %", 1: "100.00 %"} {
		if got := percent(share); got != want {
			t.Errorf("%g: got %q, want %q", share, got, want)
		}
	}
	for _, way := range Ways() {
		if got, err := ParseWay(way.String()); got != way || err != nil {
			t.Errorf("%q: got %v, %v", way, got, err)
		}
	}
	if _, err := ParseWay("all"); err == nil || err.Error() != `"all": one of direct, spread, concentrate, warm` {
		t.Errorf("Got %v for no way", err)
	}
}

// TestPlots: lines are as wide as asked for, and nothing but ASCII stands in them where there is nothing else.
func TestPlots(t *testing.T) {
	r := mustRun(t, small(Direct, false))
	for _, style := range []Style{{Width: 40}, {Width: 500, ASCII: true}, {Width: 0, ASCII: true}} {
		var b bytes.Buffer
		if err := r.WriteText(&b, style); err != nil {
			t.Fatal(err)
		}
		width := min(max(style.Width, 1), samples)
		plots := 0
		for line := range strings.SplitSeq(b.String(), "\n") {
			if _, bars, ok := strings.Cut(line, "|"); ok {
				plots++
				if n := len([]rune(bars)); n != width {
					t.Errorf("%+v: a line of %d columns, want %d: %q", style, n, width, line)
				}
			}
		}
		if plots != 8+r.Scenario.Hosts {
			t.Errorf("%+v: %d lines of plots", style, plots)
		}
		if i := strings.IndexFunc(b.String(), func(r rune) bool { return r > 126 }); style.ASCII != (i < 0) {
			t.Errorf("%+v: something beyond ASCII at %d", style, i)
		}
	}
}

// wellFormed checks that text is XML.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestReport: a report has a row for every way and kind of client in every table, and the same text with any number of
// scenarios at once.
func TestReport(t *testing.T) {
	m := Matrix{Fleets: []int{30, 60}, MaxHosts: 2, Large: 100}
	base := small(Direct, false)
	base.Days, base.Grow = 10, day
	var texts []string
	for _, parallel := range []int{1, 3} {
		last := 0.0
		results, err := RunAll(t.Context(), m.Scenarios(base), parallel, func(part float64) {
			if part < last || part > 1.000001 {
				t.Errorf("Progress %g after %g", part, last)
			}
			last = part
		})
		if err != nil || len(results) != 2*2*4*2+4 || last < 0.999999 {
			t.Fatalf("Got %d results, %v, progress %g", len(results), err, last)
		}
		r := Report{Matrix: m, Base: base, Results: results, Command: "coredns kms simulate", Took: time.Minute, Figure: "report.svg"}
		var text, figure bytes.Buffer
		if err := errors.Join(r.WriteMarkdown(&text), r.WriteSVG(&figure)); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, figure.String())
		texts = append(texts, text.String()+figure.String())
	}
	if texts[0] != texts[1] {
		t.Error("Another report when scenarios are lived through at once")
	}
	rows := 0
	for line := range strings.SplitSeq(texts[0], "\n") {
		if strings.HasPrefix(line, "| ") && strings.Count(line, "|") == 2+m.MaxHosts {
			rows++
		}
	}
	if want := len(tables) * len(m.Fleets) * (2 + 8); rows != want {
		t.Errorf("Got %d lines of tables, want %d", rows, want)
	}
	for _, want := range []string{"![Time to the first activation, and lost calls](report.svg)", "| concentrate, Vista |", "## 100 clients, 2 hosts",
		"every 4 days for 1 h"} {
		if !strings.Contains(texts[0], want) {
			t.Errorf("There is no %q in it", want)
		}
	}
	if strings.Count(texts[0], "<polyline") != 2*len(m.Fleets)*8 {
		t.Errorf("Got %d lines in the figure", strings.Count(texts[0], "<polyline"))
	}
}

func TestAxes(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 0.011: 0.012, 1: 1, 1.89: 2, 2.84: 3.2, 90: 100, 111: 120, 100: 100} {
		if got := roundUp(v); math.Abs(got-want) > 1e-9*want {
			t.Errorf("Up to %g: got %g, want %g", v, got, want)
		}
	}
	if got := ticks(1, 6); !slices.Equal(got, []float64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("Got %v", got)
	}
	if got := ticks(0, 180); !slices.Equal(got, []float64{0, 90, 180}) {
		t.Errorf("Got %v", got)
	}
}

func TestTroubleInWords(t *testing.T) {
	for want, trouble := range map[string]Trouble{
		"Nothing ever happens to them.": {},
		"Each fails every 30 days for 4 h, in the mean; 25 % of failures are hosts that hang.\n" +
			"Every 90 days all are gone for 1 h, in the mean.\n" +
			"Every 14 days one is drained and shut down for 2 h.": Default().Trouble,
	} {
		if got := trouble.String(); got != want {
			t.Errorf("Got %q, want %q", got, want)
		}
	}
}
