package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/control"

	"github.com/urfave/cli/v3"
)

const hostsText = `Shows what the running server believes of its KMS hosts: of each its state and for how long,
priority and weight, how fast it answered last, and what is wrong with it or who drained it.

` + socketText + `
Exit status, as monitoring plugins have it:
  0  OK        every host is up, drained or not proved yet
  1  WARNING   some are suspect or down, or their names do not resolve
  2  CRITICAL  a pool has no host left
  3  UNKNOWN   the server could not be asked, or a wrong call

Examples:
  coredns kms hosts
  coredns kms hosts -json -socket /run/kms/control.sock`

// hostsCommand is "kms hosts".
func hostsCommand(c clock) *cli.Command {
	return &cli.Command{
		Name:        "hosts",
		Usage:       "show what the running server believes of its KMS hosts",
		UsageText:   "coredns kms hosts [-socket PATH] [-json]",
		Description: hostsText,
		Flags:       []cli.Flag{socketFlag(), jsonFlag()},
		Action: checks(func(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
			if cmd.Args().Present() {
				return statusUnknown, misuse("unexpected %q: coredns kms hosts shows all there are", cmd.Args().First())
			}
			all, err := server(cmd).Hosts(ctx)
			if err != nil {
				return statusUnknown, err
			}
			s, summary := judge(all)
			if cmd.Bool("json") {
				return s, writeJSON(cmd.Writer, s, all)
			}
			return s, writeHosts(cmd.Writer, fmt.Sprintf("KMS %s - %s", s, summary)+performance(hostFigures(states(all))...), all, c)
		}),
	}
}

// judge weighs all hosts into one status, and says how many are up.
func judge(all control.Hosts) (exitStatus, string) {
	s, up, unresolved := statusOK, 0, 0
	for _, p := range all.Pools {
		switch p.Condition {
		case "calm":
		case "all-down":
			s = max(s, statusCritical)
		default:
			s = max(s, statusWarning)
		}
		for _, h := range p.Hosts {
			if h.State == "up" {
				up++
			}
			nameless := lacksName(h)
			if nameless {
				unresolved++
			}
			if nameless || h.State == "suspect" || h.State == "down" {
				s = max(s, statusWarning)
			}
		}
	}
	if len(all.Pools) == 0 {
		return statusUnknown, "the server has no pool: it is starting or ending"
	}
	if all.Note != "" {
		s = max(s, statusWarning)
	}
	summary := fmt.Sprintf("%d of %d hosts up", up, len(states(all)))
	if unresolved > 0 {
		summary += fmt.Sprintf(", the names of %d do not resolve", unresolved)
	}
	return s, summary
}

// states is those of all hosts.
func states(all control.Hosts) (s []string) {
	for _, p := range all.Pools {
		for _, h := range p.Hosts {
			s = append(s, h.State)
		}
	}
	return s
}

// lacksName says whether the error of h is that its name does not resolve: that of a host which no probe says anything against,
// and that of one which has no address to be probed at.
func lacksName(h control.Host) bool {
	switch {
	case h.Error == "":
		return false
	case h.State == "up" || h.State == "unchecked":
		return true
	}
	return h.State == "claimed" && len(h.Addresses) == 0
}

// writeHosts prints a line with the status and a table of hosts.
func writeHosts(w io.Writer, summary string, all control.Hosts, c clock) error {
	if _, err := fmt.Fprintln(w, summary); err != nil {
		return err
	}
	now := c.now()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, printable(c))
		}
		fmt.Fprintln(t)
	}
	row("POOL", "HOST", "STATE", "FOR", "PRIORITY", "WEIGHT", "LAST RTT", "WHY")
	for _, p := range all.Pools {
		for _, h := range p.Hosts {
			rtt := "-"
			if !h.Probed.IsZero() {
				rtt = time.Duration(h.RTT * float64(time.Second)).Round(10 * time.Microsecond).String()
			}
			state := h.State
			if h.Announced {
				state += " (announced)"
			}
			row(p.Name, h.Endpoint, state, ago(now.Sub(h.Since)), strconv.Itoa(int(h.Priority)), strconv.Itoa(int(h.Weight)), rtt, because(h, c.zone))
		}
	}
	for _, d := range all.Absent {
		row("-", d.Endpoint, "drained (in no pool)", ago(now.Sub(d.At)), "-", "-", "-", drainedBy(d.Drainage, c.zone))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if all.Note != "" {
		_, err := fmt.Fprintln(w, printable(all.Note))
		return err
	}
	return nil
}

// because is why h is in its state.
func because(h control.Host, in *time.Location) string {
	if h.Drained == nil {
		return h.Error
	}
	text := drainedBy(*h.Drained, in)
	if h.Error != "" {
		text += "; " + h.Error
	}
	return text
}

func drainedBy(d control.Drainage, in *time.Location) string {
	text := "drained by " + cmp.Or(d.By, "nobody knows whom")
	if !d.At.IsZero() {
		text += d.At.In(in).Format(" on 2006-01-02 15:04 MST")
	}
	if d.Why != "" {
		text += ": " + d.Why
	}
	return text
}
