package simulate

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// line is one line of a chart. Points are in order of x.
type line struct {
	name   string
	points [][2]float64
}

// chart is lines in one frame.
type chart struct {
	title, x, y string
	top         float64 // the highest y; 0 for whatever the lines need
	lines       []line
}

// Colours that can be told apart with any eyes (Okabe and Ito), and dashes for those who print in grey.
var (
	colours = [...]string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}
	dashes  = [...]string{"none", "7 3", "2 2", "9 3 2 3"}
)

// The parts of a chart, in its units.
const (
	chartWidth, chartHeight              = 420, 280
	marginLeft, marginTop                = 56, 34
	marginRight, marginBottom, legendRow = 12, 40, 14
)

// writeSVG writes charts side by side, in rows.
func writeSVG(out io.Writer, charts []chart, columns int) error {
	rows := (len(charts) + columns - 1) / columns
	legend := 0
	for _, c := range charts {
		legend = max(legend, (len(c.lines)+2)/3*legendRow)
	}
	each := chartHeight + legend
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n",
		min(columns, len(charts))*chartWidth, rows*each)
	b.WriteString(`<rect width="100%" height="100%" fill="#ffffff"/>` + "\n")
	for i, c := range charts {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%columns*chartWidth, i/columns*each)
		c.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(out, b.String())
	return err
}

func (c chart) draw(b *strings.Builder) {
	const width, height = chartWidth - marginLeft - marginRight, chartHeight - marginTop - marginBottom
	left, right, top := c.frame()
	x := func(v float64) float64 { return marginLeft + float64((v-left)/(right-left)*width) }
	y := func(v float64) float64 { return marginTop + height - float64(v/top*height) }
	fmt.Fprintf(b, `<text x="%d" y="18" font-size="13" font-weight="bold">%s</text>`+"\n", marginLeft, html.EscapeString(c.title))
	for i := range 5 {
		v := top * float64(i) / 4
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			marginLeft, y(v), marginLeft+width, marginLeft-4, y(v)+4, figure(v))
	}
	for _, v := range ticks(left, right) {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(v), marginTop+height+14, figure(v))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n",
		marginLeft+width/2, marginTop+height+28, html.EscapeString(c.x))
	fmt.Fprintf(b, `<text x="12" y="%d" text-anchor="middle" transform="rotate(-90 12 %d)">%s</text>`+"\n",
		marginTop+height/2, marginTop+height/2, html.EscapeString(c.y))
	for i, l := range c.lines {
		style := fmt.Sprintf(`stroke="%s" stroke-width="1.5" stroke-dasharray="%s"`, colours[i%len(colours)], dashes[i%len(dashes)])
		var path []string
		for _, p := range l.points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x(p[0]), y(min(p[1], top))))
		}
		fmt.Fprintf(b, `<polyline fill="none" %s points="%s"/>`+"\n", style, strings.Join(path, " "))
		lx, ly := marginLeft+i%3*122, chartHeight+i/3*legendRow
		fmt.Fprintf(b, `<path d="M%d %dh18" %s/><text x="%d" y="%d">%s</text>`+"\n",
			lx, ly, style, lx+22, ly+4, html.EscapeString(l.name))
	}
}

// frame is what c shows, in the units of its lines.
func (c chart) frame() (left, right, top float64) {
	left, right, top = math.Inf(1), math.Inf(-1), c.top
	for _, l := range c.lines {
		for _, p := range l.points {
			left, right = min(left, p[0]), max(right, p[0])
			if c.top == 0 {
				top = max(top, p[1])
			}
		}
	}
	if !(left < right) {
		left, right = 0, 1
	}
	return left, right, roundUp(top)
}

// ticks is where the axis between left and right has figures: everywhere, if that is a few whole numbers.
func ticks(left, right float64) []float64 {
	if right-left > 8 {
		return []float64{left, (left + right) / 2, right}
	}
	var all []float64
	for v := math.Ceil(left); v <= right; v++ {
		all = append(all, v)
	}
	return all
}

// roundUp is the next number from v on of which a quarter is short.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8} {
		if n*unit >= v {
			return n * unit
		}
	}
	return 10 * unit
}

// figure is v, short.
func figure(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}

// WriteSVG writes two charts over time for each result: the share of clients activated, and the calls that each host answered.
func WriteSVG(out io.Writer, all []Result) error {
	const day = 24 * 60 * 60
	var charts []chart
	for _, r := range all {
		title := fmt.Sprintf("%s clients, %d hosts, %s", Thousands(uint64(r.Scenario.Clients)), r.Scenario.Hosts, r.Scenario.Way)
		share := chart{title: title, x: "day", y: "% activated", top: 100}
		load := chart{title: title, x: "day", y: "calls answered a day"}
		activated := line{name: "of those installed"}
		for _, s := range r.Samples {
			activated.points = append(activated.points, [2]float64{float64(s.At) / day, 100 * s.Share()})
		}
		share.lines = []line{activated}
		for i, h := range r.Hosts {
			l := line{name: h.Name}
			for _, s := range r.Samples {
				l.points = append(l.points, [2]float64{float64(s.At) / day, float64(s.Calls[i]) * samples / float64(r.Scenario.Days)})
			}
			load.lines = append(load.lines, l)
		}
		charts = append(charts, share, load)
	}
	return writeSVG(out, charts, 2)
}
