package main

import "fmt"

// report is the section of the document.
func (r *updateResults) report() string {
	rows := [][]string{{"server", "octets"}}
	for _, n := range updatesAtOnce {
		rows[0] = append(rows[0], fmt.Sprintf("updates/s, %d at once", n), fmt.Sprintf("server CPU, µs/update, %d at once", n))
	}
	rows[0] = append(rows[0], "answers/s", "answers/s beside updates", "updates/s beside answers")
	for i, name := range r.names {
		row := []string{name, fmt.Sprint(r.octets[i])}
		for n := range updatesAtOnce {
			row = append(row, r.over(i, func(s updateSample) float64 { return s.perSecond[n] }).with("%.0f"),
				r.over(i, func(s updateSample) float64 { return microseconds(s.cpu[n]) }).with("%.0f"))
		}
		rows = append(rows, append(row,
			r.over(i, func(s updateSample) float64 { return s.answers }).with("%.0f"),
			r.over(i, func(s updateSample) float64 { return s.answersToo }).with("%.0f"),
			r.over(i, func(s updateSample) float64 { return s.updatesToo }).with("%.0f")))
	}
	ratios := [][]string{{"kms, times BIND", ""}}
	for n, at := range updatesAtOnce {
		ratios = append(ratios, []string{fmt.Sprintf("updates/s, %d at once", at),
			r.times(func(s updateSample) float64 { return s.perSecond[n] }).with("%.2f")})
	}
	ratios = append(ratios,
		[]string{"answers/s", r.times(func(s updateSample) float64 { return s.answers }).with("%.2f")},
		[]string{"answers/s beside updates", r.times(func(s updateSample) float64 { return s.answersToo }).with("%.2f")},
		[]string{"updates/s beside answers", r.times(func(s updateSample) float64 { return s.updatesToo }).with("%.2f")})
	return table(rows) + "\n" + table(ratios)
}

// over is the spread of f over the samples of server i.
func (r *updateResults) over(i int, f func(updateSample) float64) spread {
	var values []float64
	for _, s := range r.samples[i] {
		values = append(values, f(s))
	}
	return spreadOf(values)
}

// times is how much more f is of kms than of BIND, round by round.
func (r *updateResults) times(f func(updateSample) float64) spread {
	var values []float64
	for i, s := range r.samples[updateKMS] {
		values = append(values, f(s)/f(r.samples[updateBIND][i]))
	}
	return spreadOf(values)
}
