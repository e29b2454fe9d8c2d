package kms

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/coredns/caddy"
	"github.com/coredns/caddy/caddyfile"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	dnsparse "github.com/coredns/coredns/plugin/pkg/parse"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/lint"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"

	"github.com/miekg/dns"
)

// Inspect reads a Corefile as a server that starts does, without starting one: every plugin's setup runs and the chains of
// plugins are tied together, but no callback is called, so that nothing listens, probes or is written. The error is the one
// that the server would end with. What plugins behind kms that have their zone in this process (file, auto, and the lines of
// hosts) say about its names is part of the result; nothing else is asked.
//
// Setups change what CoreDNS has once for a process, that of the hosts plugin starts a ticker which only a server could stop,
// and those of route53 and clouddns, where they are linked, ask their clouds; so this is for a process that serves nobody and
// ends soon. One Inspect runs at a time.
func Inspect(input caddy.Input) (found *lint.Corefile, err error) {
	seen := new(inspection)
	if !inspecting.CompareAndSwap(nil, seen) {
		return nil, errors.New("another Corefile is being inspected")
	}
	defer inspecting.Store(nil)
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, fmt.Errorf("the server would crash: %v", p)
		}
	}()
	if err := caddy.ValidateAndExecuteDirectives(input, nil, true); err != nil {
		return nil, err
	}
	defer seen.release()
	if err := seen.complete(); err != nil {
		return nil, err
	}
	blocks, err := caddyfile.Parse(input.Path(), strings.NewReader(string(input.Body())), dnsserver.Directives)
	if err != nil {
		return nil, err
	}
	return seen.corefile(input.Path(), blocks), nil
}

// inspecting is where setup leaves what it read for the Inspect that runs, as caddy gives the one no way to reach the other.
var inspecting atomic.Pointer[inspection]

// inspection is what the setups of one Inspect left.
type inspection struct{ all []*inspected }

// inspected is one server block with kms in it.
type inspected struct {
	c     *caddy.Controller
	sites []*dnsface.Site

	behind []string       // plugins behind kms
	zones  plugin.Handler // those of them that have their zones in this process; nil: none
	loaded []loader       // those that were told to load zones
}

// loader is the auto plugin: it reads its zones when it is told to, and each of them is looked after by a goroutine until it is
// removed.
type loader interface {
	Walk() error
	Names() []string
	Remove(zone string)
}

// note keeps what setup read, if somebody inspects.
func note(c *caddy.Controller, sites []*dnsface.Site) {
	if i := inspecting.Load(); i != nil {
		i.all = append(i.all, &inspected{c: c, sites: sites})
	}
}

// complete does what remains until a server would listen. The listeners themselves, and what plugins try at their start, are
// left out.
func (i *inspection) complete() error {
	if len(i.all) == 0 {
		return nil
	}
	if _, err := i.all[0].c.Context().MakeServers(); err != nil {
		return err
	}
	for _, s := range i.all {
		if err := checkKeys(s.sites, dnsserver.GetConfig(s.c).TsigSecret); err != nil {
			return plugin.Error(dnsface.Name, err)
		}
		s.tie()
	}
	return nil
}

// tie makes a chain of those plugins behind kms that can be asked without a server: file and hosts read their zones in setup,
// auto when it is told to. Others would ask the network, or wait for what was never started.
func (s *inspected) tie() {
	var zones []plugin.Plugin
	behind := false
	for _, p := range dnsserver.GetConfig(s.c).Plugin {
		name := p(nil).Name()
		if behind && name != "loop" { // which answers nothing but its own
			s.behind = append(s.behind, name)
		}
		if behind && slices.Contains([]string{"file", "auto", "hosts"}, name) {
			zones = append(zones, p)
		}
		behind = behind || name == dnsface.Name
	}
	for _, p := range slices.Backward(zones) {
		s.zones = p(s.zones)
		if l, ok := s.zones.(loader); ok {
			l.Walk() // what it cannot read it logs
			s.loaded = append(s.loaded, l)
		}
	}
}

// release ends what complete began.
func (i *inspection) release() {
	for _, s := range i.all {
		for _, l := range s.loaded {
			for _, zone := range slices.Clone(l.Names()) {
				l.Remove(zone)
			}
		}
	}
}

