package discover

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// Client is whose part is played, and how.
type Client struct {
	Servers  []string // DNS servers, address and port; the first that answers is what the client goes by
	Suffixes []Suffix // under which it looks, in order
	Search   []string // what tools on the machine append to a bare name, beside Suffixes

	// Host is a host that was set by hand (slmgr /skms): DNS is then asked for its address only.
	Host string

	AnyOrder bool          // choose at random, as Windows Vista and Server 2008 do
	Prober   probe.Prober  // how hosts are asked
	Patience time.Duration // for one datagram to a DNS server; 0 is two seconds
}

// walk is one Discover under way.
type walk struct {
	Client
	gate   chan struct{} // bounds the questions that are under way
	server string        // the first that answered; "" if none did
	r      Report
}

// atOnce bounds the questions that are under way.
const atOnce = 32

// Discover takes every step that a client takes until ctx is done, and returns what it found, always complete. It may be called
// from several goroutines at once.
func (c Client) Discover(ctx context.Context) Report {
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	w := &walk{Client: c, gate: make(chan struct{}, atOnce)}
	w.r = Report{Version: Version, Servers: slices.Clone(c.Servers[:min(len(c.Servers), MaxServers)]), Steps: []Step{},
		Answers: []Answer{}, Hosts: []Host{}}
	if w.r.Servers == nil {
		w.r.Servers = []string{}
	}
	if c.Host != "" {
		w.r.Suffixes = []Suffix{}
		if len(w.r.Servers) > 0 {
			w.server = w.r.Servers[0]
		}
		w.givenHost(ctx)
		w.conclude(ctx)
		return w.r
	}
	var dropped []string
	w.r.Suffixes, dropped = distinct(c.Suffixes)
	w.suffixSteps(dropped)
	answers := w.askServices(ctx)
	w.serverSteps(ctx, answers)
	w.serviceSteps(ctx, answers)
	w.toolSteps(ctx)
	w.hostSteps(ctx)
	w.conclude(ctx)
	return w.r
}

func (w *walk) step(s Step) { w.r.Steps = append(w.r.Steps, s) }

// each calls do for 0 to n-1 at once and waits.
func each(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

// ask asks one server one question.
func (w *walk) ask(ctx context.Context, server, name string, qtype uint16, recurse bool) reply {
	select {
	case w.gate <- struct{}{}:
		defer func() { <-w.gate }()
	case <-ctx.Done():
		return reply{err: ctx.Err()}
	}
	return exchange(ctx, server, question(name, qtype, recurse), w.Patience)
}

// askServices asks every server for every suffix: answers[suffix][server].
func (w *walk) askServices(ctx context.Context) [][]Answer {
	answers := make([][]Answer, len(w.r.Suffixes))
	for i := range answers {
		answers[i] = make([]Answer, len(w.r.Servers))
	}
	each(len(w.r.Suffixes)*len(w.r.Servers), func(n int) {
		i, j := n/len(w.r.Servers), n%len(w.r.Servers)
		answers[i][j] = w.askService(ctx, w.r.Servers[j], service(w.r.Suffixes[i].Name))
	})
	for _, of := range answers {
		w.r.Answers = append(w.r.Answers, of...)
	}
	return answers
}

const partServers = "DNS servers"

// serverSteps says which servers answer, and chooses the one that a client goes by.
func (w *walk) serverSteps(ctx context.Context, answers [][]Answer) {
	if len(w.r.Servers) == 0 {
		w.step(Step{Part: partServers, Mark: Fail, Code: codeNoServer, Text: "there is none to ask",
			Change: []string{"name one with -server, or put one into resolv.conf; on Windows: Get-DnsClientServerAddress"}})
		return
	}
	if n := len(w.Servers) - len(w.r.Servers); n > 0 {
		w.step(Step{Part: partServers, Mark: Note, Text: fmt.Sprintf("%d more are not asked: at most %d", n, MaxServers)})
	}
	if len(answers) == 0 { // no suffix: there is still the question whether tools find something
		answers = [][]Answer{make([]Answer, len(w.r.Servers))}
		each(len(w.r.Servers), func(j int) { answers[0][j] = w.askService(ctx, w.r.Servers[j], service("")) })
	}
	for j, server := range w.r.Servers {
		first := answers[0][j]
		for i := 1; i < len(answers) && !first.answered(); i++ {
			first = answers[i][j]
		}
		switch {
		case first.answered():
			if w.server == "" {
				w.server = server
			}
			w.step(Step{Part: partServers, Mark: Good, Text: fmt.Sprintf("%s answers in %s", server, milliseconds(seconds(first.RTT)))})
		case first.local:
			w.step(Step{Part: partServers, Mark: Open, Text: first.Error + ": this machine could not ask"})
		default:
			w.step(Step{Part: partServers, Mark: Fail, Text: first.Error, Code: first.Code,
				Change: []string{"see that it runs and that UDP and TCP port 53 are open to it, or take it from the clients' list of DNS " +
					"servers"}})
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// givenHost is the walk of a client that DNS need not tell a host.
func (w *walk) givenHost(ctx context.Context) {
	part := "Host set by hand"
	name, port, err := config.SplitHost(w.Host)
	if err != nil {
		w.step(Step{Part: part, Mark: Fail, Code: codeNoSuffix, Text: harmless(err.Error())})
		return
	}
	h := Host{Record: Record{Port: port, Target: strings.ToLower(strings.TrimSuffix(name, "."))}, Chance: 1, used: true}
	if a, err := netip.ParseAddr(name); err == nil {
		h.Addresses = []Address{{Address: a.Unmap().String(), Given: true}}
	} else if !strings.Contains(h.Target, ".") {
		w.step(Step{Part: part, Mark: Note, Text: fmt.Sprintf("%s is a short name: each client appends a suffix of its own", h.Target)})
		if len(w.Suffixes) > 0 {
			h.Target += "." + strings.Trim(w.Suffixes[0].Name, ".")
		}
	}
	w.step(Step{Part: part, Mark: Good, Text: fmt.Sprintf("%s, as by slmgr /skms: no SRV record is asked for, and no other host "+
		"is tried", h.Endpoint())})
	w.r.Hosts = []Host{h}
	w.hostSteps(ctx)
}
