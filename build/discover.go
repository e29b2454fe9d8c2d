package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/kmsresponder"

	"github.com/miekg/dns"
)

// discoverer returns a function that looks up SRV records and their targets' addresses at server (address and port), or at
// the machine's own resolver if server is empty.
func discoverer(server string) (func(ctx context.Context, name string) ([]kmsresponder.SRV, error), error) {
	if server == "" {
		c, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil || len(c.Servers) == 0 {
			return nil, fmt.Errorf("no DNS server in /etc/resolv.conf: name one with -server")
		}
		server = net.JoinHostPort(c.Servers[0], c.Port)
	}
	if _, _, err := net.SplitHostPort(server); err != nil {
		if a, err := netip.ParseAddr(server); err == nil {
			server = net.JoinHostPort(a.String(), "53")
		} else {
			return nil, fmt.Errorf("-server %q: an address and a port, as in 127.0.0.1:1053", server)
		}
	}
	return func(ctx context.Context, name string) ([]kmsresponder.SRV, error) { return discover(ctx, server, name) }, nil
}

// discover asks server for the SRV records of name. A name that does not exist has none, which is no error.
func discover(ctx context.Context, server, name string) ([]kmsresponder.SRV, error) {
	reply, err := exchange(ctx, server, name, dns.TypeSRV)
	if err != nil {
		return nil, err
	}
	addresses := make(map[string][]netip.Addr)
	for _, rr := range reply.Extra {
		addAddress(addresses, rr)
	}
	var all []kmsresponder.SRV
	for _, rr := range reply.Answer {
		s, ok := rr.(*dns.SRV)
		if !ok {
			continue
		}
		target := dns.CanonicalName(s.Target)
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if len(addresses[target]) > 0 {
				break
			}
			reply, err := exchange(ctx, server, target, qtype)
			if err != nil {
				continue // this host may be unreachable; another may not
			}
			for _, rr := range reply.Answer {
				addAddress(addresses, rr)
			}
		}
		all = append(all, kmsresponder.SRV{Target: s.Target, Port: s.Port, Priority: s.Priority, Weight: s.Weight, Addresses: addresses[target]})
	}
	return all, nil
}

func addAddress(to map[string][]netip.Addr, rr dns.RR) {
	var a netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		a, _ = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		a, _ = netip.AddrFromSlice(rr.AAAA)
	default:
		return
	}
	name := dns.CanonicalName(rr.Header().Name)
	if len(to[name]) < config.MaxAddresses {
		to[name] = append(to[name], a.Unmap())
	}
}

// exchange asks by UDP and, if the answer does not fit, by TCP.
func exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.SetEdns0(1232, false)
	var reply *dns.Msg
	for _, network := range []string{"udp", "tcp"} {
		var err error
		if reply, _, err = (&dns.Client{Net: network}).ExchangeContext(ctx, m, server); err != nil {
			return nil, fmt.Errorf("asking %s for %s %s: %w", server, name, dns.TypeToString[qtype], err)
		}
		if !reply.Truncated {
			break
		}
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("%s answers %s for %s %s", server, dns.RcodeToString[reply.Rcode], name, dns.TypeToString[qtype])
	}
	return reply, nil
}
