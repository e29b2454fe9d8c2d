package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/status"
)

// view draws a report, as large as there is room.
type view struct {
	width, height int // in columns and lines; 0 is no bound
	colour, ascii bool
	zone          *time.Location
	footer        string // "" if there is none
	trouble       string // what is wrong with what is shown: that it is old
}

func (v view) paper() paper { return paper{v.width, v.colour, v.ascii} }

// section is some rows of a view under a heading.
type section struct {
	rows  []row
	least int // rows to leave if there is little room; 0 is that it may go
	rank  int // who gives way first: the highest
}

// draw returns the lines of r. If there is a height they are at most so many.
func (v view) draw(r status.Report) []string {
	sections := []section{v.head(r), v.findings(r), v.zones(r), v.hosts(r), v.clients(r), v.events(r)}
	sections = slices.DeleteFunc(sections, func(s section) bool { return len(s.rows) == 0 })
	bottom := 0
	if v.footer != "" {
		bottom = 1
	}
	if v.height > 0 {
		sections = v.fit(sections, v.height-bottom)
	}
	var lines []string
	for i, s := range sections {
		if i > 0 && (v.height == 0 || v.height >= tall) {
			lines = append(lines, "")
		}
		for _, r := range s.rows {
			lines = append(lines, v.paper().line(r))
		}
	}
	if v.height > 0 {
		lines = lines[:min(len(lines), max(v.height-bottom, 0))]
	}
	if v.footer != "" {
		if v.height > 0 {
			lines = append(lines, make([]string, max(v.height-bottom-len(lines), 0))...)
		}
		lines = append(lines, v.paper().line(row{{faint, v.footer}}))
	}
	return lines
}

// From tall lines on there is room for blank ones, and below low for nothing that nobody has to know.
const (
	tall = 30
	low  = 20
)

// fit takes rows away from sections until they have height lines.
func (v view) fit(sections []section, height int) []section {
	over := -height
	for _, s := range sections {
		over += len(s.rows)
	}
	if v.height >= tall {
		over += len(sections) - 1
	}
	order := make([]int, len(sections))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return sections[b].rank - sections[a].rank })
	for _, i := range order {
		s := &sections[i]
		gone := min(over, len(s.rows)-s.least)
		if gone <= 0 {
			continue
		}
		if left := len(s.rows) - gone; left < 2 {
			s.rows = s.rows[:left]
		} else { // one more, for the row that says so
			more := fmt.Sprintf("  %s %d more lines", v.paper().glyph("…", "..."), gone+1)
			s.rows = append(s.rows[:left-1:left-1], row{{faint, more}})
		}
		over -= gone
	}
	return slices.DeleteFunc(sections, func(s section) bool { return len(s.rows) == 0 })
}

// head is the one line that somebody wants who has no time, and whose it is.
func (v view) head(r status.Report) section {
	s := reported(r)
	first := row{{severity(r.Status) + ";1", fmt.Sprintf("KMS %s", s)}, {plain, " - "}}
	if severity(r.Status) == plain {
		first[0].style = bold
	}
	rows := v.paper().wrapped(first, r.Summary, 4)
	if v.trouble != "" {
		rows = append(v.paper().wrapped(row{{red, "! "}}, v.trouble, 2), rows...)
	}
	least := len(rows)
	if v.height > 0 && v.height < low {
		return section{rows, least, 0}
	}
	rows = append(rows, row{{faint, fmt.Sprintf("%s, %s, up %s, at %s", r.Server.Name, r.Server.Program,
		ago(r.At.Sub(r.Server.Started)), r.At.In(v.zone).Format("2006-01-02 15:04:05 MST"))}})
	return section{rows, least, 0}
}

// severity is the colour of ok, warning or critical.
func severity(word string) style {
	switch word {
	case "ok":
		return green
	case "warning":
		return yellow
	case "critical":
		return red
	}
	return plain
}

// findings is what needs somebody.
func (v view) findings(r status.Report) section {
	var rows []row
	for _, f := range r.Findings {
		about := row{{severity(f.Severity), strings.ToUpper(f.Severity)}, {plain, " " + f.About + ": "}}
		rows = append(rows, v.paper().wrapped(about, f.What, 4)...)
		rows = append(rows, v.paper().wrapped(row{{plain, "  "}, {bold, v.paper().glyph("→ ", "-> ")}}, f.Next, 4)...)
	}
	return section{rows, min(len(rows), max(2, v.height/4)), 1}
}

