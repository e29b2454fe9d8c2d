package main

import (
	"fmt"
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
	gone, back = inSeconds(went), inSeconds(came)
	if kept > 0 {
		gone += fmt.Sprintf("%d of %d times not within %d", kept, len(all), seconds)
	}
	if lost > 0 {
		back += fmt.Sprintf("%d of %d times not within %.0f", lost, len(all), backTime.Seconds())
	}
	return gone, back
}

// inSeconds is the spread of all, and "" if there is none.
func inSeconds(all []time.Duration) string {
	var values []float64
	for _, d := range all {
		values = append(values, d.Seconds())
	}
	if len(values) == 0 {
		return ""
	}
	return spreadOf(values).with("%.1f") + " "
}
