package kms

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// responder reads [ADDRESS] and the block behind it.
func (p *blockParser) responder(args []string) error {
	r := config.DefaultResponder()
	if len(args) > 1 {
		return p.c.Err("responder [ADDRESS], as in \"responder :1688\"")
	}
	if len(args) == 1 {
		if err := validateListen("responder", args[0]); err != nil {
			return p.c.Err(err.Error())
		}
		r.Address = args[0]
	}
	err := p.inner("responder", "limit", map[string]func([]string) error{
		"allow":     func(args []string) (err error) { r.Allow, err = prefixes("allow", args); return },
		"policy":    one("policy concentrate|spread", func(v string) (err error) { r.Policy, err = config.ParsePolicy(v); return }),
		"warm":      one("warm N", func(v string) (err error) { r.Warm, err = number("warm", v); return }),
		"budget":    one("budget DURATION", func(v string) (err error) { r.Budget, err = duration("budget", v); return }),
		"advertise": func(args []string) (err error) { r.Advertise, err = advertise(args); return },
		"limit": func(args []string) error {
			for i := 0; i < len(args); i += 2 {
				p.stands("responder limit " + args[i])
			}
			return limit(&r, args)
		},
	})
	if err != nil {
		return err
	}
	if err := r.Validate(); err != nil {
		return p.invalid("responder: ", err)
	}
	p.site.Responder = &r
	return nil
}

// rehearse reads ADDRESS and the block behind it.
func (p *blockParser) rehearse(args []string) error {
	if len(args) != 1 {
		return p.c.Err("rehearse ADDRESS, as in \"rehearse 127.0.0.1:16881\"")
	}
	if err := validateListen("rehearse", args[0]); err != nil {
		return p.c.Err(err.Error())
	}
	for _, earlier := range p.site.Rehearse {
		if earlier.Address == args[0] {
			return p.c.Errf("rehearse %s twice", args[0])
		}
	}
	p.stands("rehearse " + args[0])
	r := config.DefaultRehearse(args[0])
	interval := func(what string, d *time.Duration) func([]string) error {
		return one(what+" DURATION", func(v string) (err error) { *d, err = duration(what, v); return })
	}
	err := p.inner("rehearse", "", map[string]func([]string) error{
		"secret":              one("secret TEXT", func(v string) error { r.Secret = v; return nil }),
		"group":               one("group GROUP", func(v string) (err error) { r.Group, err = config.ParseKey(v); return }),
		"activation_interval": interval("activation_interval", &r.ActivationInterval),
		"renewal_interval":    interval("renewal_interval", &r.RenewalInterval),
	})
	if err != nil {
		return err
	}
	if err := r.Validate(); err != nil {
		return p.invalid("rehearse: ", err)
	}
	p.site.Rehearse = append(p.site.Rehearse, r)
	return nil
}

// one is a reader of options that take exactly one value; usage is what the error shows.
func one(usage string, read func(string) error) func([]string) error {
	return func(args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s: one value", usage)
		}
		return read(args[0])
	}
}

func validateListen(what, address string) error {
	host, port, err := net.SplitHostPort(address)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err == nil && host != "" {
		_, err = netip.ParseAddr(host)
	}
	if err != nil || numErr != nil || n == 0 {
		return fmt.Errorf("%s %q: an IP address and a port, as in 127.0.0.1:16881 or :1688", what, address)
	}
	return nil
}

// prefixes reads networks in CIDR notation; a bare address is a network of one. what is the word in front of them.
func prefixes(what string, args []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, a := range args {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			one, addrErr := netip.ParseAddr(a)
			if addrErr != nil {
				return nil, fmt.Errorf("%s %q: a network, as in 10.0.0.0/8 or 2001:db8::/32", what, a)
			}
			p = netip.PrefixFrom(one, one.BitLen())
		}
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("%s %s: an IPv4 network as such, as in 10.0.0.0/8", what, a)
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("%s %s: bits behind the mask: write %s", what, a, p.Masked())
		}
		all = append(all, p)
	}
	return all, nil
}

func advertise(args []string) (a config.Advertise, err error) {
	if len(args) == 0 {
		return a, fmt.Errorf("advertise NAME [priority N] [weight N]")
	}
	a.Name = strings.ToLower(strings.TrimSuffix(args[0], ".")) + "."
	return a, options("advertise "+args[0], args[1:], "", map[string]func(string) error{
		"priority": func(v string) (err error) { a.Priority, err = number16("priority", v); return },
		"weight":   func(v string) (err error) { a.Weight, err = number16("weight", v); return },
	})
}

func limit(r *config.Responder, args []string) error {
	return options("limit", args, "", map[string]func(string) error{
		"connections": func(v string) (err error) { r.Connections, err = number("connections", v); return },
		"client":      func(v string) (err error) { r.PerClient, err = number("client", v); return },
		"rate":        func(v string) (err error) { r.Rate, err = number("rate", v); return },
	})
}
