package main

import "fmt"

// A target is what was wanted of kms, and what it came to: a ratio, taken within each round, or a figure.
type target struct {
	name     string
	limit    float64
	most     bool // the limit is not to be exceeded; otherwise it is to be reached
	measured spread
}

// met is whether the median is within the limit.
func (t target) met() bool {
	if t.most {
		return t.measured.median <= t.limit
	}
	return t.measured.median >= t.limit
}

// row is the line of the table of targets.
func (t target) row() []string {
	bound, verdict := "at least ", "met"
	if t.most {
		bound = "at most "
	}
	if !t.met() {
		verdict = "**missed**"
	}
	return []string{t.name, bound + fmt.Sprintf("%.2f", t.limit), t.measured.with("%.2f"), verdict}
}

func targetTable(all []target) string {
	rows := [][]string{{"target", "wanted", "measured", ""}}
	for _, t := range all {
		rows = append(rows, t.row())
	}
	return table(rows)
}

// targetReport is the section of the document with the targets of all benchmarks of one run.
func targetReport(all []target) string {
	met := 0
	for _, t := range all {
		if t.met() {
			met++
		}
	}
	return fmt.Sprintf("%d of %d met, all in one run.\n\n%s", met, len(all), targetTable(all))
}