// zones is what clients are answered.
func (v view) zones(r status.Report) section {
	var rows []row
	for _, z := range r.Zones {
		style := green
		if z.Result != "normal" {
			style = red
		}
		why := fmt.Sprintf(", TTL %d; %s", z.TTL, z.Why)
		rows = append(rows, row{{bold, z.Name}, {plain, ": "}, {style, z.Result}, {plain, why}})
		var cells [][]span
		for _, a := range z.Answer {
			cells = append(cells, []span{{plain, "  " + fmt.Sprint(a.Priority)}, {plain, fmt.Sprint(a.Weight)},
				{plain, v.name(fmt.Sprintf("%s:%d", strings.TrimSuffix(a.Target, "."), a.Port))}, {stateStyle(a.State), a.State},
				{plain, percent(a.Chance)}, {faint, a.Why}})
		}
		rows = append(rows, v.paper().table(cells, 0, 1, 4)...)
		for _, a := range z.Absent {
			why := ": " + strings.TrimPrefix(a.Why, a.State+": ")
			rows = append(rows, row{{plain, "  not " + v.name(a.Endpoint) + ", "}, {stateStyle(a.State), a.State}, {plain, why}})
		}
	}
	return section{rows, min(len(rows), len(r.Zones)+1), 3}
}

// percent is a chance. What is not nothing does not look like nothing, nor what is not certain like certain.
func percent(chance float64) string {
	n := int(chance*100 + 0.5)
	switch {
	case chance > 0 && n == 0:
		return "<1 %"
	case chance < 1 && n == 100:
		return ">99 %"
	}
	return fmt.Sprintf("%d %%", n)
}

func stateStyle(state string) style {
	switch state {
	case "up", "responder":
		return green
	case "suspect":
		return yellow
	case "down":
		return red
	}
	return blue
}

// From these widths on a host's row has its latency, its clients, and why it is in its state.
const (
	widthLatency = 64
	widthClients = 78
	widthWhy     = 110
)

// wide says whether there is room for what takes width columns.
func (v view) wide(width int) bool { return v.width == 0 || v.width >= width }

// hosts is what is known of each host. Where there is no room for why it is in its state, that is a row below it, for those
// that are not up.
func (v view) hosts(r status.Report) section {
	cells := [][]span{{{bold, "HOST"}, {bold, "STATE"}, {bold, "FOR"}}}
	if v.wide(widthLatency) {
		cells[0] = append(cells[0], span{bold, "LATENCY"}, span{bold, ""})
	}
	if v.wide(widthClients) {
		cells[0] = append(cells[0], span{bold, "CLIENTS"})
	}
	if v.wide(widthWhy) {
		cells[0] = append(cells[0], span{bold, "WHY"})
	}
	below := make(map[int]row)
	for _, p := range r.Pools {
		for _, h := range p.Hosts {
			line := []span{{plain, v.name(h.Endpoint)}, {stateStyle(h.State), h.State}, {plain, ago(r.At.Sub(h.Since))}}
			if v.wide(widthLatency) {
				line = append(line, span{plain, latency(h)}, span{plain, v.sparkline(h.Latency)})
			}
			if v.wide(widthClients) {
				line = append(line, span{plain, towards(h.Clients, p.Responder != nil)})
			}
			why := h.Why
			if h.Error != "" && !strings.Contains(why, h.Error) {
				why += ": " + h.Error
			}
			if h.Announced {
				why = "announced itself; " + why
			}
			if v.wide(widthWhy) {
				line = append(line, span{faint, why})
			} else if h.State != "up" {
				below[len(cells)] = row{{faint, "  " + why}}
			}
			cells = append(cells, line)
		}
	}
	if len(cells) == 1 {
		return section{}
	}
	var rows []row
	for i, r := range v.paper().table(cells, 3, 5) {
		rows = append(rows, r)
		if b, ok := below[i]; ok {
			rows = append(rows, b)
		}
	}
	return section{rows, min(len(rows), max(3, v.height/4)), 2}
}

