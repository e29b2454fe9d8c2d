package main

import (
	"fmt"
	"strings"
	"time"
)

// detectFinding is what the repetitions come to.
func detectFinding(all []detected, lookers, callers []string, seconds int) finding {
	rows := [][]string{{"what befell the host", "who", "last with it, s", "back to first with it, s"}}
	calls := [][]string{{"what befell the host", "through", "calls", "failed", "slowest answered, s"}}
	for k, s := range stages {
		for i, name := range lookers {
			gone, back := goneAndBack(all, k, i, seconds)
			rows = append(rows, []string{s.name, name, gone, back})
		}
		for i, name := range callers {
			total := lossSample{}
			for _, d := range all {
				l := d.calls[k][i]
				total = lossSample{total.calls + l.calls, total.failed + l.failed, max(total.slowest, l.slowest)}
			}
			calls = append(calls, []string{s.name, name, fmt.Sprint(total.calls),
				fmt.Sprintf("%d (%.1f %%)", total.failed, 100*float64(total.failed)/float64(total.calls)), fmt.Sprintf("%.2f", total.slowest.Seconds())})
		}
	}
	return finding{section: table(rows) + "\n" + table(calls)}
}

// goneAndBack is the cells for looker i in stage k.
func goneAndBack(all []detected, k, i, seconds int) (gone, back string) {
	var went, came []time.Duration
	kept, lost := 0, 0
	for _, d := range all {
		s := d.seen[k][i]
		switch {
		case s.kept:
			kept++
			continue
		case s.lost:
			lost++
		default:
			came = append(came, s.back)
		}
		went = append(went, s.gone)
	}
	return cell(went, kept, len(all), float64(seconds)), cell(came, lost, len(all), backTime.Seconds())
}

// cell is the spread of times, and how often of all it took longer than that many seconds.
func cell(times []time.Duration, beyond, all int, seconds float64) string {
	var parts []string
	if len(times) > 0 {
		var values []float64
		for _, d := range times {
			values = append(values, d.Seconds())
		}
		parts = append(parts, spreadOf(values).with("%.1f"))
	}
	if beyond > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d times not within %.0f", beyond, all, seconds))
	}
	return strings.Join(parts, ", ")
}
