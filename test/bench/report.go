package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// spread is a median between the least and the greatest.
type spread struct{ median, least, most float64 }

// spreadOf is the spread of values, of which there is at least one.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

// with writes the spread in the given verb: "0.97 (0.95–0.99)".
func (s spread) with(verb string) string {
	return fmt.Sprintf(verb+" ("+verb+"–"+verb+")", s.median, s.least, s.most)
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// over is the spread of f over samples.
func over(samples []sample, f func(sample) float64) spread {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = f(s)
	}
	return spreadOf(values)
}

// advantage is how many answers first gives in the CPU time in which other gives one, round by round: what disturbs the
// machine during a round disturbs both.
func advantage(first, other []sample) spread {
	values := make([]float64, len(first))
	for i := range first {
		values[i] = float64(other[i].cpu) / float64(first[i].cpu)
	}
	return spreadOf(values)
}

// table writes rows, of which the first is the head, in Markdown that is legible as it stands.
func table(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell), 3)
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)) + " ")
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// circumstances is when and on what it was measured, and how often.
func circumstances(b bench) string {
	words := []string{time.Now().UTC().Format(time.DateOnly), fmt.Sprintf("%d cores", runtime.NumCPU())}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(info); m != nil {
			words[1] += " of " + string(m[1])
		}
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		words = append(words, "Linux "+strings.TrimSpace(string(kernel)))
	}
	words = append(words, runtime.Version())
	if others := versions(b.needs); others != "" {
		words = append(words, others)
	}
	load := "unknown"
	if average, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(average))[:3], ", ")
	}
	again := ""
	if *b.repeated > 0 {
		again = fmt.Sprintf(" %d runs were made again, since queries got lost or hosts were doubted.", *b.repeated)
	}
	return fmt.Sprintf("Measured %s; load average at the end %s. %d rounds of %d s; medians (least–most).%s",
		strings.Join(words, ", "), load, b.rounds, b.seconds, again)
}
