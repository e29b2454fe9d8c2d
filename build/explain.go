package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/coredns-kms/coredns-kms/internal/explain"

	"github.com/urfave/cli/v3"
)

// maxExplained bounds the codes of one call.
const maxExplained = 64

const explainText = `Explains what Windows, DNS and RPC show when an activation fails: HRESULTs, the numbers and flags
of events, outcomes of DNS questions and statuses of RPC faults. For each, what it says about KMS,
what is behind it, most frequent first, and what to type next. Without a code it lists all it knows.

A code may be written in any way: 0xC004F074, c004f074, -1073418124, 3221549172, "event 12288",
NXDOMAIN, 1722. Of one that is not known its parts are told. Flags stand before a negative number.

With -event the fields of an event 12288, 12289, 12290, 12293 or 12294 are read, as the event viewer
shows them after "Info:", and what stands out in them is said. In front may stand the event's
number, as in "12288: 0xC004F06C, ..."; without it their count tells which event it is.

Exit status:
  0  all are known
  1  some are not: they are taken apart
  3  no code, or a wrong call

Examples:
  coredns kms explain 0xC004F074
  coredns kms explain 12293 REFUSED
  coredns kms explain -event "0x00000000, 0x04000008, 0, 0, 4, 120, 10080, 2026/11/25 08:00"`

// explainCommand is "kms explain".
func explainCommand() *cli.Command {
	return &cli.Command{
		Name:        "explain",
		Usage:       "say what an error code, an event or a DNS outcome means, and what to do",
		UsageText:   "coredns kms explain [-json] [CODE...]\ncoredns kms explain [-json] -event LINE",
		Description: explainText,
		Flags:       []cli.Flag{jsonFlag(), &cli.StringFlag{Name: "event", Usage: "read the fields of an event from `LINE`"}},
		Action:      does(explainCodes),
		ShellComplete: func(_ context.Context, cmd *cli.Command) {
			for _, e := range explain.Entries() {
				fmt.Fprintf(cmd.Writer, "%s\t%s\n", e.Code, e.Title)
				if e.Kind == explain.KindDNS { // people know the rcode
					fmt.Fprintf(cmd.Writer, "%s\t%s\n", e.Names[0], e.Title)
				}
			}
		},
	}
}

func explainCodes(_ context.Context, cmd *cli.Command) (exitStatus, error) {
	switch {
	case cmd.IsSet("event") && cmd.Args().Present():
		return statusUnknown, misuse("-event and %q: a line of an event or codes, not both in one call", cmd.Args().First())
	case cmd.IsSet("event"):
		return explainEvent(cmd.Writer, cmd.String("event"), cmd.Bool("json"))
	case cmd.NArg() > maxExplained:
		return statusUnknown, misuse("%d words: at most %d in one call", cmd.NArg(), maxExplained)
	case !cmd.Args().Present() && cmd.Bool("json"):
		return statusOK, writeEntriesJSON(cmd.Writer, hinted(explain.Entries()))
	case !cmd.Args().Present():
		return statusOK, listEntries(cmd.Writer, explain.Entries())
	}
	found, unexplained := findCodes(cmd.Args().Slice())
	s := statusOK
	for _, e := range found {
		if e.Kind == explain.KindUnknown {
			s = statusWarning
		}
	}
	write := writeEntries
	if cmd.Bool("json") {
		write = writeEntriesJSON
	}
	if len(found) > 0 {
		if err := write(cmd.Writer, hinted(found)); err != nil {
			return statusUnknown, err
		}
	}
	if unexplained != nil {
		return statusUnknown, wrongCall{unexplained}
	}
	return s, nil
}

// hinted is entries with the program's name in what to type next.
func hinted(entries []explain.Entry) []explain.Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		causes := slices.Clone(entries[i].Causes)
		for j := range causes {
			causes[j].Next = hints(causes[j].Next)
		}
		entries[i].Causes = causes
	}
	return entries
}

// findCodes finds the codes in words, of which one may take several: event 12288.
func findCodes(words []string) (found []explain.Entry, err error) {
	text := ""
	for _, w := range words {
		text = strings.TrimPrefix(text+" "+w, " ")
		var e explain.Entry
		if e, err = explain.Lookup(text); err == nil {
			found, text = append(found, e), ""
		}
	}
	return found, err
}

