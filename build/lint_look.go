package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/lint"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/miekg/dns"
)

const (
	lookTime = 5 * time.Second // for one name, as the server gives it
	maxLooks = 32              // names being looked up at once
)

// look finds out what the rules want to know: this machine's addresses, what is at the paths of the Corefile, what the resolver
// says of names, and whether hosts pass the server's probe.
func look(ctx context.Context, c *lint.Corefile) {
	c.Local = localAddresses()
	c.Paths = make(map[string]lint.Path)
	for _, path := range c.Named() {
		if at, ok := lookAt(path); ok {
			c.Paths[path] = at
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	places := make(chan struct{}, maxLooks)
	servers := nameServers("/etc/resolv.conf")
	for _, name := range c.Wanted() {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			a := lookUp(ctx, servers, name)
			mu.Lock()
			defer mu.Unlock()
			known := c.Names[name]
			known.Resolver = a
			c.Names[name] = known
		})
	}
	wg.Wait()

	c.Probes = make(map[string]string)
	gate := make(probe.Gate, probe.InFlight)
	for _, s := range c.Servers {
		for _, b := range s.Blocks {
			prober := probe.Prober{Kind: b.Probe.Kind, Timeout: b.Probe.Timeout, Gate: gate}
			for _, h := range b.Hosts {
				addresses := h.Addresses
				if a := c.Names[h.Name].Resolver; len(addresses) == 0 && a != nil {
					addresses = a.Addresses
				}
				if len(addresses) == 0 {
					continue // which is a finding of its own
				}
				wg.Go(func() {
					r := prober.Probe(ctx, addresses, h.Port)
					mu.Lock()
					defer mu.Unlock()
					if r.Outcome.Verdict() {
						c.Probes[h.Endpoint()] = ""
					}
					if r.Outcome.Verdict() && r.Outcome != probe.Passed {
						c.Probes[h.Endpoint()] = r.String()
					}
				})
			}
		}
	}
	wg.Wait()
}

// lookAt is what is at path; not ok if this user cannot see it.
func lookAt(path string) (at lint.Path, ok bool) {
	dir, err := os.Stat(filepath.Dir(path))
	if at.Directory = err == nil && dir.IsDir(); !at.Directory {
		return at, err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	}
	file, err := os.Stat(path)
	switch {
	case err != nil:
		return at, errors.Is(err, fs.ErrNotExist)
	case file.Mode().IsRegular():
		at.Is = "a file"
	case file.IsDir():
		at.Is = "a directory"
	case file.Mode().Type() == fs.ModeSocket:
		at.Is = "a socket"
	default:
		at.Is = file.Mode().String()
	}
	return at, true
}

// lookUp is what the server would learn of name, and whether it is an alias; nil if the resolver does not answer.
func lookUp(ctx context.Context, servers []string, name string) *lint.Answer {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	addresses, err := probe.NewResolver().Resolve(ctx, name)
	a := &lint.Answer{Addresses: addresses[:min(len(addresses), config.MaxAddresses)]}
	if err != nil {
		unknown := new(net.DNSError)
		a.Local = !errors.As(err, &unknown) // it is no error of the resolver's that its addresses are of no use
		if !a.Local && !unknown.IsNotFound {
			return nil
		}
		a.Err = err.Error()
	}
	a.Alias = aliasOf(ctx, servers, name)
	return a
}

// aliasOf is what the CNAME record of name says; empty if there is none, or nobody answers. The package net would say too what
// a hosts file calls the machine first, which is no alias to DNS.
func aliasOf(ctx context.Context, servers []string, name string) string {
	for _, s := range servers {
		m, err := dns.ExchangeContext(ctx, new(dns.Msg).SetQuestion(name, dns.TypeCNAME), s)
		if err != nil || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			continue
		}
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) {
				return strings.ToLower(c.Target)
			}
		}
		return ""
	}
	return ""
}

// nameServers is the addresses of those that this machine asks; none if it says so nowhere.
func nameServers(path string) (all []string) {
	c, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil
	}
	for _, s := range c.Servers {
		all = append(all, net.JoinHostPort(s, c.Port))
	}
	return all
}

// localAddresses is those of this machine; none if it does not tell.
func localAddresses() (all []netip.Addr) {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range interfaces {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, p.Addr().Unmap())
		}
	}
	return all
}
