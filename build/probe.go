package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/urfave/cli/v3"
)

// maxProbed bounds the hosts of one call.
const maxProbed = config.MaxHosts

const probeText = `Asks each host whether it serves KMS: connects and binds to the KMS interface over DCE/RPC,
as a client does, and closes. Nothing is activated and no host's count changes.

Exit status, as monitoring plugins have it:
  0  OK        every host passed
  1  WARNING   some failed or were slower than -warn
  2  CRITICAL  all failed
  3  UNKNOWN   none could be asked: name not found, nothing to ask from, or a wrong call

Examples:
  coredns kms probe kms1.example.org
  coredns kms probe -json -timeout 5s 192.0.2.10 [2001:db8::10]:1688`

// probeCommand is "kms probe". As every command it says in Usage what it does in one line, in UsageText how it is called, and
// in Description what it does, with paragraphs for the exit status and examples, which man pages have sections for.
func probeCommand() *cli.Command {
	return &cli.Command{
		Name:        "probe",
		Usage:       "ask KMS hosts whether they serve, without being counted",
		UsageText:   "coredns kms probe [-json] [-kind rpc|tcp] [-timeout DURATION] [-warn DURATION] HOST[:PORT]...",
		Description: probeText,
		Flags: []cli.Flag{
			jsonFlag(),
			&cli.StringFlag{Name: "kind", Value: "rpc", Usage: "ask by `rpc|tcp`: connect and bind, or connect only"},
			&cli.DurationFlag{Name: "timeout", Value: config.Default().Probe.Timeout, Usage: "`DURATION` for each address of a host"},
			&cli.DurationFlag{Name: "warn", Usage: "a pass that takes longer than `DURATION` is a warning (0: never)"},
		},
		Action: checks(probeHosts),
	}
}

// probed is what came of one host.
type probed struct {
	Host   string       `json:"host"`
	Result probe.Result `json:"result"`
}

func probeHosts(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
	prober := probe.Prober{Timeout: cmd.Duration("timeout"), Gate: make(probe.Gate, probe.InFlight)}
	var err error
	switch prober.Kind, err = config.ParseProbeKind(cmd.String("kind")); {
	case err != nil:
		return statusUnknown, wrongCall{err}
	case prober.Timeout <= 0 || prober.Timeout > time.Hour:
		return statusUnknown, misuse("timeout %s: from above 0 to 1h", prober.Timeout)
	case cmd.NArg() == 0:
		return statusUnknown, misuse("no host: coredns kms probe HOST[:PORT]")
	case cmd.NArg() > maxProbed:
		return statusUnknown, misuse("%d hosts: at most %d in one call", cmd.NArg(), maxProbed)
	}
	all := make([]probed, cmd.NArg())
	var wg sync.WaitGroup
	for i, host := range cmd.Args().Slice() {
		wg.Go(func() { all[i] = probed{host, probeHost(ctx, prober, host)} })
	}
	wg.Wait()
	s := verdict(all, cmd.Duration("warn"))
	if cmd.Bool("json") {
		return s, writeProbesJSON(cmd.Writer, s, all)
	}
	return s, writeProbes(cmd.Writer, s, all, prober.Kind)
}

// probeHost finds host's addresses and asks it. Here short names are fine: a person typed them.
func probeHost(ctx context.Context, prober probe.Prober, host string) probe.Result {
	start := time.Now()
	name, port, err := config.SplitHost(host)
	if err != nil {
		return probe.Result{Outcome: probe.Unresolved, Err: err, Start: start}
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return prober.Probe(ctx, []netip.Addr{a}, port)
	}
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addresses, err := probe.NewResolver().Lookup(within, name)
	if err != nil {
		return probe.Result{Outcome: probe.Unresolved, Err: err, Start: start, RTT: time.Since(start)}
	}
	return prober.Probe(ctx, addresses[:min(len(addresses), config.MaxAddresses)], port)
}

// verdict weighs all results into one status.
func verdict(all []probed, warn time.Duration) exitStatus {
	passed, failed, unknown, slow := 0, 0, 0, 0
	for _, p := range all {
		switch r := p.Result; {
		case !r.Outcome.Verdict():
			unknown++
		case r.Outcome != probe.Passed:
			failed++
		default:
			passed++
			if warn > 0 && r.RTT > warn {
				slow++
			}
		}
	}
	switch {
	case failed > 0 && passed == 0:
		return statusCritical
	case unknown > 0 && passed == 0:
		return statusUnknown
	case failed+unknown+slow > 0:
		return statusWarning
	}
	return statusOK
}

// writeProbes prints what monitoring plugins print: a line with the status and, behind a bar, the times to be graphed; then
// a line for each host.
func writeProbes(w io.Writer, s exitStatus, all []probed, kind config.ProbeKind) error {
	passed := 0
	var times, lines strings.Builder
	for _, p := range all {
		r := p.Result
		mark := "FAIL"
		switch {
		case !r.Outcome.Verdict():
			mark = "?"
		case r.Outcome == probe.Passed:
			passed, mark = passed+1, "ok"
			fmt.Fprintf(&times, " '%s'=%.6fs", strings.ReplaceAll(printable(p.Host), "'", ""), r.RTT.Seconds())
		}
		fmt.Fprintf(&lines, "%-4s  %s  %s", mark, printable(p.Host), printable(r.String()))
		if r.Syntax != "" {
			fmt.Fprintf(&lines, ", speaks %s", r.Syntax)
		}
		lines.WriteByte('\n')
	}
	summary := fmt.Sprintf("KMS %s - %d of %d pass (%s)", s, passed, len(all), kind)
	if times.Len() > 0 {
		summary += " |" + times.String()
	}
	_, err := fmt.Fprintf(w, "%s\n%s", summary, lines.String())
	return err
}

func writeProbesJSON(w io.Writer, s exitStatus, all []probed) error {
	return printJSON(w, struct {
		Version int      `json:"version"`
		Status  string   `json:"status"`
		Hosts   []probed `json:"hosts"`
	}{1, s.String(), all})
}
