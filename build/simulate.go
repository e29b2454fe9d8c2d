package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/simulate"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"
)

const simulateText = `Lives through months of a fleet of clients, its hosts and their failures in seconds or minutes, and
says what share of the clients is activated, what each host has to bear, and which calls fail. The
clients, hosts, health checks and responder are those of "kms rehearse" and of the server, in a time
and on a network that are made up: nothing is sent, and no file is read.

The ways from clients to hosts are direct (by the SRV records of the hosts), spread and concentrate
(by the responder, with that policy), and warm (concentrate, and the other hosts are kept warm).

The same flags have the same result, to the octet; another -seed has another. -compare instead lives
through every way, kind of client and number of hosts up to -hosts, for each of -fleets, and writes
a report in Markdown to the file and a figure beside it.

Exit status:
  0  OK        all clients are activated at the end (with several ways or -compare: it was done)
  1  WARNING   some are not
  2  CRITICAL  none is
  3  UNKNOWN   it was broken off, or a wrong call

Examples:
  coredns kms simulate -clients 60 -hosts 3 -way all
  coredns kms simulate -clients 1000000 -hosts 6 -way warm -office -svg year.svg
  coredns kms simulate -compare report.md -fleets 40,200,5000`

// simulation is what the flags of "kms simulate" say.
type simulation struct {
	simulate.Scenario
	seed    int
	way     string
	svg     string
	compare string
	fleets  string
	matrix  simulate.Matrix
}

// simulateCommand is "kms simulate".
func simulateCommand(c clock) *cli.Command {
	s := simulation{Scenario: simulate.Default()}
	d := s.Scenario
	length := func(name string, to *time.Duration, value time.Duration, usage string) cli.Flag {
		return &cli.DurationFlag{Name: name, Destination: to, Value: value, Usage: usage}
	}
	return &cli.Command{
		Name:  "simulate",
		Usage: "live through months of clients, hosts and failures, in virtual time",
		UsageText: "coredns kms simulate [-clients N] [-hosts N] [-way WAY] [FLAG...]\n" +
			"coredns kms simulate -compare FILE [-fleets N,...] [FLAG...]",
		Description: simulateText,
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "clients", Destination: &s.Clients, Value: d.Clients, Usage: "how many clients there are"},
			&cli.IntFlag{Name: "hosts", Destination: &s.Hosts, Value: d.Hosts, Usage: "how many hosts there are, all of one priority"},
			&cli.StringFlag{Name: "way", Destination: &s.way, Value: "direct",
				Usage: "how clients come to hosts, `direct|spread|concentrate|warm|all`"},
			&cli.BoolFlag{Name: "vista", Destination: &s.Vista, Usage: "clients choose records at random, as Windows Vista does"},
			&cli.IntFlag{Name: "days", Destination: &s.Days, Value: d.Days, Usage: "how many days to live through"},
			length("grow", &s.Grow, d.Grow, "clients are installed within this time"),
			&cli.BoolFlag{Name: "office", Destination: &s.Office, Usage: "clients are on in office hours only"},
			length("activation", &s.Activation, d.Activation, "when clients that were not activated come again"),
			length("renewal", &s.Renewal, d.Renewal, "when activated clients come again"),
			&cli.FloatFlag{Name: "jitter", Destination: &s.Jitter, Value: d.Jitter, Usage: "what `PART` of that they may be early or late"},
			length("ttl", &s.TTL, d.TTL, "clients act on DNS answers up to this old"),
			length("fail", &s.Fail, d.Fail, "mean time between failures of one host, 0 for none"),
			length("repair", &s.Repair, d.Repair, "mean time that one lasts"),
			&cli.FloatFlag{Name: "hang", Destination: &s.HangPart, Value: d.HangPart,
				Usage: "what `PART` of failures is a host that takes connections and does not answer"},
			length("outage-every", &s.OutageEvery, d.OutageEvery, "mean time between failures of all hosts at once, 0 for none"),
			length("outage-for", &s.OutageFor, d.OutageFor, "mean time that one lasts"),
			length("service-every", &s.ServiceEvery, d.ServiceEvery, "time between drains of a host, each in its turn, 0 for none"),
			length("service-for", &s.ServiceFor, d.ServiceFor, "how long it is off then"),
			length("interval", &s.Probe.Interval, d.Probe.Interval, "time between probes of a host"),
			length("timeout", &s.Probe.Timeout, d.Probe.Timeout, "how long one probe may take"),
			&cli.IntFlag{Name: "warm", Destination: &s.Copy, Value: d.Copy, Usage: "way warm: how many clients hosts are kept at"},
			&cli.IntFlag{Name: "seed", Destination: &s.seed, Value: int(d.Seed), Usage: "of all that is random"},
			&cli.StringFlag{Name: "svg", Destination: &s.svg, TakesFile: true, Usage: "write a plot to `FILE`"},
			&cli.StringFlag{Name: "compare", Destination: &s.compare, TakesFile: true, Usage: "write a report of many scenarios to `FILE`"},
			&cli.StringFlag{Name: "fleets", Destination: &s.fleets, Value: "60,150,10000", Usage: "-compare: numbers of clients, `N,...`"},
			&cli.IntFlag{Name: "large", Destination: &s.matrix.Large,
				Usage: "-compare: a fleet of `N` beside, with -hosts and in every way"},
			&cli.IntFlag{Name: "parallel", Destination: &s.matrix.Parallel, Value: 1, Usage: "how many scenarios to live through at once"},
			jsonFlag(),
		},
		Action: does(func(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
			if cmd.Args().Present() {
				return statusUnknown, misuse("unexpected %q", cmd.Args().First())
			}
			s.Seed = uint64(s.seed)
			if s.compare != "" {
				return s.report(ctx, cmd, c)
			}
			return s.run(ctx, cmd)
		}),
	}
}

