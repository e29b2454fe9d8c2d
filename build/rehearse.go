package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/kmsresponder"

	"github.com/urfave/cli/v3"
)

const rehearseText = `With -listen it stands in for a KMS host, so that there is something to check and to fail. It
counts clients by the rules of a KMS host and activates nothing: it seals its messages with
the secret of a rehearsal, which no genuine client accepts. Stop it with Ctrl-C to see a host
die.

With -domain it plays Windows clients that are activated by rehearsal hosts: each looks for
_vlmcs._tcp under the suffixes, chooses by priority and weight, asks, and goes on to another
host if that one fails. A client is activated once its host counts 25 clients (5 for servers),
so in the first round the first clients are not, and come again in the second.

Exit status with -domain:
  0  all clients were activated in the last round
  1  some were
  2  none was
  3  it was broken off, or a wrong call

Examples:
  coredns kms rehearse -listen 127.0.0.1:16881
  coredns kms rehearse -domain corp.example.org -server 127.0.0.1:1053 -clients 30`

// maxClients and maxRounds bound a rehearsal of clients.
const (
	maxClients = 100_000
	maxRounds  = 1000
)

// rehearsal is what the flags of "kms rehearse" say.
type rehearsal struct {
	listen, name string
	activation   time.Duration
	renewal      time.Duration
	ndr64        bool

	domain, server string
	clients        int
	rounds         int
	parallel       int
	version        int
	anyOrder       bool

	group, secret string
}

// rehearseCommand is "kms rehearse".
func rehearseCommand() *cli.Command {
	var r rehearsal
	d := config.DefaultRehearse("")
	return &cli.Command{
		Name:  "rehearse",
		Usage: "be a rehearsal KMS host, or clients of one, for trying things out",
		UsageText: "coredns kms rehearse -listen ADDRESS [-group GROUP] [-secret TEXT] [-ndr64]\n" +
			"coredns kms rehearse -domain SUFFIX[,SUFFIX]... [-server ADDRESS] [-clients N]",
		Description: rehearseText,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Destination: &r.listen, Usage: "be a host: `ADDRESS` and port to listen on"},
			&cli.StringFlag{Name: "name", Destination: &r.name, Usage: "host: what it calls itself in its answers"},
			&cli.DurationFlag{Name: "activation", Destination: &r.activation, Value: d.ActivationInterval,
				Usage: "host: when clients that were not activated are to come again"},
			&cli.DurationFlag{Name: "renewal", Destination: &r.renewal, Value: d.RenewalInterval,
				Usage: "host: when activated clients are to come again"},
			&cli.BoolFlag{Name: "ndr64", Destination: &r.ndr64, Usage: "host: prefer NDR64, as hosts since Windows 8 and Server 2012 do"},
			&cli.StringFlag{Name: "domain", Destination: &r.domain, Usage: "be clients: DNS `SUFFIX,...` to look under, with commas between"},
			&cli.StringFlag{Name: "server", Destination: &r.server,
				Usage: "clients: DNS server to ask, `ADDRESS` and port (the machine's own if not given)"},
			&cli.IntFlag{Name: "clients", Destination: &r.clients, Value: 30, Usage: "clients: how many"},
			&cli.IntFlag{Name: "rounds", Destination: &r.rounds, Value: 2, Usage: "clients: how often each asks"},
			&cli.IntFlag{Name: "parallel", Destination: &r.parallel, Value: 1, Usage: "clients: how many ask at once"},
			&cli.IntFlag{Name: "protocol", Destination: &r.version, Value: 4,
				Usage: "clients: protocol version, 4, 5 or 6; only 4 shows its fields to a responder"},
			&cli.BoolFlag{Name: "vista", Destination: &r.anyOrder, Usage: "clients: choose hosts at random, as Windows Vista does"},
			&cli.StringFlag{Name: "group", Destination: &r.group,
				Usage: "host: what its key activates, `any|client-vl|server-a|server-b|server-c` (any); clients: what they are (client-vl)"},
			&cli.StringFlag{Name: "secret", Destination: &r.secret, Usage: "the site's secret, the same for hosts and clients"},
		},
		Action: does(func(ctx context.Context, cmd *cli.Command) (exitStatus, error) {
			switch {
			case cmd.Args().Present():
				return statusUnknown, misuse("unexpected %q", cmd.Args().First())
			case r.listen == "" && r.domain == "":
				return statusUnknown, misuse("-listen or -domain is missing, as in -listen 127.0.0.1:16881 or -domain corp.example.org")
			case r.listen != "" && r.domain != "":
				return statusUnknown, misuse("-listen and -domain: a host or clients, not both in one call")
			case r.listen != "":
				return r.host(ctx, cmd.Writer)
			}
			return r.fleet(ctx, cmd.Writer)
		}),
	}
}

