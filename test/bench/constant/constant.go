// Package constant is a CoreDNS plugin that does as little as a plugin can: it finds a reply made beforehand and passes it to
// WriteMsg. What it costs is what CoreDNS costs, the ceiling for every plugin that answers the same.
package constant

import (
	"context"
	"os"
	"slices"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"

	"github.com/miekg/dns"
)

func init() { plugin.Register("constant", setup) }

// setup reads "constant FILE ZONE".
func setup(c *caddy.Controller) error {
	h := handler{}
	for c.Next() {
		args := c.RemainingArgs()
		if len(args) != 2 {
			return plugin.Error("constant", c.ArgErr())
		}
		if err := h.load(args[0], dns.Fqdn(args[1])); err != nil {
			return plugin.Error("constant", err)
		}
	}
	dnsserver.GetConfig(c).AddPlugin(func(plugin.Handler) plugin.Handler { return h })
	return nil
}

// handler is the replies, by the name asked for.
type handler map[string]*dns.Msg

// load makes a reply for each name that has SRV records, with the A records of their targets in the additional section.
func (h handler) load(file, zone string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	addresses := make(map[string][]dns.RR)
	z := dns.NewZoneParser(f, zone, file)
	for rr, ok := z.Next(); ok; rr, ok = z.Next() {
		name := rr.Header().Name
		switch rr.(type) {
		case *dns.A:
			addresses[name] = append(addresses[name], rr)
		case *dns.SRV:
			if h[name] == nil {
				h[name] = &dns.Msg{Question: []dns.Question{{Name: name, Qtype: dns.TypeSRV, Qclass: dns.ClassINET}}}
				h[name].Response, h[name].Authoritative = true, true
			}
			h[name].Answer = append(h[name].Answer, rr)
		}
	}
	for _, m := range h {
		for _, rr := range m.Answer {
			m.Extra = append(m.Extra, addresses[rr.(*dns.SRV).Target]...)
		}
		m.Extra = slices.Clip(m.Extra) // the server appends to it, for many queries at once
	}
	return z.Err()
}

// Name implements plugin.Handler.
func (h handler) Name() string { return "constant" }

// ServeDNS implements plugin.Handler.
func (h handler) ServeDNS(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	made, ok := h[r.Question[0].Name]
	if !ok {
		return dns.RcodeRefused, nil
	}
	m := *made
	m.Id, m.RecursionDesired = r.Id, r.RecursionDesired
	return dns.RcodeSuccess, w.WriteMsg(&m)
}
