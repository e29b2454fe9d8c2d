package status

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The pictures are drawn here, as paths in a grid of their own that the page stretches; what can be read stands beside them in
// HTML, so that it keeps its size on a phone. Each has a text that says the same.

// plot is the last hour of probes of one host. Its grid is 60 minutes wide, the oldest left, and 40 high.
type plot struct {
	Bars  string // from the fastest probe of a minute to the slowest
	Line  string // through the means, broken where nothing passed
	Fails string // a cross for each minute in which a probe failed
	Top   string // what the upper edge stands for
	Text  string
}

const plotHeight = 40

// minute is the place of t in a grid of the hour that ends at now, and whether it is in there.
func minute(now, t time.Time) (int, bool) {
	n := 59 - int(now.Truncate(time.Minute).Sub(t.Truncate(time.Minute))/time.Minute)
	return n, n >= 0 && n < 60
}

func drawPlot(now time.Time, points []Point) plot {
	var slowest, sum float64
	var passed, failed int
	points = slices.DeleteFunc(slices.Clone(points), func(p Point) bool {
		_, ok := minute(now, p.At)
		return !ok || !(p.Min+p.Mean+p.Max < math.MaxFloat64) // what is no number has no place
	})
	for _, p := range points {
		failed += p.Failed
		if p.Passed > 0 {
			passed += p.Passed
			slowest, sum = max(slowest, p.Max), sum+p.Mean*float64(p.Passed)
		}
	}
	out := plot{Text: "No probe passed in the last hour"}
	top := ceiling(slowest)
	if passed > 0 {
		out.Top = took(top)
		out.Text = fmt.Sprintf("Probes of the last hour: %s passed in %s on average and at most %s", number(passed),
			took(sum/float64(passed)), took(slowest))
	}
	out.Text += "; " + counted(failed, "failure", "failures") + "."
	y := func(s float64) float64 { return plotHeight - 1 - (plotHeight-3)*min(max(s, 0)/top, 1) }
	var bars, line, fails strings.Builder
	last := -2
	for _, p := range points {
		n, _ := minute(now, p.At)
		x := float64(n) + .5
		if p.Failed > 0 {
			fmt.Fprintf(&fails, "M%.2f 34l.6 4m0 -4l-.6 4", x-.3)
		}
		if p.Passed == 0 {
			continue
		}
		if p.Max > p.Min {
			fmt.Fprintf(&bars, "M%.1f %.1fV%.1f", x, y(p.Min), y(p.Max))
		}
		command := "L"
		if n != last+1 {
			command = "M"
		}
		fmt.Fprintf(&line, "%s%.1f %.1f", command, x, y(p.Mean))
		if command == "M" {
			line.WriteString("h.01") // a minute that stands alone is a dot
		}
		last = n
	}
	out.Bars, out.Line, out.Fails = bars.String(), line.String(), fails.String()
	return out
}

// ceiling is the next of 1, 2 and 5 with zeros that is not below s.
func ceiling(s float64) float64 {
	if !(s > 0) || math.IsInf(s, 0) {
		return 1e-3
	}
	unit := math.Pow(10, math.Floor(math.Log10(s)))
	for _, n := range []float64{1, 2, 5} {
		if s <= n*unit*1.0001 {
			return n * unit
		}
	}
	return 10 * unit
}

// run is the minutes of one state in a strip.
type run struct{ State, Path string }

// strip is the states of one host in the last hour: 60 wide and 12 high. States differ in height as well as in colour.
type strip struct {
	Runs []run
	Text string
}

// heights are from where to where a state reaches.
var heights = map[string][2]int{"up": {0, 12}, "suspect": {4, 12}, "down": {9, 12}, "drained": {5, 7}, "claimed": {2, 4},
	"unchecked": {10, 12}}

func drawStrip(now time.Time, points []Point) strip {
	paths := make(map[string]*strings.Builder)
	minutes := make(map[string]int)
	for _, p := range points {
		n, ok := minute(now, p.At)
		if !ok {
			continue
		}
		state := shape(p.State)
		h, ok := heights[state]
		if !ok {
			continue
		}
		if paths[state] == nil {
			paths[state] = new(strings.Builder)
		}
		minutes[state]++
		fmt.Fprintf(paths[state], "M%.2f %dh.8V%dh-.8z", float64(n)+.1, h[0], h[1])
	}
	var out strip
	var parts []string
	for _, s := range stateOrder {
		if paths[s] != nil {
			out.Runs = append(out.Runs, run{s, paths[s].String()})
			parts = append(parts, fmt.Sprintf("%s %d min", s, minutes[s]))
		}
	}
	out.Text = "Nothing is known of the last hour."
	if parts != nil {
		out.Text = "The last hour: " + strings.Join(parts, ", ") + "."
	}
	return out
}

// Counts from which a KMS host activates, and the most that it counts.
const (
	serverCount = 5
	clientCount = 25
	mostCount   = 50
)

// gauge is a count against those: 50 wide.
type gauge struct {
	Filled int // 0 to 50
	Text   string
	Word   string // few, servers, clients or full: as a class
}

func drawGauge(n int) gauge {
	g := gauge{Filled: min(max(n, 0), mostCount)}
	switch {
	case n >= mostCount:
		g.Word, g.Text = "full", "all that a host counts: enough for everything"
	case n >= clientCount:
		g.Word, g.Text = "clients", "enough for clients and servers"
	case n >= serverCount:
		g.Word, g.Text = "servers", fmt.Sprintf("enough for servers; %d more for clients", clientCount-n)
	default:
		g.Word, g.Text = "few", fmt.Sprintf("%d more for servers, %d more for clients", serverCount-n, clientCount-n)
	}
	return g
}

// histogram is clients by weeks since their last call: Weeks wide and 40 high.
type histogram struct {
	Calm, Late, Dying string // bars of up to 90 days, up to 150, and beyond
	Width             int
	Top               string // what the upper edge stands for
	Text              string
	Rows              []week
}

// week is one row of the same as a table.
type week struct {
	Name    string
	Clients int
}

func drawHistogram(s Summary) histogram {
	most := 0
	for _, n := range s.Weeks {
		most = max(most, n)
	}
	out := histogram{Width: Weeks, Top: counted(most, "client", "clients")}
	out.Text = fmt.Sprintf("Of %s %s did not call for 90 days and %s for 150. An activation ends 180 days after the last renewal.",
		counted(s.Known, "client", "clients"), number(s.Silent90), number(s.Silent150))
	var bars [3]strings.Builder
	for i, n := range s.Weeks {
		name := fmt.Sprintf("%d to %d days", 7*i, 7*i+6)
		if i == len(s.Weeks)-1 {
			name = fmt.Sprintf("%d days and more", 7*i)
		}
		out.Rows = append(out.Rows, week{name, n})
		if n <= 0 || i >= Weeks {
			continue
		}
		part := 0
		if 7*i >= 147 {
			part = 2
		} else if 7*i >= 84 {
			part = 1
		}
		height := max(1.2, 38*float64(n)/float64(most)) // one client among ten thousand is still to be seen
		fmt.Fprintf(&bars[part], "M%.2f 40V%.2fh.7V40z", float64(i)+.15, 40-height)
	}
	out.Calm, out.Late, out.Dying = bars[0].String(), bars[1].String(), bars[2].String()
	return out
}
