package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/status"

	"github.com/urfave/cli/v3"
)

// silentTooLong is after how many days without a call a client is near the end of the 180 that its activation holds.
const silentTooLong = 150

// clientPage is how many clients are asked for at once: what goes into an answer of the server many times over.
const clientPage = 10_000

const clientsText = `Shows the clients that called the running server's responder, those first that called longest ago:
what they call themselves, from where, when they last called, when a host last took their request,
and what came of it. An activation holds for 180 days, and clients renew it every 7: who has been
silent for 90 days is gone or ill, and who has been for 150 is soon not activated any more.

-search takes part of a name, an address, a network or a CMID. -csv and -json have all clients,
the others the first 100 unless -limit says how many. -csv is what the status page has at
/clients.csv. "kms why" says more of one.

` + socketText + `
Exit status, as monitoring plugins have it:
  0  OK        no client of those shown is silent for 150 days
  1  WARNING   some are
  3  UNKNOWN   the server could not be asked, or a wrong call

Examples:
  coredns kms clients
  coredns kms clients -silent 90
  coredns kms clients -search 10.1.0.0/16 -unserved
  coredns kms clients -csv >clients.csv`

// clientsCommand is "kms clients".
func clientsCommand() *cli.Command {
	return &cli.Command{
		Name:        "clients",
		Usage:       "show who was activated and who was not, and who has been silent for long",
		UsageText:   "coredns kms clients [-socket PATH] [-search TEXT] [-silent DAYS] [-unserved] [-limit N] [-json | -csv]",
		Description: clientsText,
		Flags: []cli.Flag{
			socketFlag(),
			&cli.StringFlag{Name: "search", Usage: "only those with `TEXT` in their name, address or CMID, or in that network"},
			&cli.IntFlag{Name: "silent", Usage: "only those that did not call for `DAYS` or more"},
			&cli.BoolFlag{Name: "unserved", Usage: "only those that no host ever took a request of"},
			&cli.IntFlag{Name: "limit", Usage: "at most `N` (100; all with -csv and -json)"},
			jsonFlag(),
			&cli.BoolFlag{Name: "csv", Usage: "print CSV, with a line of names first"},
		},
		Action: checks(func(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
			q := status.ClientQuery{
				Search: cmd.String("search"), SilentDays: cmd.Int("silent"), Unserved: cmd.Bool("unserved"), Limit: cmd.Int("limit"),
			}
			switch {
			case cmd.Args().Present():
				return statusUnknown, misuse("unexpected %q; did you mean -search %q?", cmd.Args().First(), cmd.Args().First())
			case cmd.Bool("json") && cmd.Bool("csv"):
				return statusUnknown, misuse("-json and -csv: one of them")
			case len(q.Search) > status.MaxSearch:
				return statusUnknown, misuse("-search: at most %d octets", status.MaxSearch)
			case q.SilentDays < 0 || q.SilentDays > status.MaxSilent:
				return statusUnknown, misuse("-silent %d: from 0 to %d days", q.SilentDays, status.MaxSilent)
			case cmd.IsSet("limit") && (q.Limit < 1 || q.Limit > status.MaxRows):
				return statusUnknown, misuse("-limit %d: from 1 to %d", q.Limit, status.MaxRows)
			case !cmd.IsSet("limit") && (cmd.Bool("json") || cmd.Bool("csv")):
				q.Limit = status.MaxRows
			case !cmd.IsSet("limit"):
				q.Limit = status.DefaultRows
			}
			all, err := allClients(ctx, server(cmd).Clients, q)
			if err != nil {
				return statusUnknown, err
			}
			s := statusOK
			for _, one := range all.Clients {
				if one.Silent >= silentTooLong {
					s = statusWarning
				}
			}
			switch {
			case cmd.Bool("json"):
				return s, printJSON(cmd.Writer, all)
			case cmd.Bool("csv"):
				return s, status.WriteCSV(cmd.Writer, all.Clients)
			}
			silent, err := silentClients(ctx, server(cmd).Clients, q, all)
			if err != nil {
				return statusUnknown, err
			}
			return s, writeClients(cmd.Writer, s, all, silent)
		}),
	}
}

// askClients asks a server for one page.
type askClients func(context.Context, status.ClientQuery) (status.Clients, error)

// allClients asks page by page.
func allClients(ctx context.Context, ask askClients, q status.ClientQuery) (status.Clients, error) {
	limit := q.Limit
	q.Limit = min(limit, clientPage)
	all, err := ask(ctx, q)
	if err != nil {
		return all, err
	}
	for len(all.Clients) < min(limit, all.Total) {
		q.Offset = len(all.Clients)
		q.Limit = min(limit-q.Offset, clientPage)
		page, err := ask(ctx, q)
		if err != nil {
			return all, err
		}
		if len(page.Clients) == 0 { // fewer than there were
			break
		}
		all.Clients = append(all.Clients, page.Clients...)
	}
	return all, nil
}

// silentClients is how many of those that q asks for are silent for too long. Those stand first, so that the server is asked
// only if all that are shown are.
func silentClients(ctx context.Context, ask askClients, q status.ClientQuery, shown status.Clients) (int, error) {
	n := 0
	for _, one := range shown.Clients {
		if one.Silent >= silentTooLong {
			n++
		}
	}
	if n < len(shown.Clients) || n == shown.Total {
		return n, nil
	}
	q.SilentDays, q.Limit, q.Offset = max(q.SilentDays, silentTooLong), 1, 0
	rest, err := ask(ctx, q)
	return rest.Total, err
}

// writeClients prints a line with the status and a table of clients, of whom silent are so for too long.
func writeClients(w io.Writer, s exitStatus, all status.Clients, silent int) error {
	shown := fmt.Sprintf("%d", all.Total)
	if len(all.Clients) < all.Total {
		shown = fmt.Sprintf("%d of %d", len(all.Clients), all.Total)
	}
	lines := []row{{{plain, fmt.Sprintf("KMS %s - %s clients, those first that called longest ago", s, shown) +
		performance(figure{"clients", all.Total, -1}, figure{"clients_silent_150", silent, all.Total})}}}
	if len(all.Clients) > 0 {
		lines = append(lines, clientTable(all.Clients, all.At)...)
	}
	return writeRows(w, lines)
}

// clientTable is clients in columns.
func clientTable(clients []status.Client, at time.Time) []row {
	cells := [][]span{plainCells("MACHINE", "ADDRESS", "LAST CALL", "SERVED", "HOST", "RESULT", "CALLS", "PROTOCOL", "CMID")}
	for _, c := range clients {
		served := "never"
		if !c.Served.IsZero() {
			served = ago(at.Sub(c.Served)) + " ago"
		}
		cells = append(cells, plainCells(or(c.Machine, "-"), c.Address, ago(at.Sub(c.Last))+" ago", served, or(c.Host, "-"), c.Result,
			strconv.FormatUint(c.Calls, 10), c.Version, or(c.CMID, "-")))
	}
	return paper{}.table(cells, 6)
}

// plainCells is cells without a style.
func plainCells(texts ...string) []span {
	cells := make([]span, len(texts))
	for i, t := range texts {
		cells[i].text = t
	}
	return cells
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// writeRows prints rows as they are, for a terminal or a file.
func writeRows(w io.Writer, rows []row) error {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(paper{}.line(r) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
