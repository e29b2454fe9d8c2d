package status

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestPlot(t *testing.T) {
	at := func(ago int) time.Time { return noon.Truncate(time.Minute).Add(-time.Duration(ago) * time.Minute) }
	got := drawPlot(noon, []Point{
		{At: at(60), Passed: 1, Mean: 9, Max: 9},                                               // over an hour ago
		{At: at(59), Passed: 2, Min: .001, Mean: .002, Max: .004, State: "up"},                 // the oldest minute
		{At: at(58), Passed: 1, Failed: 1, Min: .002, Mean: .002, Max: .002, State: "suspect"}, // one answer
		{At: at(56), Failed: 2, State: "down"},
		{At: at(0), Passed: 1, Min: .001, Mean: .001, Max: .001, State: "up"},
		{At: at(-1), Passed: 1, Mean: 9, Max: 9}, // not yet
	})
	want := plot{
		Bars: "M0.5 31.6V9.4", Line: "M0.5 24.2h.01L1.5 24.2M59.5 31.6h.01",
		Fails: "M1.20 34l.6 4m0 -4l-.6 4M3.20 34l.6 4m0 -4l-.6 4", Top: "5.0 ms",
		Text: "Probes of the last hour: 4 passed in 1.8 ms on average and at most 4.0 ms; 3 failures.",
	}
	if got != want {
		t.Errorf("Got  %+v\nwant %+v", got, want)
	}
	if got := drawPlot(noon, nil); got.Text != "No probe passed in the last hour; 0 failures." || got.Top != "" {
		t.Errorf("Without probes: %+v", got)
	}
}

func TestCeiling(t *testing.T) {
	for s, want := range map[float64]float64{.0008: .001, .001: .001, .0011: .002, .0021: .005, .0051: .01, 1.9: 2, 20: 20,
		0: .001, -1: .001} {
		if got := ceiling(s); math.Abs(got-want) > want/1e6 {
			t.Errorf("Above %v is %v, want %v", s, got, want)
		}
	}
	for _, s := range []float64{math.NaN(), math.Inf(1)} {
		if got := ceiling(s); got != 1e-3 {
			t.Errorf("Above %v is %v", s, got)
		}
	}
}

func TestStrip(t *testing.T) {
	at := func(ago int) time.Time { return noon.Truncate(time.Minute).Add(-time.Duration(ago) * time.Minute) }
	got := drawStrip(noon, []Point{{At: at(2), State: "up"}, {At: at(1), State: "down"}, {At: at(0), State: "up"},
		{At: at(99), State: "up"}})
	if got.Text != "The last hour: down 1 min, up 2 min." || len(got.Runs) != 2 ||
		got.Runs[1].Path != "M57.10 0h.8V12h-.8zM59.10 0h.8V12h-.8z" {
		t.Errorf("Got %+v", got)
	}
	// No two states look the same to who sees no colours.
	seen := make(map[[2]int]string)
	for state, h := range heights {
		if other := seen[h]; other != "" {
			t.Errorf("%s and %s are both %v", state, other, h)
		}
		seen[h] = state
	}
}

func TestGauge(t *testing.T) {
	for n, want := range map[int]gauge{
		-1: {0, "6 more for servers, 26 more for clients", "few"}, 4: {4, "1 more for servers, 21 more for clients", "few"},
		5: {5, "enough for servers; 20 more for clients", "servers"}, 24: {24, "enough for servers; 1 more for clients", "servers"},
		25: {25, "enough for clients and servers", "clients"}, 49: {49, "enough for clients and servers", "clients"},
		50: {50, "all that a host counts: enough for everything", "full"}, 9000: {50, "all that a host counts: enough for everything",
			"full"},
	} {
		if got := drawGauge(n); got != want {
			t.Errorf("%d: %+v, want %+v", n, got, want)
		}
	}
}

func TestHistogram(t *testing.T) {
	s := Summary{Known: 10001, Silent90: 1, Weeks: make([]int, Weeks)}
	s.Weeks[0], s.Weeks[13], s.Weeks[26] = 9999, 1, 1
	got := drawHistogram(s)
	if got.Calm != "M0.15 40V2.00h.7V40z" || got.Late != "M13.15 40V38.80h.7V40z" || got.Dying != "M26.15 40V38.80h.7V40z" {
		t.Errorf("Got %+v", got)
	}
	if got.Top != "9,999 clients" || len(got.Rows) != Weeks || got.Rows[13] != (week{"91 to 97 days",
		1}) || got.Rows[26] != (week{"182 days and more", 1}) {
		t.Errorf("Got %+v", got)
	}
	if !strings.HasPrefix(got.Text, "Of 10,001 clients 1 did not call for 90 days and 0 for 150.") {
		t.Errorf("It says %q", got.Text)
	}
	drawHistogram(Summary{}) // a Source that says nothing
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "under 1 s", 0: "under 1 s", time.Second: "1 s", 59999 * time.Millisecond: "59 s", time.Minute: "1 min",
		61 * time.Second: "1 min 1 s", 10*time.Minute + 5*time.Second: "10 min",
		time.Hour: "1 h", 61 * time.Minute: "1 h 1 min", 24 * time.Hour: "1 d", 53 * time.Hour: "2 d 5 h", 300 * time.Hour: "12 d",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0 ms", -1: "0 ms", .00043: "0.43 ms", .0042: "4.2 ms", .042: "42 ms",
		1.23: "1.2 s", math.NaN(): "0 ms"} {
		if got := took(s); got != want {
			t.Errorf("%v s is %q, want %q", s, got, want)
		}
	}
	for share, want := range map[float64]string{0: "0 %", 1: "100 %", .6: "60 %", 1. / 3: "33 %", .001: "under 1 %",
		.999: "over 99 %", math.NaN(): "0 %"} {
		if got := percent(share); got != want {
			t.Errorf("%v is %q, want %q", share, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := number(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	if got := clock(noon, noon.Add(-30*time.Hour)); got != "2026-03-03 06:00" {
		t.Errorf("Yesterday is %q", got)
	}
	if got := clock(noon, noon.Add(-time.Hour).In(time.FixedZone("", -7200))); got != "11:00:30" {
		t.Errorf("Today elsewhere is %q", got)
	}
	if seconds(math.NaN()) != "under 1 s" || ago(noon, noon) != "just now" || seconds(1e300) == "" || ago(noon,
		time.Time{}) != "never" {
		t.Error("What makes no sense is not shown")
	}
}
