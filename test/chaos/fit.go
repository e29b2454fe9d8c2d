package main

import (
	"fmt"
	"math"
	"time"
)

// A reading is one figure of the server at a time.
type reading struct {
	at    time.Duration
	value float64
}

// A trend is the straight line through readings, by least squares.
type trend struct {
	Name  string        `json:"name"`
	First float64       `json:"first"` // of the readings, as they are
	Last  float64       `json:"last"`
	Mean  float64       `json:"mean"`
	Grown float64       `json:"grown"` // by the line, over Over
	Error float64       `json:"error"` // one standard error of Grown
	Over  time.Duration `json:"over_ns"`
	Slack float64       `json:"slack"` // how much growth is none
}

// flooring is the span of time of which the least reading is judged.
const flooring = 15 * time.Second

// floor is the least reading of each span of time. What comes and goes stands on it; what leaks lifts it.
func floor(readings []reading, span time.Duration) []reading {
	var least []reading
	for i, r := range readings {
		switch n := len(least) - 1; {
		case i == 0 || r.at/span != readings[i-1].at/span:
			least = append(least, r)
		case r.value < least[n].value:
			least[n].value = r.value
		}
	}
	return least
}

// trendOf fits a line. Fewer than three readings make none.
func trendOf(name string, readings []reading, slack float64) (trend, error) {
	n := float64(len(readings))
	if n < 3 {
		return trend{}, fmt.Errorf("%s: only %d readings: a longer run is needed to see whether it is flat", name, len(readings))
	}
	var meanAt, mean float64
	for _, r := range readings {
		meanAt += r.at.Seconds() / n
		mean += r.value / n
	}
	var cross, square float64
	for _, r := range readings {
		cross += (r.at.Seconds() - meanAt) * (r.value - mean)
		square += (r.at.Seconds() - meanAt) * (r.at.Seconds() - meanAt)
	}
	if square == 0 {
		return trend{}, fmt.Errorf("%s: all readings are of one moment", name)
	}
	slope, rest := cross/square, 0.0
	for _, r := range readings {
		off := r.value - mean - slope*(r.at.Seconds()-meanAt)
		rest += off * off
	}
	first, last := readings[0], readings[len(readings)-1]
	over := last.at - first.at
	return trend{
		Name: name, First: first.value, Last: last.value, Mean: mean, Over: over, Slack: slack,
		Grown: slope * over.Seconds(),
		Error: math.Sqrt(rest/(n-2)/square) * over.Seconds(),
	}, nil
}

// flat is whether the line rises by no more than a twentieth of the mean and the slack; by up to twice as much, if chance explains
// it.
func (t trend) flat() bool {
	allowed := t.Mean/20 + t.Slack
	return t.Grown <= allowed || t.Grown <= min(3*t.Error, 2*allowed)
}
