package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/miekg/dns"
)

// checkServers is "kms import -check": it asks both servers and prints what differs.
func checkServers(ctx context.Context, o importOptions, stdout io.Writer) (exitStatus, error) {
	service := config.ServiceName(o.zone)
	var was, is answered
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { was, errs[0] = askServer(ctx, o.args[0], service) })
	wg.Go(func() { is, errs[1] = askServer(ctx, o.args[1], service) })
	wg.Wait()
	switch err := errors.Join(errs[:]...); {
	case err != nil:
		return statusUnknown, err
	case len(was.services)+len(is.services) == 0:
		return statusUnknown, fmt.Errorf("neither %s nor %s has a record of %s: is it the right zone?", was.Server, is.Server, service)
	}
	found := compareAnswers(was, is, nil, o.licensed)
	if o.prober != nil {
		found = compareAnswers(was, is, probeDifferent(ctx, *o.prober, was, is, found), o.licensed)
	}
	if ctx.Err() != nil {
		return statusUnknown, ctx.Err()
	}
	s := weigh(found)
	if o.asJSON {
		return s, printJSON(stdout, struct {
			Version int        `json:"version"`
			Status  string     `json:"status"`
			Service string     `json:"service"`
			Old     answered   `json:"old"`
			New     answered   `json:"new"`
			Hosts   []compared `json:"hosts"`
		}{1, s.String(), service, was, is, found})
	}
	return s, writeCompared(stdout, s, was, is, found)
}

// answered is what a server says about a service name.
type answered struct {
	Server    string `json:"server"`
	TTL       uint32 `json:"ttl"` // of the SRV records
	services  []*dns.SRV
	addresses map[string]targetAnswer
}

// A targetAnswer is what a server says about the addresses of a target.
type targetAnswer struct {
	name      string       // where aliases led, if the server said so
	addresses []netip.Addr // ascending
	err       error        // the server does not answer for that name
}

// askServer asks for the records of service and for the addresses of their targets.
func askServer(ctx context.Context, server, service string) (answered, error) {
	a := answered{Server: server, addresses: make(map[string]targetAnswer)}
	reply, err := exchange(ctx, server, service, dns.TypeSRV)
	if err != nil {
		return a, err
	}
	for _, rr := range reply.Answer {
		if srv, ok := rr.(*dns.SRV); ok && len(a.services) < maxServices {
			if srv.Target, err = canonicalName(srv.Target); err != nil {
				return a, err
			}
			a.TTL = srv.Hdr.Ttl
			a.services = append(a.services, srv)
			a.addresses[srv.Target] = targetAnswer{}
		}
	}
	extra := make(map[string][]netip.Addr)
	for _, rr := range reply.Extra {
		addAddress(extra, rr)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	places := make(chan struct{}, probe.InFlight)
	for _, srv := range a.services {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t := askTarget(ctx, server, srv.Target)
			if t.err != nil && len(extra[srv.Target]) > 0 { // it answers for the service name alone
				t.addresses, t.err = ordered(extra[srv.Target]), nil
			}
			mu.Lock()
			defer mu.Unlock()
			a.addresses[srv.Target] = t
		})
	}
	wg.Wait()
	return a, nil
}

// askTarget asks for the addresses of name.
func askTarget(ctx context.Context, server, name string) targetAnswer {
	t := targetAnswer{name: name}
	z := &zoneContents{}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		reply, err := exchange(ctx, server, name, qtype)
		if err != nil {
			return targetAnswer{name: name, err: err}
		}
		for _, rr := range reply.Answer {
			if err := z.add(rr); err != nil {
				return targetAnswer{name: name, err: err}
			}
		}
		if !reply.Authoritative && len(reply.Answer) == 0 && !reply.RecursionAvailable {
			return targetAnswer{name: name, err: fmt.Errorf("%s is not the server for %s", server, name)}
		}
	}
	t.name, _ = z.follow(name)
	if t.name != name && len(z.addresses[t.name]) == 0 {
		t.err = fmt.Errorf("%s does not say where %s leads in the end", server, name)
	}
	t.addresses = ordered(z.addresses[t.name])
	return t
}

// ordered is all in ascending order, each once. Records that share a slice may be sorted at the same time: it is a copy.
func ordered(all []netip.Addr) []netip.Addr {
	return slices.Compact(slices.SortedFunc(slices.Values(all), netip.Addr.Compare))
}

// probeDifferent asks the hosts that are among the differences whether they serve: most differences come of that.
func probeDifferent(ctx context.Context, prober probe.Prober, was, is answered, found []compared) map[string]probe.Result {
	results := make(map[string]probe.Result)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range found {
		h, err := config.ParseHost(c.Host)
		if c.Finding == foundSame || err != nil {
			continue
		}
		addresses := cmp.Or(was.find(h.Name), is.find(h.Name), &targetAnswer{}).addresses
		wg.Go(func() {
			r := probeKnown(ctx, prober, h, addresses)
			mu.Lock()
			defer mu.Unlock()
			results[c.Host] = r
		})
	}
	wg.Wait()
	return results
}

// find is what a said about the target that is or leads to name, if it knows addresses of it.
func (a answered) find(name string) *targetAnswer {
	for _, t := range a.addresses {
		if t.name == name && len(t.addresses) > 0 {
			return &t
		}
	}
	return nil
}

// writeCompared prints a line with the status, then one for each host.
func writeCompared(w io.Writer, s exitStatus, was, is answered, found []compared) error {
	n := make(map[string]int)
	for _, c := range found {
		n[c.mark()]++
	}
	fmt.Fprintf(w, "KMS %s - of %d records %d are the same, %d differ as is to be expected, %d differ\n", s, len(found), n["same"], n["expected"], n["DIFFERS"])
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range found {
		fmt.Fprintf(columns, "%s\t%s\t%s\n", c.mark(), inComment(c.Host), inComment(strings.Join(c.Words, "; ")))
	}
	fmt.Fprintf(columns, "ttl\told %s: %s\tnew %s: %s\n", was.Server, seconds(was.TTL), is.Server, seconds(is.TTL))
	return columns.Flush()
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }
