package main

import (
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   string
	}{
		{[]float64{2}, "2.0 (2.0–2.0)"},
		{[]float64{5, 1, 3}, "3.0 (1.0–5.0)"},
		{[]float64{4, 1, 2, 9}, "3.0 (1.0–9.0)"},
	} {
		if got := spreadOf(tc.values).with("%.1f"); got != tc.want {
			t.Errorf("Got %s for %v, want %s", got, tc.values, tc.want)
		}
	}
}

// TestAdvantage: the ratio is taken within a round, so a round on a machine at half speed counts like any other.
func TestAdvantage(t *testing.T) {
	samples := func(us ...int) (all []sample) {
		for _, n := range us {
			all = append(all, sample{cpu: time.Duration(n) * time.Microsecond})
		}
		return all
	}
	if got := advantage(samples(10, 20, 10), samples(20, 40, 30)).with("%.1f"); got != "2.0 (2.0–3.0)" {
		t.Errorf("Got %s, want twice the answers in two rounds and thrice in one", got)
	}
}

func TestTable(t *testing.T) {
	want := "" +
		"| who  | µs  |\n" +
		"|------|-----|\n" +
		"| kms  | 1.5 |\n" +
		"| file | 3   |\n"
	if got := table([][]string{{"who", "µs"}, {"kms", "1.5"}, {"file", "3"}}); got != want {
		t.Errorf("Got\n%swant\n%s", got, want)
	}
}
