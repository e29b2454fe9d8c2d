package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

const manText = `Writes a man page for each command, and one that lists them, from the texts that help shows. For
who builds packages.

Exit status: 0, or 3 if they could not be written.

Example:
  coredns kms man -dir debian/man`

// manCommand is "kms man".
func manCommand(c clock) *cli.Command {
	return &cli.Command{
		Name:        "man",
		Usage:       "write man pages",
		UsageText:   "coredns kms man -dir DIR [-date DATE]",
		Description: manText,
		Hidden:      true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dir", TakesFile: true, Usage: "`DIR` to write them to"},
			&cli.StringFlag{Name: "date", Usage: "`DATE` in the pages, as in 2026-03-01 (today)"},
		},
		Action: does(func(_ context.Context, cmd *cli.Command) (exitStatus, error) {
			date := c.now().In(c.zone)
			if s := cmd.String("date"); s != "" {
				var err error
				if date, err = time.Parse(time.DateOnly, s); err != nil {
					return statusUnknown, misuse("-date %q: a date, as in 2026-03-01", s)
				}
			}
			if cmd.Args().Present() || cmd.String("dir") == "" {
				return statusUnknown, misuse("-dir is missing, as in coredns kms man -dir DIR")
			}
			for _, page := range append(cmd.Root().VisibleCommands(), cmd.Root()) {
				name := pageName(page)
				text := manPage(page, date.Format(time.DateOnly))
				if err := os.WriteFile(filepath.Join(cmd.String("dir"), name+".1"), []byte(text), 0o644); err != nil {
					return statusUnknown, err
				}
				fmt.Fprintln(cmd.Writer, name+".1")
			}
			return statusOK, nil
		}),
	}
}

// pageName is what the man page of cmd is called.
func pageName(cmd *cli.Command) string {
	if cmd == cmd.Root() {
		return "coredns-kms"
	}
	return "coredns-kms-" + cmd.Name
}

// manPage is the man page of cmd, or of all commands if it is the root.
func manPage(cmd *cli.Command, date string) string {
	root := cmd == cmd.Root()
	about := cmd.Usage
	if root {
		about = "commands of the kms plugin of CoreDNS"
	}
	p := &page{}
	p.line(`.TH %s 1 "%s" "coredns-kms" "User Commands"`, strings.ToUpper(pageName(cmd)), date)
	p.line(".SH NAME")
	p.line(`%s \-`, roff(pageName(cmd)))
	p.fill(about)
	p.line(".SH SYNOPSIS")
	for i, usage := range strings.Split(cmd.UsageText, "\n") {
		if i > 0 {
			p.line(".br")
		}
		start := called
		if !root {
			start += " " + cmd.Name
		}
		p.line(`\fB%s\fR%s`, roff(start), roff(strings.TrimPrefix(usage, start)))
	}
	p.line(".SH DESCRIPTION")
	if root {
		p.commands(cmd)
		return p.String()
	}
	paragraphs := strings.Split(cmd.Description, "\n\n")
	p.paragraphs(paragraphs, "")
	p.flags(cmd)
	p.paragraphs(paragraphs, "EXIT STATUS")
	p.paragraphs(paragraphs, "EXAMPLES")
	p.line(".SH SEE ALSO")
	p.line(`.BR coredns\-kms (1),`)
	p.line(`.BR coredns\-kms (7)`)
	return p.String()
}

// page is a man page that is being written.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// fill writes text that the reader's terminal breaks into lines, in lines that mandoc does not find too long.
func (p *page) fill(text string) {
	for _, l := range wrap(strings.ReplaceAll(roff(text), "\n", " "), 78) {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			l = `\&` + l
		}
		p.line("%s", l)
	}
}

// commands lists the commands of root.
func (p *page) commands(root *cli.Command) {
	program, _, _ := strings.Cut(called, " ")
	p.fill("The program \"" + program + "\" is CoreDNS with the kms plugin, and has these commands for those who look after KMS hosts:")
	var also []string
	for _, c := range root.VisibleCommands() {
		p.line(".TP")
		p.line(`\fB%s %s\fR`, roff(called), roff(c.Name))
		p.fill(c.Usage)
		also = append(also, fmt.Sprintf(".BR %s (1)", roff(pageName(c))))
	}
	p.line(".SH SEE ALSO")
	p.line("%s", strings.Join(append(also, `.BR coredns\-kms (7)`), ",\n"))
}

// paragraphs writes those of a description that belong into the named section, or into none of their own. What is indented
// stays as it is.
func (p *page) paragraphs(all []string, section string) {
	n := 0
	for _, text := range all {
		of := ""
		switch {
		case strings.HasPrefix(text, "Exit status"):
			of = "EXIT STATUS"
			text = withoutHeading(text, "Exit status")
		case strings.HasPrefix(text, "Example"):
			of = "EXAMPLES"
			_, text, _ = strings.Cut(text, "\n")
		}
		if of != section {
			continue
		}
		if n++; n > 1 {
			p.line(".PP")
		} else if section != "" {
			p.line(".SH %s", section)
		}
		inside := false // of what is indented
		for line := range strings.SplitSeq(text, "\n") {
			if indented := strings.HasPrefix(line, "  "); indented != inside {
				p.line("%s", map[bool]string{true: ".RS 2\n.nf", false: ".fi\n.RE"}[indented])
				inside = indented
			}
			if inside {
				p.line("%s", roff(strings.TrimPrefix(line, "  ")))
			} else {
				p.fill(line)
			}
		}
		if inside {
			p.line(".fi\n.RE")
		}
	}
}

// withoutHeading is a paragraph without what the heading of its section says already: "Heading:" alone on its first line, or
// "Heading, as somebody has it:".
func withoutHeading(text, heading string) string {
	first, rest, _ := strings.Cut(text, "\n")
	if first = strings.TrimLeft(strings.TrimPrefix(first, heading), ":, "); first == "" {
		return rest
	}
	return strings.TrimSpace(strings.ToUpper(first[:1]) + first[1:] + "\n" + rest)
}

// flags writes the flags of cmd.
func (p *page) flags(cmd *cli.Command) {
	p.line(".SH OPTIONS")
	p.line("Flags may stand anywhere among the arguments, and have one dash or two.")
	for _, f := range describeFlags(cmd) {
		p.line(".TP")
		var names []string
		for _, n := range f.names {
			names = append(names, `\fB\-`+roff(n)+`\fR`)
		}
		synopsis := strings.Join(names, ", ")
		if f.takes != "" {
			synopsis += ` \fI` + roff(f.takes) + `\fR`
		}
		p.line("%s", synopsis)
		p.fill(f.text)
	}
}

// roff is a line of text as a man page has it.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
