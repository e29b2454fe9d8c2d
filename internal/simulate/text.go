package simulate

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// Thousands is n as people read it.
func Thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// percent is a share as people read it. It is 0 and 100 only if nothing was rounded away.
func percent(share float64) string {
	switch text := fmt.Sprintf("%.2f %%", 100*share); {
	case share > 0 && text == "0.00 %":
		return "<0.01 %"
	case share < 1 && text == "100.00 %":
		return ">99.99 %"
	default:
		return text
	}
}

func part(n, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// Style is how plots look.
type Style struct {
	Width int  // of the plots, in columns
	ASCII bool // nothing else is to be had
}

// bars are from nothing to full.
func (s Style) bars() []rune {
	if s.ASCII {
		return []rune(" ..::||##")
	}
	return []rune(" ▁▂▃▄▅▆▇█")
}

// WriteText writes r for people: figures, a table of hosts, and plots.
func (r Result) WriteText(out io.Writer, style Style) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.Scenario)
	fmt.Fprintf(&b, "activated   %s of the time since they were installed, %s at the end; %s never\n",
		percent(r.Share), percent(r.ShareLast), Thousands(uint64(r.Never)))
	if r.Activated == 0 {
		fmt.Fprintf(&b, "first time  never: hosts activate from %d clients on, or %d servers, each for itself\n",
			kmsresponder.ClientThreshold, kmsresponder.ServerThreshold)
	} else {
		fmt.Fprintf(&b, "first time  half at once or within %s, 99 in 100 within %s, the last of those within %s\n",
			r.Median.Duration(), r.P99.Duration(), r.Longest.Duration())
	}
	fmt.Fprintf(&b, "attempts    %s: %s activated, %s found a host that counts too few, %s found none\n",
		Thousands(r.Attempts), Thousands(r.Activated), Thousands(r.TooFew), Thousands(r.Failed))
	fmt.Fprintf(&b, "calls       %s, of which %s got no answer (%s); %s waited for, in all\n",
		Thousands(r.Calls), Thousands(r.CallsLost), percent(part(r.CallsLost, r.Calls)), r.Waited.Duration())
	if n := r.Responder; n != nil {
		fmt.Fprintf(&b, "responder   %s calls, %s answered; %s times a host was given up for another, %s times no host was left\n",
			Thousands(n.Calls), Thousands(n.Answered), Thousands(n.Failovers), Thousands(n.Failed+n.NoHost))
	}
	fmt.Fprintf(&b, "health      %s changes seen\n\n", Thousands(uint64(r.Changes)))
	r.writeHosts(&b)
	b.WriteByte('\n')
	r.plotShare(&b, style)
	b.WriteByte('\n')
	r.plotLoad(&b, style)
	_, err := io.WriteString(out, b.String())
	return err
}

func (r Result) writeHosts(b *strings.Builder) {
	var all uint64
	for _, h := range r.Hosts {
		all += h.Calls
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "HOST\tCALLS\tSHARE\tCOPIES\tLOST\tBUSIEST HOUR\tCOUNT\tOUT OF ORDER\t")
	for _, h := range r.Hosts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t\n", h.Name, Thousands(h.Calls), percent(part(h.Calls, all)), Thousands(h.Copies),
			Thousands(h.Lost), Thousands(h.Peak), h.Count, h.Bad.Duration())
	}
	t.Flush()
}

// WriteTable writes a row for each result, for people who compare.
func WriteTable(out io.Writer, all []Result) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "WAY\tCLIENTS\tHOSTS\tACTIVATED\tAT THE END\tNEVER\t99 IN 100 WITHIN\tTOO FEW\tFAILED\tCALLS LOST\tBUSIEST HOST\t")
	for _, r := range all {
		within := "-"
		if r.Activated > 0 {
			within = r.P99.Duration().String()
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
			r.Scenario.Way, Thousands(uint64(r.Scenario.Clients)), r.Scenario.Hosts,
			percent(r.Share), percent(r.ShareLast), Thousands(uint64(r.Never)), within, Thousands(r.TooFew), Thousands(r.Failed),
			percent(part(r.CallsLost, r.Calls)), percent(r.busiest()))
	}
	return t.Flush()
}

// busiest is the share of all calls that the host had that had most.
func (r Result) busiest() float64 {
	var all, most uint64
	for _, h := range r.Hosts {
		all += h.Calls
		most = max(most, h.Calls)
	}
	return part(most, all)
}

// plotShare plots the share of clients activated, over time.
func (r Result) plotShare(b *strings.Builder, style Style) {
	const height = 8
	columns := r.columns(style.Width, func(s Sample) float64 { return s.Share() })
	fmt.Fprintf(b, "clients activated, of those installed\n")
	for row := height - 1; row >= 0; row-- {
		label := ""
		switch row {
		case height - 1:
			label = "100 %"
		case 0:
			label = "0 %"
		}
		fmt.Fprintf(b, "%7s |", label)
		for _, c := range columns {
			b.WriteRune(style.bars()[min(max(int(math.Round(c*height*8))-8*row, 0), 8)])
		}
		b.WriteByte('\n')
	}
	r.axis(b, len(columns))
}

// plotLoad plots the calls that each host answered, over time, all to one scale.
func (r Result) plotLoad(b *strings.Builder, style Style) {
	var rows [][]float64
	most := 0.0
	for i := range r.Hosts {
		row := r.columns(style.Width, func(s Sample) float64 { return float64(s.Calls[i]) })
		for _, c := range row {
			most = max(most, c)
		}
		rows = append(rows, row)
	}
	days := float64(r.Scenario.Days) / samples
	fmt.Fprintf(b, "calls answered by each host; a full bar is %s a day\n", Thousands(uint64(most/days)))
	for i, row := range rows {
		fmt.Fprintf(b, "%7s |", r.Hosts[i].Name)
		for _, c := range row {
			bar := 0
			if c > 0 {
				bar = max(int(math.Round(c/most*8)), 1)
			}
			b.WriteRune(style.bars()[bar])
		}
		b.WriteByte('\n')
	}
	if len(rows) > 0 {
		r.axis(b, len(rows[0]))
	}
}

// axis is the days below a plot.
func (r Result) axis(b *strings.Builder, width int) {
	last := fmt.Sprintf("day %d", r.Scenario.Days)
	fmt.Fprintf(b, "%7s +%s\n%9s%-*s%s\n", "", strings.Repeat("-", width), "", max(width-len(last), 0), "0", last)
}

// columns is the mean of the samples in each of at most width columns.
func (r Result) columns(width int, of func(Sample) float64) []float64 {
	n := min(max(width, 1), len(r.Samples))
	all := make([]float64, n)
	for i := range all {
		from, to := i*len(r.Samples)/n, (i+1)*len(r.Samples)/n
		for _, s := range r.Samples[from:to] {
			all[i] += of(s) / float64(to-from)
		}
	}
	return all
}
