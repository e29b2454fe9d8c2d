package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/control"
)

const hostsUsage = `Usage: coredns kms hosts [-socket PATH] [-json]

Shows what the running server believes of its KMS hosts: of each its state and for how long,
priority and weight, how fast it answered last, and what is wrong with it or who drained it.

The server is asked at its control socket: the Corefile needs a line "control PATH" in a kms
block, and whoever may write to the socket may ask.

Exit status, as monitoring plugins have it:
  0  OK        every host is up, drained or not proved yet
  1  WARNING   some are suspect or down, or their names do not resolve
  2  CRITICAL  a pool has no host left
  3  UNKNOWN   the server could not be asked, or a wrong call

Examples:
  coredns kms hosts
  coredns kms hosts -json -socket /run/kms/control.sock

`

// hosts is "kms hosts".
func hosts(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("hosts", flag.ContinueOnError)
	flags.SetOutput(stderr)
	socket := socketFlag(flags)
	asJSON := flags.Bool("json", false, "print JSON")
	flags.Usage = func() { fmt.Fprint(flags.Output(), hostsUsage); flags.PrintDefaults() }
	if status, ok := parseFlags(flags, args, stdout); !ok {
		return status
	}
	if flags.NArg() > 0 {
		complain(stderr, "hosts", fmt.Errorf("unexpected %q: coredns kms hosts shows all there are", flags.Arg(0)))
		return exitUsage
	}
	all, err := control.Client{Socket: *socket}.Hosts(ctx)
	if err != nil {
		complain(stderr, "hosts", err)
		return int(statusUnknown)
	}
	s, summary := judge(all)
	if *asJSON {
		err = writeJSON(stdout, s, all)
	} else {
		err = writeHosts(stdout, fmt.Sprintf("KMS %s - %s", s, summary), all, time.Now())
	}
	if err != nil {
		complain(stderr, "hosts", err)
		return int(statusUnknown)
	}
	return int(s)
}

// judge weighs all hosts into one status, and says how many are up.
func judge(all control.Hosts) (status, string) {
	s, up, total := statusOK, 0, 0
	for _, p := range all.Pools {
		switch p.Condition {
		case "calm":
		case "all-down":
			s = max(s, statusCritical)
		default:
			s = max(s, statusWarning)
		}
		for _, h := range p.Hosts {
			total++
			switch {
			case h.State == "up":
				up++
			case h.State == "suspect" || h.State == "down" || h.State == "unchecked" && h.Error != "":
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
	return s, fmt.Sprintf("%d of %d hosts up", up, total)
}

// writeHosts prints a line with the status and a table of hosts.
func writeHosts(w io.Writer, summary string, all control.Hosts, now time.Time) error {
	if _, err := fmt.Fprintln(w, summary); err != nil {
		return err
	}
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
			row(p.Name, h.Endpoint, state, ago(now.Sub(h.Since)), strconv.Itoa(int(h.Priority)), strconv.Itoa(int(h.Weight)), rtt, because(h))
		}
	}
	for _, d := range all.Absent {
		row("-", d.Endpoint, "drained (in no pool)", ago(now.Sub(d.At)), "-", "-", "-", drainedBy(d.Drainage))
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
func because(h control.Host) string {
	if h.Drained == nil {
		return h.Error
	}
	text := drainedBy(*h.Drained)
	if h.Error != "" {
		text += "; " + h.Error
	}
	return text
}

func drainedBy(d control.Drainage) string {
	text := "drained by " + cmp.Or(d.By, "nobody knows whom")
	if !d.At.IsZero() {
		text += d.At.Local().Format(" on 2006-01-02 15:04")
	}
	if d.Why != "" {
		text += ": " + d.Why
	}
	return text
}
