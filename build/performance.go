package main

import (
	"fmt"
	"strings"
)

// figure is a number for whoever draws graphs of a check. It begins at 0.
type figure struct {
	name   string // without blanks, quotes and equals signs
	number int
	most   int // that there can be; below 0 if there is no bound
}

// performance is what stands behind the first line of a check: its figures, as monitoring plugins write them,
// NAME=NUMBER;WARN;CRIT;MIN;MAX, without thresholds.
func performance(figures ...figure) string {
	var b strings.Builder
	b.WriteString(" |")
	for _, f := range figures {
		fmt.Fprintf(&b, " %s=%d;;;0", f.name, f.number)
		if f.most >= 0 {
			fmt.Fprintf(&b, ";%d", f.most)
		}
	}
	return b.String()
}

// hostFigures is how many hosts there are in which state. Those of the states that nobody has to look at have no figure.
func hostFigures(states []string) []figure {
	count := make(map[string]int)
	for _, s := range states {
		count[s]++
	}
	var all []figure
	for _, s := range []string{"up", "suspect", "down", "drained"} {
		all = append(all, figure{"hosts_" + s, count[s], len(states)})
	}
	return all
}

// checkLine is text as it may stand in the first line of a check: behind a bar there would be figures.
func checkLine(text string) string { return strings.ReplaceAll(printable(text), "|", "/") }