// run lives through one scenario, or one for each way.
func (s simulation) run(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
	var all []simulate.Scenario
	for _, s.Way = range simulate.Ways() {
		if s.way == "all" || s.way == s.Way.String() {
			all = append(all, s.Scenario)
		}
	}
	if len(all) == 0 {
		_, err := simulate.ParseWay(s.way)
		return statusUnknown, misuse("-way %v, or all", err)
	}
	results, err := s.simulate(ctx, cmd, all)
	if err != nil {
		return statusUnknown, err
	}
	if s.svg != "" {
		if err := fillFile(s.svg, func(w io.Writer) error { return simulate.WriteSVG(w, results) }); err != nil {
			return statusUnknown, err
		}
	}
	status := statusOK
	if len(results) == 1 {
		switch results[0].ShareLast {
		case 1:
		case 0:
			status = statusCritical
		default:
			status = statusWarning
		}
	}
	if cmd.Bool("json") {
		return status, writeJSON(cmd.Writer, status, map[string]any{"results": results})
	}
	for _, r := range results {
		if err := r.WriteText(cmd.Writer, simulate.Style{Width: 90, ASCII: !speaksUTF8(os.Getenv)}); err != nil {
			return status, err
		}
		fmt.Fprintln(cmd.Writer)
	}
	if len(results) > 1 {
		return status, simulate.WriteTable(cmd.Writer, results)
	}
	return status, nil
}

// report lives through a matrix of scenarios and writes what came of it to files.
func (s simulation) report(ctx context.Context, cmd *cli.Command, c clock) (exitStatus, error) {
	s.matrix.MaxHosts = s.Hosts
	if !cmd.IsSet("hosts") {
		s.matrix.MaxHosts = 6
	}
	for word := range strings.SplitSeq(s.fleets, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return statusUnknown, misuse("-fleets %q: numbers of clients with commas between, as in 60,150", s.fleets)
		}
		s.matrix.Fleets = append(s.matrix.Fleets, n)
	}
	began := c.now()
	results, err := s.simulate(ctx, cmd, s.matrix.Scenarios(s.Scenario))
	if err != nil {
		return statusUnknown, err
	}
	figure := strings.TrimSuffix(s.compare, filepath.Ext(s.compare)) + ".svg"
	r := simulate.Report{Matrix: s.matrix, Base: s.Scenario, Results: results, Command: s.call(cmd), Took: c.now().Sub(began),
		Figure: filepath.Base(figure)}
	return statusOK, errors.Join(fillFile(s.compare, r.WriteMarkdown), fillFile(figure, r.WriteSVG))
}

// call is the command that was called, as it is to be called again.
func (s simulation) call(cmd *cli.Command) string {
	words := []string{called + " simulate"}
	for _, f := range cmd.Flags {
		if name := f.Names()[0]; f.IsSet() {
			words = append(words, fmt.Sprintf("-%s=%v", name, cmd.Value(name)))
		}
	}
	return strings.Join(words, " ")
}

// simulate lives through all scenarios.
func (s simulation) simulate(ctx context.Context, cmd *cli.Command, all []simulate.Scenario) ([]simulate.Result, error) {
	for _, one := range all {
		if err := one.Validate(); err != nil {
			return nil, wrongCall{err}
		}
	}
	if s.matrix.Parallel < 1 || s.matrix.Parallel > 64 {
		return nil, misuse("-parallel %d: from 1 to 64", s.matrix.Parallel)
	}
	bar := newProgress(cmd.ErrWriter)
	defer bar.end()
	return simulate.RunAll(ctx, all, s.matrix.Parallel, bar.show)
}

// fillFile has write fill the file at path, which is left as it was if that fails.
func fillFile(path string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// progress is a bar in a terminal, and nothing elsewhere.
type progress struct {
	w     io.Writer // nil for no bar
	began time.Time
	drawn time.Time
}

// barWidth is that of the bar, in columns.
const barWidth = 40

func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		w = nil
	}
	return &progress{w: w, began: time.Now()}
}

// show draws the bar for what part is done, at most ten times a second.
func (p *progress) show(part float64) {
	now := time.Now()
	if p.w == nil || now.Sub(p.drawn) < 100*time.Millisecond || part <= 0 {
		return
	}
	p.drawn = now
	took := now.Sub(p.began)
	left := time.Duration(float64(took) * (1 - part) / part)
	full := int(part * barWidth)
	fmt.Fprintf(p.w, "\r[%s%s] %3.0f %%, %s to go \x1b[K", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*part,
		left.Round(time.Second))
}

// end takes the bar away.
func (p *progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