// listEntries prints one line for each entry, by kind.
func listEntries(w io.Writer, entries []explain.Entry) error {
	titles := map[explain.Kind]string{
		explain.KindHRESULT: "HRESULTs", explain.KindDNS: "DNS outcomes, as HRESULTs", explain.KindFault: "Statuses of RPC faults",
		explain.KindEvent: "Events", explain.KindFlag: "Flags of events 12288 and 12289", explain.KindPort: "Ports",
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var last explain.Kind
	for _, e := range entries {
		if e.Kind != last {
			t.Flush() // each kind has columns of its own
			if last != "" {
				fmt.Fprintln(w)
			}
			fmt.Fprintln(w, titles[e.Kind])
			last = e.Kind
		}
		name := "" // those of HRESULTs are long and say nothing that the title does not
		if e.Kind != explain.KindHRESULT && len(e.Names) > 0 {
			name = e.Names[0]
		}
		if e.Kind == explain.KindDNS || e.Kind == explain.KindFault || e.Kind == explain.KindFlag {
			name += "\t"
		}
		fmt.Fprintf(t, "  %s\t%s%s\n", e.Code, name, e.Title)
	}
	return t.Flush()
}

// writeEntries prints all that is known of each entry.
func writeEntries(w io.Writer, entries []explain.Entry) error {
	var b strings.Builder
	for i, e := range entries {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s  %s\n", e.Code, e.Title)
		if len(e.Names) > 0 {
			fmt.Fprintf(&b, "  %s\n", strings.Join(e.Names, ", "))
		}
		b.WriteByte('\n')
		for _, l := range wrap(e.Meaning, helpWidth-2) {
			fmt.Fprintf(&b, "  %s\n", l)
		}
		b.WriteByte('\n')
		for n, c := range e.Causes {
			bullet := "-"
			if len(e.Causes) > 1 {
				bullet = fmt.Sprintf("%d.", n+1)
			}
			for j, l := range wrap(c.Text, helpWidth-5) {
				if j > 0 {
					bullet = ""
				}
				fmt.Fprintf(&b, "  %-2s %s\n", bullet, l)
			}
			for _, next := range c.Next {
				fmt.Fprintf(&b, "         %s\n", next)
			}
		}
		for j, s := range e.See {
			label := "see"
			if j > 0 {
				label = ""
			} else {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "  %-3s  %s\n", label, s)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeEntriesJSON(w io.Writer, entries []explain.Entry) error {
	return printJSON(w, struct {
		Version int             `json:"version"`
		Entries []explain.Entry `json:"entries"`
	}{1, entries})
}

// explainEvent reads the fields of an event. They came from clients: nothing of them reaches a terminal as it is.
func explainEvent(w io.Writer, text string, asJSON bool) (exitStatus, error) {
	line, err := explain.ParseLine(text)
	if err != nil {
		return statusUnknown, wrongCall{err}
	}
	line.Next = hints(line.Next)
	for i := range line.Fields {
		line.Fields[i].Value = printable(line.Fields[i].Value)
	}
	if asJSON {
		return statusOK, printJSON(w, struct {
			Version int `json:"version"`
			explain.Line
		}{1, line})
	}
	about, err := explain.Lookup(fmt.Sprintf("event %d", line.Event))
	if err != nil {
		return statusUnknown, err
	}
	fmt.Fprintf(w, "%s  %s\n\n", about.Code, about.Title)
	var cells [][]span
	for _, f := range line.Fields {
		name := span{plain, "  " + f.Name}
		if f.Notable {
			name = span{yellow, "! " + f.Name}
		}
		cells = append(cells, []span{name, {plain, cmp.Or(f.Value, "-")}, {plain, f.Meaning}})
	}
	p := paper{colour: inColour(w)}
	for _, r := range p.table(cells) {
		fmt.Fprintln(w, p.line(r))
	}
	var b strings.Builder
	if len(line.Stands) > 0 {
		b.WriteString("\nWhat stands out:\n")
	}
	for _, s := range line.Stands {
		for j, l := range wrap(s, helpWidth-4) {
			fmt.Fprintf(&b, "  %s %s\n", [...]string{"-", " "}[min(j, 1)], l)
		}
	}
	if len(line.Next) > 0 {
		b.WriteString("\nNext:\n")
	}
	for _, n := range line.Next {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	_, err = io.WriteString(w, b.String())
	return statusOK, err
}
