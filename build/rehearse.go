package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

const rehearseUsage = `Usage: coredns kms rehearse -listen ADDRESS [-group GROUP] [-secret TEXT] [-ndr64]
       coredns kms rehearse -domain SUFFIX[,SUFFIX]... [-server ADDRESS] [-clients N]

With -listen it stands in for a KMS host, so that there is something to check and to fail. It
counts clients by the rules of a KMS host and activates nothing: it seals its messages with
the secret of a rehearsal, which no genuine client accepts. Stop it with Ctrl-C to see a host
die.

With -domain it plays Windows clients that are activated by rehearsal hosts: each looks for
_vlmcs._tcp under the suffixes, chooses by priority and weight, asks, and goes on to another
host if that one fails. A client is activated once its host counts 25 clients (5 for servers),
so in the first round the first clients are not, and come again in the second.

Exit status with -domain: 0 if all clients were activated in the last round, 1 if some were,
2 if none was, 3 for a wrong call.

Examples:
  coredns kms rehearse -listen 127.0.0.1:16881
  coredns kms rehearse -domain corp.example.org -server 127.0.0.1:1053 -clients 30

`

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

// rehearse is "kms rehearse".
func rehearse(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var r rehearsal
	flags := flag.NewFlagSet("rehearse", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&r.listen, "listen", "", "be a host: address and port to listen on")
	flags.StringVar(&r.name, "name", "", "host: what it calls itself in its answers")
	d := config.DefaultRehearse("")
	flags.DurationVar(&r.activation, "activation", d.ActivationInterval, "host: when clients that were not activated are to come again")
	flags.DurationVar(&r.renewal, "renewal", d.RenewalInterval, "host: when activated clients are to come again")
	flags.BoolVar(&r.ndr64, "ndr64", false, "host: prefer NDR64, as hosts since Windows 8 and Server 2012 do")
	flags.StringVar(&r.domain, "domain", "", "be clients: DNS suffixes to look under, with commas between")
	flags.StringVar(&r.server, "server", "", "clients: DNS server to ask, address and port (the machine's own if not given)")
	flags.IntVar(&r.clients, "clients", 30, "clients: how many")
	flags.IntVar(&r.rounds, "rounds", 2, "clients: how often each asks")
	flags.IntVar(&r.parallel, "parallel", 1, "clients: how many ask at once")
	flags.IntVar(&r.version, "protocol", 4, "clients: protocol version, 4, 5 or 6; only 4 shows its fields to a responder")
	flags.BoolVar(&r.anyOrder, "vista", false, "clients: choose hosts at random, as Windows Vista does")
	flags.StringVar(&r.group, "group", "", "host: what its key activates (any); clients: what they are (client-vl)")
	flags.StringVar(&r.secret, "secret", "", "the site's secret, the same for hosts and clients")
	flags.Usage = func() { fmt.Fprint(flags.Output(), rehearseUsage); flags.PrintDefaults() }
	if status, ok := parseFlags(flags, args, stdout); !ok {
		return status
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected %q", flags.Arg(0))
	case r.listen == "" && r.domain == "":
		err = fmt.Errorf("-listen or -domain is missing, as in -listen 127.0.0.1:16881 or -domain corp.example.org")
	case r.listen != "" && r.domain != "":
		err = fmt.Errorf("-listen and -domain: a host or clients, not both in one call")
	}
	if err != nil {
		fmt.Fprintf(stderr, "kms rehearse: %v\n", err)
		return exitUsage
	}
	if r.listen != "" {
		return r.host(ctx, stdout, stderr)
	}
	return r.fleet(ctx, stdout, stderr)
}

// host is a rehearsal host until ctx is done.
func (r rehearsal) host(ctx context.Context, stdout, stderr io.Writer) int {
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
		fmt.Fprintf(stderr, "kms rehearse: %v\n", err)
		return exitUsage
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
		fmt.Fprintf(stderr, "kms rehearse: %v\n", err)
		return 1
	}
	return 0
}

// fleet is clients that ask, round after round.
func (r rehearsal) fleet(ctx context.Context, stdout, stderr io.Writer) int {
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
		fmt.Fprintf(stderr, "kms rehearse: %v\n", err)
		return exitUsage
	}
	fleet := kmsresponder.NewFleet(r.clients, like)
	fleet.Parallel = r.parallel
	var last kmsresponder.Round
	for n := range r.rounds {
		last = fleet.Round(ctx, func(client int, a kmsresponder.Attempt) {
			fmt.Fprintln(stdout, attemptLine(n+1, fleet.Clients[client].Name, a))
		})
		if ctx.Err() != nil {
			return exitUsage
		}
		fmt.Fprintf(stdout, "round %d: %d of %d clients activated, count %d, in %s\n",
			n+1, last.Activated, r.clients, last.Count, last.Took.Round(time.Millisecond))
	}
	switch last.Activated {
	case r.clients:
		return int(statusOK)
	case 0:
		return int(statusCritical)
	}
	return int(statusWarning)
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
		if t.Err != nil {
			line += fmt.Sprintf("; %s: %v", t.Host, t.Err)
		}
	}
	return line
}