// name is the endpoint of a host as it fits beside what is said of it, without the port if it is the usual one.
func (v view) name(endpoint string) string {
	endpoint = v.paper().harmless(strings.TrimSuffix(endpoint, ":1688"))
	if most := max(v.width*3/10, 16); v.width > 0 && columns(endpoint) > most {
		return clip(endpoint, most-1) + v.paper().glyph("…", "~")
	}
	return endpoint
}

// latency is how long the last probe of h took.
func latency(h status.Host) string {
	if h.Probed.IsZero() {
		return "-"
	}
	return milliseconds(h.RTT)
}

// milliseconds is how long something took, in as many digits as say something.
func milliseconds(seconds float64) string {
	switch ms := seconds * 1000; {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 10_000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", seconds)
}

// towards is how many clients a host has, of those that it needs before it activates anybody: 5 for servers, 25 for clients.
// Without a responder nothing is counted.
func towards(clients int, counted bool) string {
	switch {
	case clients == 0 && !counted:
		return "-"
	case clients < 5:
		return fmt.Sprintf("%d of 5", clients)
	case clients < 25:
		return fmt.Sprintf("%d of 25", clients)
	}
	return fmt.Sprint(clients)
}

// sparkPoints is how many minutes a sparkline shows.
const sparkPoints = 15

// sparkline is the mean latency of the last minutes as a row of bars, of which the tallest is the slowest. A minute in which
// every probe failed is a cross, one without probes a blank.
func (v view) sparkline(points []status.Point) string {
	bars := []rune(v.paper().glyph("▁▂▃▄▅▆▇█", "_.-~=+*#"))
	points = points[max(len(points)-sparkPoints, 0):]
	slowest := 0.0
	for _, p := range points {
		slowest = max(slowest, p.Mean)
	}
	line := make([]rune, 0, sparkPoints)
	for _, p := range points {
		switch {
		case p.Passed > 0 && slowest > 0:
			line = append(line, bars[min(int(p.Mean/slowest*float64(len(bars))), len(bars)-1)])
		case p.Passed > 0:
			line = append(line, bars[0])
		case p.Failed > 0:
			line = append(line, []rune(v.paper().glyph("×", "x"))...)
		default:
			line = append(line, ' ')
		}
	}
	return strings.Repeat(" ", sparkPoints-len(line)) + string(line)
}

// clients is the ledger in a few numbers.
func (v view) clients(r status.Report) section {
	c := r.Clients
	text := fmt.Sprintf("%d known, %d never served, %d silent for 90 days, of them %d for 150",
		c.Known, c.Unserved, c.Silent90, c.Silent150)
	calls := slices.ContainsFunc(r.Pools, func(p status.Pool) bool { return p.Responder != nil })
	switch {
	case !calls && c.Known == 0:
		text = "not counted: no kms block has a responder"
	case calls && !c.Kept:
		text += "; not kept: there is no store"
	}
	rows := v.paper().wrapped(row{{bold, "Clients: "}}, text, 4)
	if u := r.Updates; u.Enabled {
		text := fmt.Sprintf("%d accepted, %d refused", u.Accepted, u.Refused)
		rows = append(rows, v.paper().wrapped(row{{bold, "Announcements: "}}, text, 4)...)
	}
	return section{rows, 1, 4}
}

// maxEvents bounds the changes that are shown.
const maxEvents = 10

// events is what changed lately.
func (v view) events(r status.Report) section {
	if len(r.Events) == 0 {
		return section{}
	}
	rows := []row{{{bold, "Last changes"}}}
	for _, e := range r.Events[:min(len(r.Events), maxEvents)] {
		at := e.At.In(v.zone).Format("15:04:05")
		if r.At.Sub(e.At) > 12*time.Hour {
			at = e.At.In(v.zone).Format("Jan 02 15:04")
		}
		after := ago(time.Duration(e.After * float64(time.Second)))
		text := row{{faint, "  " + at + " "}, {plain, v.name(e.Endpoint) + " "},
			{stateStyle(e.From), e.From}, {plain, v.paper().glyph(" → ", " -> ")}, {stateStyle(e.To), e.To}, {faint, " after " + after}}
		if e.Reason != "" {
			text = append(text, span{plain, ": " + e.Reason})
		}
		rows = append(rows, text)
	}
	return section{rows, 0, 5}
}