// corefile puts together what was found. blocks is all server blocks, of which kms may be in some.
func (i *inspection) corefile(path string, blocks []caddyfile.ServerBlock) *lint.Corefile {
	c := &lint.Corefile{File: path, Names: map[string]lint.Name{}}
	for n, b := range blocks {
		server := lint.Server{Directives: map[string][]lint.Line{}}
		for _, key := range b.Keys {
			transport, host := dnsparse.Transport(key)
			hosts, port, _ := plugin.SplitHostPort(host) // InspectServerBlocks was content with it
			for _, h := range hosts {
				server.Zones = append(server.Zones, plugin.Name(h).Normalize())
			}
			if port == "" && transport == "dns" {
				port = dnsserver.Port
			}
			server.Listens = append(server.Listens, transport+"://:"+port)
		}
		for name, tokens := range b.Tokens {
			server.Directives[name] = lines(path, tokens)
		}
		for _, s := range i.all {
			if s.c.ServerBlockIndex == n {
				server.Behind = s.behind
				server.Blocks = s.blocks()
			}
		}
		c.Servers = append(c.Servers, server)
	}
	for _, name := range c.Wanted() {
		for _, s := range i.all {
			if a := s.addresses(name); a != nil {
				c.Names[name] = lint.Name{Below: a}
				break
			}
		}
	}
	return c
}

// lines is the lines of a directive.
func lines(path string, tokens []caddyfile.Token) (all []lint.Line) {
	for i, t := range tokens {
		if i == 0 || t.File != tokens[i-1].File || t.Line != tokens[i-1].Line {
			at := config.Place{File: t.File, Line: t.Line}
			if at.File == "" {
				at.File = path
			}
			all = append(all, lint.Line{Place: at})
		}
		all[len(all)-1].Words = append(all[len(all)-1].Words, t.Text)
	}
	return all
}

// blocks is the kms blocks with what the zones below them say.
func (s *inspected) blocks() (all []lint.Block) {
	for _, site := range s.sites {
		b := lint.Block{Block: site.Block, Places: site.Places, Fall: site.Fall.Zones, Below: map[string]lint.Zone{}}
		for _, z := range site.Zones {
			if below, ok := s.below(config.ServiceName(z)); ok {
				b.Below[z] = below
			}
		}
		all = append(all, b)
	}
	return all
}

// below is what the zone around service says about it; false if no plugin has that zone.
func (s *inspected) below(service string) (z lint.Zone, ok bool) {
	for _, t := range []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeSRV} {
		m := s.ask(service, t)
		if m == nil {
			return lint.Zone{}, false
		}
		for _, rr := range slices.Concat(m.Answer, m.Ns) {
			owner := strings.ToLower(rr.Header().Name)
			switch rr := rr.(type) {
			case *dns.SOA:
				z.MNAME, ok = strings.ToLower(rr.Ns), true
			case *dns.NS:
				ok = true
				if ns := strings.ToLower(rr.Ns); owner == service && !slices.Contains(z.NS, ns) {
					z.NS = append(z.NS, ns)
				}
			case *dns.SRV:
				z.SRV = append(z.SRV, lint.Record{Target: strings.ToLower(rr.Target), Port: rr.Port, Priority: rr.Priority, Weight: rr.Weight})
			}
		}
	}
	return z, ok
}

// addresses is what the zones behind kms say of name; nil if none has it with authority.
func (s *inspected) addresses(name string) *lint.Answer {
	a := new(lint.Answer)
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m := s.ask(name, t)
		if m == nil || !m.Authoritative {
			return nil
		}
		for _, rr := range m.Answer {
			switch rr := rr.(type) {
			case *dns.CNAME:
				if strings.ToLower(rr.Hdr.Name) == name {
					a.Alias = strings.ToLower(rr.Target)
				}
			case *dns.A:
				if ip, ok := netip.AddrFromSlice(rr.A); ok {
					a.Addresses = append(a.Addresses, ip.Unmap())
				}
			case *dns.AAAA:
				if ip, ok := netip.AddrFromSlice(rr.AAAA); ok {
					a.Addresses = append(a.Addresses, ip)
				}
			}
		}
	}
	return a
}

// ask asks the zones behind kms; nil if none answers.
func (s *inspected) ask(name string, t uint16) *dns.Msg {
	if s.zones == nil {
		return nil
	}
	var w asker
	if _, err := s.zones.ServeDNS(context.Background(), &w, new(dns.Msg).SetQuestion(name, t)); err != nil {
		return nil
	}
	return w.answer
}

// asker is who asks the zones: nobody on the network.
type asker struct {
	dns.ResponseWriter
	answer *dns.Msg
}

func (a *asker) LocalAddr() net.Addr  { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53} }
func (a *asker) RemoteAddr() net.Addr { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1024} }

func (a *asker) WriteMsg(m *dns.Msg) error {
	a.answer = m
	return nil
}
