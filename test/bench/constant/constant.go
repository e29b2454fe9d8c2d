// Package constant is a CoreDNS plugin that does as little as a plugin can: it finds a reply made beforehand and passes it to
// WriteMsg, as plugins do, or to Write, as octets. What it costs then is what CoreDNS costs.
package constant

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"slices"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"

	"github.com/miekg/dns"
)

func init() { plugin.Register("constant", setup) }

// setup reads "constant FILE ZONE", and "constant FILE ZONE octets".
func setup(c *caddy.Controller) error {
	h := handler{messages: make(map[string]*dns.Msg)}
	for c.Next() {
		args := c.RemainingArgs()
		packed := len(args) == 3 && args[2] == "octets"
		if len(args) != 2 && !packed {
			return plugin.Error("constant", c.ArgErr())
		}
		if err := h.load(args[0], dns.Fqdn(args[1])); err != nil {
			return plugin.Error("constant", err)
		}
		if packed {
			if err := h.pack(); err != nil {
				return plugin.Error("constant", err)
			}
		}
	}
	dnsserver.GetConfig(c).AddPlugin(func(plugin.Handler) plugin.Handler { return h })
	return nil
}

// handler is the replies, by the name asked for.
type handler struct {
	messages map[string]*dns.Msg
	octets   map[string][]byte // the same; nil if messages are to be written
}

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
			m := h.messages[name]
			if m == nil {
				m = &dns.Msg{Question: []dns.Question{{Name: name, Qtype: dns.TypeSRV, Qclass: dns.ClassINET}}}
				m.Response, m.Authoritative = true, true
				h.messages[name] = m
			}
			m.Answer = append(m.Answer, rr)
		}
	}
	for _, m := range h.messages {
		for _, rr := range m.Answer {
			m.Extra = append(m.Extra, addresses[rr.(*dns.SRV).Target]...)
		}
		m.Extra = slices.Clip(m.Extra) // the server appends to it, for many queries at once
	}
	return z.Err()
}

// pack makes octets of the messages: compressed, and with the OPT record that every reply to dnsperf -e has.
func (h *handler) pack() (err error) {
	h.octets = make(map[string][]byte)
	for name, m := range h.messages {
		m := m.Copy()
		m.SetEdns0(4096, false)
		m.Compress = true
		if h.octets[name], err = m.Pack(); err != nil {
			return err
		}
	}
	return nil
}

// Name implements plugin.Handler.
func (h handler) Name() string { return "constant" }

// ServeDNS implements plugin.Handler.
func (h handler) ServeDNS(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	name := r.Question[0].Name
	if packed, ok := h.octets[name]; ok {
		out := bytes.Clone(packed)
		binary.BigEndian.PutUint16(out, r.Id)
		if r.RecursionDesired {
			out[2] |= 1
		}
		_, err := w.Write(out)
		return dns.RcodeSuccess, err
	}
	made, ok := h.messages[name]
	if !ok {
		return dns.RcodeRefused, nil
	}
	m := *made
	m.Id, m.RecursionDesired = r.Id, r.RecursionDesired
	return dns.RcodeSuccess, w.WriteMsg(&m)
}
