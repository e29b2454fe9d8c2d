package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/coredns-kms/coredns-kms/internal/control"
	"github.com/coredns-kms/coredns-kms/internal/status"

	"github.com/urfave/cli/v3"
)

const whyText = `Tells the story of one client: what it asked DNS for and what it was answered, its calls, which
hosts were asked for it and what they said, and to which it would be sent if it called now.

CLIENT is an address, the name of a machine or a CMID, as "kms clients" shows them. What DNS was
asked and how calls went is remembered for a while only; the list of clients for years.

` + socketText + `
Exit status:
  0  something is known of it
  2  nothing is: the server says so
  3  the server could not be asked, or had no time, or a wrong call

Examples:
  coredns kms why 10.1.2.3
  coredns kms why pc042.corp.example.org
  coredns kms why -json 59fa9fb5-6ba0-4e1a-8d2a-2d7d5d7c3a11`

// whyCommand is "kms why".
func whyCommand(c clock) *cli.Command {
	return &cli.Command{
		Name:        "why",
		Usage:       "tell what one client asked, what it was answered, and why",
		UsageText:   "coredns kms why [-socket PATH] [-json] CLIENT",
		Description: whyText,
		Flags:       []cli.Flag{socketFlag(), jsonFlag()},
		Action: does(func(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
			if cmd.NArg() != 1 || cmd.Args().First() == "" {
				return statusUnknown, misuse("%d clients: coredns kms why CLIENT takes one", cmd.NArg())
			}
			w, err := server(cmd).Why(ctx, cmd.Args().First())
			if err != nil {
				refused := new(control.RefusedError)
				if errors.As(err, &refused) && refused.NotFound {
					return statusCritical, err
				}
				return statusUnknown, err
			}
			if cmd.Bool("json") {
				return statusOK, printJSON(cmd.Writer, w)
			}
			return statusOK, writeWhy(cmd.Writer, w, c)
		}),
	}
}

// whyRows bounds each list below a story.
const whyRows = 10

// writeWhy prints the story, and below it what it is made of.
func writeWhy(w io.Writer, why status.Why, c clock) error {
	var rows []row
	say := func(format string, args ...any) { rows = append(rows, row{{plain, fmt.Sprintf(format, args...)}}) }
	part := func(title string, n int) {
		if n > whyRows {
			title += fmt.Sprintf("; %d of %d, and all with -json", whyRows, n)
		}
		if n > 0 {
			rows = append(rows, row{})
			say("%s", title)
		}
	}
	for _, s := range why.Story {
		say("%s", s)
	}
	part("In the list of clients", len(why.Clients))
	if len(why.Clients) > 0 {
		rows = append(rows, clientTable(why.Clients[:min(len(why.Clients), whyRows)], why.At)...)
	}
	const day = "2006-01-02 15:04:05"
	part("Questions to DNS, the last first", len(why.Questions))
	for _, q := range why.Questions[:min(len(why.Questions), whyRows)] {
		say("  %s  %s %s from %s: %s, %s", q.At.In(c.zone).Format(day), q.Name, q.Type, q.From, q.Result,
			or(q.Answer, "without a record"))
	}
	part("Calls, the last first", len(why.Calls))
	for _, l := range why.Calls[:min(len(why.Calls), whyRows)] {
		host := ""
		if l.Host != "" {
			host = " by " + l.Host
		}
		say("  %s  from %s in pool %s: %s%s, %s: %s; in %s", l.At.In(c.zone).Format(day), l.From, l.Pool, l.Result, host, l.HRESULT,
			l.Meaning, milliseconds(l.Took))
		for _, a := range l.Asked {
			text := fmt.Sprintf("%s: %s in %s", a.Host, a.Outcome, milliseconds(a.Took))
			if a.Error != "" {
				text += ": " + a.Error
			}
			say("      %s", text)
		}
	}
	part("If it called now", len(why.Preferences))
	for i, p := range why.Preferences[:min(len(why.Preferences), whyRows)] {
		say("  %d. %s in pool %s: %s", i+1, p.Endpoint, p.Pool, p.Why)
	}
	return writeRows(w, rows)
}