// host is a rehearsal host until ctx is done.
func (r rehearsal) host(ctx context.Context, stdout io.Writer) (exitStatus, error) {
	c := config.Rehearse{Address: r.listen, Secret: r.secret, ActivationInterval: r.activation, RenewalInterval: r.renewal}
	err := c.Validate()
	if err == nil && r.group != "" {
		c.Group, err = config.ParseKey(r.group)
	}
	var ln net.Listener
	if err == nil {
		ln, err = net.Listen("tcp", r.listen)
	}
	if err != nil {
		return statusUnknown, err
	}
	fmt.Fprintf(stdout, "rehearsal KMS host on %s, until it is stopped\n", ln.Addr())
	lines := make(chan string, 64)
	done := make(chan struct{})
	go func() { // one writer, so that lines stay whole
		defer close(done)
		for l := range lines {
			fmt.Fprintln(stdout, l)
		}
	}()
	host := kmsresponder.Rehearsal{
		Name: r.name, Secret: []byte(c.Secret), Key: c.Group, NDR64: r.ndr64,
		ActivationInterval: c.ActivationInterval, RenewalInterval: c.RenewalInterval,
		Log: func(line string) { lines <- line },
	}
	err = host.Serve(ctx, ln)
	close(lines)
	<-done
	if err != nil {
		return statusWarning, err
	}
	return statusOK, nil
}

// fleet is clients that ask, round after round.
func (r rehearsal) fleet(ctx context.Context, stdout io.Writer) (exitStatus, error) {
	like := kmsresponder.RehearsalClient{Name: "REHEARSAL", Secret: []byte(r.secret), AnyOrder: r.anyOrder}
	for s := range strings.SplitSeq(r.domain, ",") {
		like.Suffixes = append(like.Suffixes, strings.TrimSpace(s))
	}
	var err error
	versions := map[int]kmswire.Version{4: kmswire.V4, 5: kmswire.V5, 6: kmswire.V6}
	like.Version = versions[r.version]
	switch {
	case r.clients < 1 || r.clients > maxClients:
		err = fmt.Errorf("-clients %d: from 1 to %d", r.clients, maxClients)
	case r.rounds < 1 || r.rounds > maxRounds:
		err = fmt.Errorf("-rounds %d: from 1 to %d", r.rounds, maxRounds)
	case r.parallel < 1 || r.parallel > 1000:
		err = fmt.Errorf("-parallel %d: from 1 to 1000", r.parallel)
	case !like.Version.Known():
		err = fmt.Errorf("-protocol %d: 4, 5 or 6", r.version)
	}
	if err == nil && r.group != "" {
		like.Group, err = config.ParseKey(r.group)
	}
	if err == nil {
		like.Discover, err = discoverer(r.server)
	}
	if err != nil {
		return statusUnknown, err
	}
	fleet := kmsresponder.NewFleet(r.clients, like)
	fleet.Parallel = r.parallel
	var last kmsresponder.Round
	for n := range r.rounds {
		last = fleet.Round(ctx, func(client int, a kmsresponder.Attempt) {
			fmt.Fprintln(stdout, attemptLine(n+1, fleet.Clients[client].Name, a))
		})
		if ctx.Err() != nil {
			return statusUnknown, nil
		}
		fmt.Fprintf(stdout, "round %d: %d of %d clients activated, count %d, in %s\n",
			n+1, last.Activated, r.clients, last.Count, last.Took.Round(time.Millisecond))
	}
	switch last.Activated {
	case r.clients:
		return statusOK, nil
	case 0:
		return statusCritical, nil
	}
	return statusWarning, nil
}

// attemptLine is one attempt of one client in words.
func attemptLine(round int, name string, a kmsresponder.Attempt) string {
	line := fmt.Sprintf("round %d  %s", round, name)
	switch {
	case a.Activated():
		line += fmt.Sprintf("  activated by %s (%s), count %d", a.Host, kmswire.Printable(a.HostID), a.Count)
	case a.Host != "":
		line += fmt.Sprintf("  not yet: %s counts %d clients of the %d that it takes", a.Host, a.Count, a.Threshold)
	default:
		line += fmt.Sprintf("  failed: %s", a.Verdict)
		if a.Err != nil {
			line += ": " + a.Err.Error()
		}
	}
	for _, t := range a.Tries {
		switch {
		case t.Err != nil:
			line += fmt.Sprintf("; %s: %v", t.Host, t.Err)
		case t.HRESULT == kmswire.InvalidData:
			line += fmt.Sprintf("; %s answers %s: has it another -secret, or is it no rehearsal host?", t.Host, t.HRESULT)
		case t.HRESULT != kmswire.OK:
			line += fmt.Sprintf("; %s answers %s", t.Host, t.HRESULT)
		}
	}
	return line
}
