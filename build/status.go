package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/status"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"
)

const statusText = `Shows on one screen what a running server does: what is wrong and what to do about it, what the
clients of each zone are answered and why, the hosts with their state, how fast they answered in the
last minutes and how many clients they have of the 5 or 25 that they need, what changed lately, and
who has not called for long.

In a terminal it stays and is drawn again every -interval, until q or Ctrl-C; r asks at once.
Elsewhere, or with -once, it is printed once. Colours are only for terminals, and not where NO_COLOR
is set or TERM is "dumb".

` + socketText + `
Exit status, as monitoring plugins have it, of what was shown last:
  0  OK        nothing needs somebody
  1  WARNING   something does
  2  CRITICAL  clients cannot be activated, or soon
  3  UNKNOWN   the server could not be asked, or a wrong call

Examples:
  coredns kms status
  coredns kms status -interval 10s
  coredns kms status -once -socket /run/kms/control.sock
  coredns kms status -json`

// Bounds of -interval.
const (
	minInterval = 200 * time.Millisecond
	maxInterval = time.Hour
)

// statusCommand is "kms status".
func statusCommand(c clock) *cli.Command {
	return &cli.Command{
		Name:        "status",
		Usage:       "show on one screen what the running server does, and what needs somebody",
		UsageText:   "coredns kms status [-socket PATH] [-once | -watch] [-interval DURATION] [-json]",
		Description: statusText,
		Flags: []cli.Flag{
			socketFlag(),
			&cli.BoolFlag{Name: "once", Usage: "print it once, in a terminal too"},
			&cli.BoolFlag{Name: "watch", Usage: "print it again and again where there is no terminal, too"},
			&cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "`DURATION` from one time to the next"},
			jsonFlag(),
		},
		Action: checks(func(ctx context.Context, cmd *cli.Command) (exitStatus, error) { return showStatus(ctx, cmd, c) }),
	}
}

func showStatus(ctx context.Context, cmd *cli.Command, c clock) (exitStatus, error) {
	interval := cmd.Duration("interval")
	switch {
	case cmd.Args().Present():
		return statusUnknown, misuse("unexpected %q: coredns kms status shows all there is", cmd.Args().First())
	case interval < minInterval || interval > maxInterval:
		return statusUnknown, misuse("-interval %s: from %s to %s", interval, minInterval, maxInterval)
	case cmd.Bool("once") && cmd.Bool("watch"):
		return statusUnknown, misuse("-once and -watch: one of them")
	}
	first, err := server(cmd).Status(ctx)
	if err != nil {
		return statusUnknown, err
	}
	if cmd.Bool("json") {
		return reported(first), printJSON(cmd.Writer, first)
	}
	v := view{zone: c.zone, ascii: !speaksUTF8(os.Getenv)}
	if isTerminal(cmd.Writer) && os.Getenv("TERM") != "dumb" {
		v.colour = os.Getenv("NO_COLOR") == ""
		if !cmd.Bool("once") {
			return (&screen{view: v, out: cmd.Writer.(*os.File), ask: server(cmd).Status, interval: interval}).run(ctx, first)
		}
	}
	for report := first; ; {
		lines := v.draw(report)
		if !isTerminal(cmd.Writer) {
			lines[0] = checkLine(lines[0]) + performance(figures(report)...)
		}
		if _, err := fmt.Fprint(cmd.Writer, strings.Join(lines, "\n")+"\n"); err != nil || !cmd.Bool("watch") {
			return reported(report), err
		}
		select {
		case <-ctx.Done():
			return reported(report), nil
		case <-time.After(interval):
		}
		if report, err = server(cmd).Status(ctx); err != nil {
			return statusUnknown, err
		}
		fmt.Fprintln(cmd.Writer)
	}
}

func isTerminal(w io.Writer) bool {
	out, ok := w.(*os.File)
	return ok && term.IsTerminal(int(out.Fd()))
}

// figures is the numbers of a report for graphs.
func figures(r status.Report) []figure {
	var states []string
	for _, p := range r.Pools {
		for _, h := range p.Hosts {
			states = append(states, h.State)
		}
	}
	c := r.Clients
	return append(hostFigures(states), figure{"clients", c.Known, -1}, figure{"clients_unserved", c.Unserved, c.Known},
		figure{"clients_silent_90", c.Silent90, c.Known}, figure{"clients_silent_150", c.Silent150, c.Known})
}

// reported is the exit status for a report.
func reported(r status.Report) exitStatus {
	switch r.Status {
	case "ok":
		return statusOK
	case "warning":
		return statusWarning
	case "critical":
		return statusCritical
	}
	return statusUnknown
}

// speaksUTF8 says whether the locale in the environment has more than ASCII.
func speaksUTF8(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(env(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}
