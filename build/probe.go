package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// maxProbed bounds the hosts of one call.
const maxProbed = config.MaxHosts

const probeUsage = `Usage: coredns kms probe [-json] [-kind rpc|tcp] [-timeout D] [-warn D] HOST[:PORT]...

Asks each host whether it serves KMS: connects and binds to the KMS interface over DCE/RPC,
as a client does, and closes. Nothing is activated and no host's count changes.

Exit status, as monitoring plugins have it:
  0  OK        every host passed
  1  WARNING   some failed or were slower than -warn
  2  CRITICAL  all failed
  3  UNKNOWN   none could be asked: name not found, nothing to ask from, or a wrong call

Examples:
  coredns kms probe kms1.example.org
  coredns kms probe -json -timeout 5s 192.0.2.10 [2001:db8::10]:1688

`

// status is the word and exit status of a check.
type status int

const (
	statusOK status = iota
	statusWarning
	statusCritical
	statusUnknown
)

func (s status) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s] }

// probed is what came of one host.
type probed struct {
	Host   string       `json:"host"`
	Result probe.Result `json:"result"`
}

// probeHosts is "kms probe".
func probeHosts(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("probe", flag.ContinueOnError)
	flags.SetOutput(stderr)
	asJSON := flags.Bool("json", false, "print JSON")
	kind := flags.String("kind", "rpc", "rpc: connect and bind; tcp: connect only")
	timeout := flags.Duration("timeout", config.Default().Probe.Timeout, "for each address of a host")
	warn := flags.Duration("warn", 0, "a pass that takes longer is a warning (0: never)")
	flags.Usage = func() { fmt.Fprint(flags.Output(), probeUsage); flags.PrintDefaults() }
	if status, ok := parseFlags(flags, args, stdout); !ok {
		return status
	}
	prober := probe.Prober{Timeout: *timeout, Gate: make(probe.Gate, probe.InFlight)}
	var err error
	switch prober.Kind, err = config.ParseProbeKind(*kind); {
	case err != nil:
	case *timeout <= 0 || *timeout > time.Hour:
		err = fmt.Errorf("timeout %s: from above 0 to 1h", *timeout)
	case flags.NArg() == 0:
		err = errors.New("no host: coredns kms probe HOST[:PORT]")
	case flags.NArg() > maxProbed:
		err = fmt.Errorf("%d hosts: at most %d in one call", flags.NArg(), maxProbed)
	}
	if err != nil {
		fmt.Fprintf(stderr, "kms probe: %v\n", err)
		return exitUsage
	}
	all := make([]probed, flags.NArg())
	var wg sync.WaitGroup
	for i, host := range flags.Args() {
		wg.Go(func() { all[i] = probed{host, probeHost(ctx, prober, host)} })
	}
	wg.Wait()

	s := verdict(all, *warn)
	if *asJSON {
		err = writeProbesJSON(stdout, s, all)
	} else {
		err = writeProbes(stdout, s, all, prober.Kind)
	}
	if err != nil {
		fmt.Fprintf(stderr, "kms probe: %v\n", err)
		return exitUsage
	}
	return int(s)
}

// parseFlags parses args and says whether to go on; if not, the first result is the exit status.
func parseFlags(flags *flag.FlagSet, args []string, stdout io.Writer) (int, bool) {
	for _, a := range args {
		if a == "-h" || a == "-help" || a == "--help" {
			flags.SetOutput(stdout)
			flags.Usage()
			return 0, false
		}
	}
	if err := flags.Parse(args); err != nil {
		return exitUsage, false
	}
	return 0, true
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
func verdict(all []probed, warn time.Duration) status {
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
func writeProbes(w io.Writer, s status, all []probed, kind config.ProbeKind) error {
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
			fmt.Fprintf(&times, " '%s'=%.6fs", strings.ReplaceAll(p.Host, "'", ""), r.RTT.Seconds())
		}
		fmt.Fprintf(&lines, "%-4s  %s  %s", mark, p.Host, r)
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

func writeProbesJSON(w io.Writer, s status, all []probed) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Version int      `json:"version"`
		Status  string   `json:"status"`
		Hosts   []probed `json:"hosts"`
	}{1, s.String(), all})
}
