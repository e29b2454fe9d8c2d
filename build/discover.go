package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/discover"
	"github.com/coredns-kms/coredns-kms/kmsresponder"

	"github.com/miekg/dns"
)

// discoverer returns a function that looks up SRV records and their targets' addresses at server (address and port), or at
// the machine's own resolver if server is empty.
func discoverer(server string) (func(ctx context.Context, name string) ([]kmsresponder.SRV, error), error) {
	if server == "" {
		m, err := discover.ThisMachine(resolvConf)
		if err != nil || len(m.Servers) == 0 {
			return nil, fmt.Errorf("no DNS server in %s: name one with -server", resolvConf)
		}
		server = m.Servers[0]
	}
	server, err := parseServer(server)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, name string) ([]kmsresponder.SRV, error) {
		return lookUpHosts(ctx, server, name)
	}, nil
}

// resolvConf is where a machine's DNS servers are.
const resolvConf = "/etc/resolv.conf"

// parseServer reads a DNS server as a flag has it, and returns its address and port.
func parseServer(text string) (string, error) {
	if host, port, err := net.SplitHostPort(text); err == nil && host != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		_, noAddress := netip.ParseAddr(host)
		_, noName := canonicalName(host)
		if err == nil && n > 0 && (noAddress == nil || noName == nil) {
			return text, nil
		}
	} else if a, err := netip.ParseAddr(text); err == nil {
		return net.JoinHostPort(a.String(), "53"), nil
	}
	return "", fmt.Errorf("-server %q: an address and a port from 1 to 65535, as in 127.0.0.1:1053", text)
}

// lookUpHosts asks server for the SRV records of name. A name that does not exist has none, which is no error; one that is there
// without any is kmsresponder.ErrNoData.
func lookUpHosts(ctx context.Context, server, name string) ([]kmsresponder.SRV, error) {
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
		all = append(all, kmsresponder.SRV{Target: s.Target, Port: s.Port, Priority: s.Priority, Weight: s.Weight,
			Addresses: addresses[target]})
	}
	if len(all) == 0 && reply.Rcode == dns.RcodeSuccess {
		return nil, kmsresponder.ErrNoData
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

// exchange asks server, and takes records or that there are none for an answer.
func exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	reply, err := discover.Exchange(ctx, server, name, qtype)
	if err != nil {
		return nil, fmt.Errorf("asking %s for %s %s: %w", server, name, dns.TypeToString[qtype], err)
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("%s answers %s for %s %s", server, dns.RcodeToString[reply.Rcode], name, dns.TypeToString[qtype])
	}
	return reply, nil
}
