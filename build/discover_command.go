package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/discover"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/urfave/cli/v3"
)

const discoverText = `Does what a KMS client does, step by step, and says where it breaks and what to change: the DNS
suffixes, the zone, the SRV records, the addresses of their targets, a connection and a DCE/RPC bind
to each. Nothing is activated and no host's count changes.

Without -suffix it looks where this machine would: under the domain of its name, then under the
search list of resolv.conf. Every DNS server of resolv.conf is asked, and their answers compared. It
also looks where nslookup finds records and no client does. Each line begins with ok, note (nothing
is wrong), warn, FAIL, or ? for what could not be found out; below a failure stands what to change.

Exit status, as monitoring plugins have it:
  0  OK        a client finds a live host at its first try
  1  WARNING   it finds one, and something is wrong
  2  CRITICAL  it finds none
  3  UNKNOWN   it could not be found out, or a wrong call

Examples:
  coredns kms discover
  coredns kms discover -server 127.0.0.1:1053 -suffix corp.example.org
  coredns kms discover -host kms1.corp.example.org:1688`

// discoverCommand is "kms discover".
func discoverCommand() *cli.Command {
	return &cli.Command{
		Name:  "discover",
		Usage: "do what a client does, step by step, and say where it breaks",
		UsageText: "coredns kms discover [-json] [-server ADDRESS] [-suffix NAME]... [-resolv FILE] [-vista] [-timeout DURATION]\n" +
			"coredns kms discover [-json] [-server ADDRESS] -host NAME[:PORT]",
		Description: discoverText,
		Flags: []cli.Flag{
			jsonFlag(),
			&cli.StringFlag{Name: "server", Usage: "ask the DNS server at `ADDRESS`, with or without a port, instead of those of " +
				"resolv.conf"},
			&cli.StringSliceFlag{Name: "suffix", Usage: "look under the DNS suffix `NAME`; may stand several times"},
			&cli.StringFlag{Name: "resolv", Value: resolvConf, TakesFile: true, Usage: "the `FILE` with DNS servers and search list"},
			&cli.StringFlag{Name: "host", Usage: "be a client to which `NAME[:PORT]` was given by slmgr /skms"},
			&cli.BoolFlag{Name: "vista", Usage: "choose among hosts at random, as Windows Vista and Server 2008 do"},
			&cli.DurationFlag{Name: "timeout", Value: 30 * time.Second, Usage: "`DURATION` for everything together"},
		},
		Action: checks(discoverHosts),
	}
}

func discoverHosts(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
	client, err := discovering(cmd)
	if err != nil {
		return statusUnknown, err
	}
	ctx, cancel := context.WithTimeout(ctx, cmd.Duration("timeout"))
	defer cancel()
	r := client.Discover(ctx)
	for i := range r.Steps {
		r.Steps[i].Change = hints(r.Steps[i].Change)
	}
	s := exitStatus(r.Status)
	if cmd.Bool("json") {
		return s, printJSON(cmd.Writer, r)
	}
	return s, writeReport(cmd.Writer, r)
}

// discovering is the client that the flags of cmd ask for.
func discovering(cmd *cli.Command) (discover.Client, error) {
	timeout, given := cmd.Duration("timeout"), cmd.StringSlice("suffix")
	switch {
	case cmd.Args().Present():
		return discover.Client{}, misuse("unexpected %q: the DNS suffix stands behind -suffix, a host behind -host", cmd.Args().First())
	case timeout <= 0 || timeout > time.Hour:
		return discover.Client{}, misuse("timeout %s: from above 0 to 1h", timeout)
	case len(given) > discover.MaxSuffixes:
		return discover.Client{}, misuse("%d suffixes: at most %d in one call", len(given), discover.MaxSuffixes)
	case cmd.IsSet("host") && len(given) > 0:
		return discover.Client{}, misuse("-host and -suffix: a client that was given a host looks under no suffix")
	}
	machine, err := discover.ThisMachine(cmd.String("resolv"))
	if err != nil && (cmd.IsSet("resolv") || !cmd.IsSet("server")) {
		return discover.Client{}, fmt.Errorf("no DNS servers: %w: name one with -server", err)
	}
	client := discover.Client{
		Servers: machine.Servers, Suffixes: machine.Suffixes(), Search: machine.Search,
		Host: cmd.String("host"), AnyOrder: cmd.Bool("vista"),
		Prober: probe.Prober{Timeout: config.Default().Probe.Timeout, Gate: make(probe.Gate, probe.InFlight)},
	}
	if text := cmd.String("server"); text != "" {
		server, err := parseServer(text)
		if err != nil {
			return discover.Client{}, wrongCall{err}
		}
		client.Servers = []string{server}
	}
	if cmd.IsSet("host") {
		if _, _, err := config.SplitHost(client.Host); err != nil || client.Host == "" {
			return discover.Client{}, misuse("-host %q: NAME or NAME:PORT, as in kms1.corp.example.org:1688", client.Host)
		}
	}
	if len(given) > 0 {
		client.Suffixes = nil
		for _, name := range given {
			if _, err := canonicalName(strings.Trim(name, ".")); err != nil || strings.Trim(name, ".") == "" {
				return discover.Client{}, misuse("-suffix %q: a domain, as in corp.example.org", name)
			}
			client.Suffixes = append(client.Suffixes, discover.Suffix{Name: name, Source: "as given", Given: true})
		}
	}
	return client, nil
}

// marks is how a step's mark stands at the beginning of its line, and in what colour.
var marks = map[discover.Mark]span{
	discover.Good: {green, "ok"}, discover.Note: {faint, "note"}, discover.Warn: {yellow, "warn"}, discover.Fail: {red, "FAIL"},
	discover.Open: {yellow, "?"},
}

// writeReport prints a line with the status and the verdict, and the steps below it.
func writeReport(w io.Writer, r discover.Report) error {
	colour := [...]style{discover.OK: green, discover.Warning: yellow, discover.Critical: red, discover.Unknown: yellow}[r.Status]
	verdict := r.Verdict
	if r.Code != "" {
		verdict += fmt.Sprintf(" (Windows shows %s)", r.Code)
	}
	rows := []row{{{colour, "KMS " + r.Status.String()}, {plain, " - " + verdict}}}
	part := ""
	for _, s := range r.Steps {
		if s.Part != part {
			part = s.Part
			rows = append(rows, row{}, row{{bold, part}})
		}
		rows = append(rows, stepRows(s, lineWidth(w))...)
	}
	if r.Code != "" {
		rows = append(rows, row{}, row{{plain, fmt.Sprintf("\"%s explain %s\" says more about what Windows shows.", called, r.Code)}})
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(paper{colour: inColour(w)}.line(r) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// stepRows is a step in lines of at most width columns, 0 is no bound: its mark and text, and what to change below it.
func stepRows(s discover.Step, width int) []row {
	const indent = 8
	mark, text := marks[s.Mark], s.Text
	mark.text = fmt.Sprintf("%-4s", mark.text)
	if s.Code != "" {
		text += " (" + s.Code + ")"
	}
	p := paper{width: width}
	rows := p.wrapped(row{{plain, "  "}, mark, {plain, "  "}}, text, indent)
	for _, c := range s.Change {
		rows = append(rows, p.wrapped(row{{plain, strings.Repeat(" ", indent) + "-> "}}, c, indent+3)...)
	}
	return rows
}
