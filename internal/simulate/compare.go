package simulate

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Matrix is scenarios that differ in four things.
type Matrix struct {
	Fleets   []int // numbers of clients
	MaxHosts int   // from one host
	Large    int   // of a fleet that is not for the whole matrix: MaxHosts hosts, newer clients; 0 for none
	Parallel int   // how many are lived through at once
}

// Scenarios is base in every variation: by fleet, kind of client, way and number of hosts, and the large fleet at the end.
func (m Matrix) Scenarios(base Scenario) []Scenario {
	var all []Scenario
	for _, base.Clients = range m.Fleets {
		for _, base.Vista = range []bool{false, true} {
			for _, base.Way = range Ways() {
				for base.Hosts = 1; base.Hosts <= m.MaxHosts; base.Hosts++ {
					all = append(all, base)
				}
			}
		}
	}
	if m.Large > 0 {
		base.Clients, base.Vista, base.Hosts = m.Large, false, m.MaxHosts
		for _, base.Way = range Ways() {
			all = append(all, base)
		}
	}
	return all
}

// RunAll lives through all of them and returns their results in the same order. progress, if not nil, is told now and then
// what part is done, by clients and days; never twice at once.
func RunAll(ctx context.Context, all []Scenario, parallel int, progress func(part float64)) ([]Result, error) {
	var (
		mu    sync.Mutex // guards what follows
		first error
		next  int
		done  float64
		whole float64
		wg    sync.WaitGroup
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make([]Result, len(all))
	for _, s := range all {
		whole += s.work(s.length())
	}
	for range min(max(parallel, 1), len(all)) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(all) {
					return
				}
				s, before := all[i], time.Duration(0)
				r, err := Run(ctx, s, func(now time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					done += s.work(now) - s.work(before)
					before = now
					if progress != nil {
						progress(done / whole)
					}
				})
				mu.Lock()
				results[i] = r
				if err != nil && first == nil {
					first = err
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return results, first
}

// work is about how much there is to do until d: that of the hosts weighs as much as that of some thousand clients.
func (s Scenario) work(d time.Duration) float64 { return (float64(s.Clients) + 10_000) * d.Hours() }

// Report is results of a Matrix, for readers.
type Report struct {
	Matrix  Matrix
	Base    Scenario
	Results []Result // of its Scenarios
	Command string   // that made it
	Took    time.Duration
	Figure  string // the name of the file with WriteSVG's
}

// WriteMarkdown writes everything but the figure.
func (r Report) WriteMarkdown(out io.Writer) error {
	var b strings.Builder
	s := r.Base
	fmt.Fprintf(&b, "# Simulated: %d days\n\n", s.Days)
	fmt.Fprintf(&b, "Written by\n\n    %s\n\nwhich took %s. Do not edit: run it again. "+
		"The same command has the same figures, but for the time it took.\n\n", r.Command, r.Took.Round(time.Second))
	fmt.Fprintf(&b, "Clients are installed within the first %s", days(s.Grow))
	if s.Office {
		b.WriteString(" and are on in office hours only")
	}
	fmt.Fprintf(&b, "; hosts tell them to try again after %s and to renew after %s.\n", days(s.Activation), days(s.Renewal))
	fmt.Fprintf(&b, "Hosts are probed every %s.\n%s\n", s.Probe.Interval, s.Trouble)
	fmt.Fprintf(&b, "Seed %d: every number of hosts has the same troubles in all tables.\n\n", s.Seed)
	fmt.Fprintf(&b, "![Time to the first activation, and lost calls](%s)\n", r.Figure)
	for _, t := range tables {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", t.title, t.about)
		for _, clients := range r.Matrix.Fleets {
			r.table(&b, clients, t.cell)
		}
	}
	r.large(&b)
	_, err := io.WriteString(out, b.String())
	return err
}

// String is the troubles in a sentence for each.
func (t Trouble) String() string {
	var all []string
	if t.Fail > 0 {
		all = append(all, fmt.Sprintf("Each fails every %s for %s, in the mean; %s of failures are hosts that hang.",
			days(t.Fail), days(t.Repair), strings.Replace(percent(t.HangPart), ".00", "", 1)))
	}
	if t.OutageEvery > 0 {
		all = append(all, fmt.Sprintf("Every %s all are gone for %s, in the mean.", days(t.OutageEvery), days(t.OutageFor)))
	}
	if t.ServiceEvery > 0 {
		all = append(all, fmt.Sprintf("Every %s one is drained and shut down for %s.", days(t.ServiceEvery), days(t.ServiceFor)))
	}
	if len(all) == 0 {
		return "Nothing ever happens to them."
	}
	return strings.Join(all, "\n")
}

// days is d in days if it is so many.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "day"
	case d > day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return d.String()
}

// tables is what a report tells of each scenario.
var tables = []struct {
	title, about string
	cell         func(Result) string
}{
	{"Activated", "The share of the time since clients were installed in which they were activated, all clients taken together.",
		func(r Result) string { return percent(r.Share) }},
	{"First activation", "How long after its first attempt a client was activated, all but one in a hundred of them; with it, if there " +
		"are any,\nthose that never were.",
		func(r Result) string {
			switch {
			case r.Activated == 0:
				return "nobody ever"
			case r.Never > 0:
				return fmt.Sprintf("%s, %s never", r.P99.Duration(), Thousands(uint64(r.Never)))
			}
			return r.P99.Duration().String()
		}},
	{"Calls lost", "Calls of clients, to hosts or to the responder, that got no answer.",
		func(r Result) string { return percent(part(r.CallsLost, r.Calls)) }},
	{"Attempts failed", "Attempts of clients that no host answered at all: the client tries again two hours later.",
		func(r Result) string { return Thousands(r.Failed) }},
	{"Load", "The share of all answered calls that the host had that had most. One host has all; equal shares of six are 16.67 %.",
		func(r Result) string { return percent(r.busiest()) }},
}

// table writes one fleet: a row for each way and kind of client, a column for each number of hosts.
func (r Report) table(b *strings.Builder, clients int, cell func(Result) string) {
	fmt.Fprintf(b, "\n| %s clients |", Thousands(uint64(clients)))
	for hosts := 1; hosts <= r.Matrix.MaxHosts; hosts++ {
		fmt.Fprintf(b, " %s |", count(hosts, "host"))
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", r.Matrix.MaxHosts) + "\n")
	for _, vista := range []bool{false, true} {
		for _, way := range Ways() {
			fmt.Fprintf(b, "| %s%s |", way, map[bool]string{true: ", Vista"}[vista])
			for _, one := range r.row(clients, vista, way) {
				fmt.Fprintf(b, " %s |", cell(one))
			}
			b.WriteByte('\n')
		}
	}
}

// row is the results of a fleet by number of hosts.
func (r Report) row(clients int, vista bool, way Way) []Result {
	var all []Result
	for _, one := range r.Results[:len(r.Results)-r.largeOnes()] {
		if s := one.Scenario; s.Clients == clients && s.Vista == vista && s.Way == way {
			all = append(all, one)
		}
	}
	return all
}

func (r Report) largeOnes() int {
	if r.Matrix.Large > 0 {
		return len(Ways())
	}
	return 0
}

// large writes what became of the large fleet.
func (r Report) large(b *strings.Builder) {
	all := r.Results[len(r.Results)-r.largeOnes():]
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s clients, %s\n", Thousands(uint64(r.Matrix.Large)), count(r.Matrix.MaxHosts, "host"))
	for _, one := range all {
		b.WriteString("\n```\n")
		one.WriteText(b, Style{Width: 90})
		b.WriteString("```\n")
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// WriteSVG writes two charts for each fleet: how long all but one in a hundred waited for their first activation, and calls lost, by
// number of hosts.
func (r Report) WriteSVG(out io.Writer) error {
	var charts []chart
	for _, clients := range slices.Compact(slices.Clone(r.Matrix.Fleets)) {
		title := Thousands(uint64(clients)) + " clients"
		first := chart{title: title, x: "hosts", y: "hours until 99 in 100 were activated"}
		lost := chart{title: title, x: "hosts", y: "% of calls lost"}
		for _, vista := range []bool{false, true} {
			for _, way := range Ways() {
				name := way.String()
				if vista {
					name += ", Vista"
				}
				a, l := line{name: name}, line{name: name}
				for _, one := range r.row(clients, vista, way) {
					hosts := float64(one.Scenario.Hosts)
					a.points = append(a.points, [2]float64{hosts, float64(one.P99) / 3600})
					l.points = append(l.points, [2]float64{hosts, 100 * part(one.CallsLost, one.Calls)})
				}
				first.lines, lost.lines = append(first.lines, a), append(lost.lines, l)
			}
		}
		charts = append(charts, first, lost)
	}
	return writeSVG(out, charts, 2)
}
