package kms

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/durations"

	"github.com/coredns-kms/coredns-kms/internal/config"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"

	"github.com/miekg/dns"
)

// parse reads every kms block of a server block. Its errors name the file and the line, what is wrong and what would be
// right.
func parse(c *caddy.Controller) ([]*dnsface.Site, error) {
	var sites []*dnsface.Site
	for c.Next() {
		p := blockParser{c: c, site: &dnsface.Site{Block: config.Default(), Places: config.Places{}}}
		p.stands("kms")
		if err := p.block(); err != nil {
			return nil, err
		}
		for _, earlier := range sites {
			for _, z := range p.site.Zones {
				if slices.ContainsFunc(earlier.Zones, func(e string) bool { return config.ServiceName(e) == config.ServiceName(z) }) {
					return nil, c.Errf("zone %q stands in two kms blocks of one server block: put its hosts into one", z)
				}
			}
		}
		sites = append(sites, p.site)
	}
	return sites, nil
}

// blockParser reads one block into site.
type blockParser struct {
	c    *caddy.Controller
	site *dnsface.Site
}

// stands notes that what stands where the parser is.
func (p *blockParser) stands(what string) {
	p.site.Places[what] = config.Place{File: p.c.File(), Line: p.c.Line()}
}

func (p *blockParser) block() error {
	if err := p.zones(p.c.RemainingArgs()); err != nil {
		return err
	}
	for p.c.NextBlock() {
		if err := p.property(); err != nil {
			return err
		}
	}
	// Each property was checked where it stands; what is left concerns the block as a whole.
	if err := p.site.CheckNames(); err != nil {
		return p.c.Err(err.Error())
	}
	if err := p.site.Block.Validate(); err != nil {
		return p.invalid("", err)
	}
	return nil
}

// invalid is err, of Validate, with words in front of it and the line of what it is about, if it says so; else the parser's.
func (p *blockParser) invalid(words string, err error) error {
	var m config.Misplaced
	if errors.As(err, &m) {
		if at, ok := p.site.Places[m.What]; ok {
			return fmt.Errorf("%s:%d - Error during parsing: %s%w", at.File, at.Line, words, err) // as Controller.Err has it
		}
	}
	return p.c.Err(words + err.Error())
}

// zones takes the zones of the directive or, without any, those of the server block.
func (p *blockParser) zones(args []string) error {
	for _, a := range args {
		if len(plugin.Host(a).NormalizeExact()) == 0 {
			return p.c.Errf("%q is not a zone: a domain name, as in corp.example.org", a)
		}
	}
	known := make(map[string]bool)
	for _, z := range plugin.OriginsFromArgsOrServerBlock(args, p.c.ServerBlockKeys) {
		if !plugin.Zones(origins(p.c)).Contains(z) {
			return p.c.Errf("zone %q is not in the zones of its server block (%s): no question for it would come here",
				z, strings.Join(origins(p.c), ", "))
		}
		if len(config.ServiceName(z)) > 254 {
			return p.c.Errf("zone %q is too long: _vlmcs._tcp in it would be no domain name", z)
		}
		if known[z] {
			if len(args) > 0 {
				return p.c.Errf("zone %q twice in one kms block", z)
			}
			continue // one zone on several ports or transports
		}
		known[z] = true
		p.site.Zones = append(p.site.Zones, z)
	}
	return nil
}

// origins is the zones of the server block.
func origins(c *caddy.Controller) []string {
	return plugin.OriginsFromArgsOrServerBlock(nil, c.ServerBlockKeys)
}

// properties of a kms block, in the order of the manual.
var properties = []string{"host", "ttl", "probe", "all_down", "responder", "rehearse", "update", "ns", "store", "control", "status", "fallthrough"}

func (p *blockParser) property() error {
	name := p.c.Val()
	if name != "host" && name != "rehearse" && slices.Contains(properties, name) {
		if at, twice := p.site.Places[name]; twice {
			return p.c.Errf("%s stands twice, first on line %d: leave one", name, at.Line)
		}
		p.stands(name)
	}
	args := p.c.RemainingArgs()
	switch name {
	case "responder":
		return p.responder(args)
	case "rehearse":
		return p.rehearse(args)
	case "update":
		return p.update(args)
	}
	read, ok := map[string]func([]string) error{
		"host": p.host, "ttl": p.ttl, "probe": p.probe, "all_down": p.allDown,
		"ns": p.ns, "store": p.store, "control": p.control, "status": p.status, "fallthrough": p.fallThrough,
	}[name]
	if !ok {
		return p.c.Errf("unknown property %q: one of %s", name, strings.Join(properties, ", "))
	}
	if err := read(args); err != nil {
		return err
	}
	if p.c.NextArg() {
		return p.c.Errf("%s has no block of its own: unexpected %q", name, p.c.Val())
	}
	return nil
}

// inner reads the block of a property, if it has one: a line for each option, which set takes by its name. Each but repeat
// may stand once.
func (p *blockParser) inner(of, repeat string, set map[string]func(args []string) error) error {
	if !p.c.NextArg() {
		return nil // what RemainingArgs leaves on the line is an opening brace
	}
	seen := make(map[string]bool)
	for p.c.Next() {
		name := p.c.Val()
		if name == "}" {
			return nil
		}
		read, ok := set[name]
		switch {
		case !ok:
			return p.c.Errf("%s: unknown option %q: one of %s", of, name, strings.Join(slices.Sorted(maps.Keys(set)), ", "))
		case seen[name] && name != repeat:
			return p.c.Errf("%s: %s twice", of, name)
		}
		seen[name] = true
		p.stands(of + " " + name)
		if err := read(p.c.RemainingArgs()); err != nil {
			return p.c.Errf("%s: %v", of, err)
		}
	}
	return p.c.Errf("%s: the block is not closed: } is missing", of)
}

// host reads NAME[:PORT] [priority N] [weight N] [address IP]... [key GROUP].
func (p *blockParser) host(args []string) error {
	if len(args) == 0 {
		return p.c.Err("host without a name: host NAME[:PORT], as in \"host kms1.example.org\"")
	}
	h, err := config.ParseHost(args[0])
	if err != nil {
		return p.c.Errf("host %v", err)
	}
	byAddress := h.Name == ""
	err = options("host "+args[0], args[1:], "address", map[string]func(string) error{
		"priority": func(v string) (err error) { h.Priority, err = number16("priority", v); return },
		"weight":   func(v string) (err error) { h.Weight, err = number16("weight", v); return },
		"key":      func(v string) (err error) { h.Key, err = config.ParseKey(v); return },
		"address": func(v string) error {
			if byAddress {
				return fmt.Errorf("address beside a host that is given by its address: give its name, or leave the address out")
			}
			a, err := netip.ParseAddr(v)
			if err != nil {
				return fmt.Errorf("address %q: an IP address, as in 192.0.2.10 or 2001:db8::10", v)
			}
			h.Addresses = append(h.Addresses, a.Unmap())
			return nil
		},
	})
	if err != nil {
		return p.c.Err(err.Error())
	}
	if err := h.Validate(); err != nil {
		return p.c.Err(err.Error())
	}
	for _, earlier := range p.site.Hosts {
		if earlier.Endpoint() == h.Endpoint() {
			return p.c.Errf("duplicate host %q: each host and port stands once", h.Endpoint())
		}
	}
	p.site.Hosts = append(p.site.Hosts, h)
	p.stands("host " + h.Endpoint())
	return nil
}

func (p *blockParser) ttl(args []string) error {
	if len(args) != 1 {
		return p.c.Err("ttl DURATION, as in \"ttl 30s\"")
	}
	d, err := duration("ttl", args[0])
	if err == nil {
		err = config.ValidateTTL(d)
	}
	if err != nil {
		return p.c.Err(err.Error())
	}
	p.site.TTL = d
	return nil
}

// probe reads rpc|tcp [interval D] [timeout D] [rise N] [fall N].
func (p *blockParser) probe(args []string) error {
	if len(args) == 0 {
		return p.c.Err("probe without a kind: probe rpc|tcp [interval D] [timeout D] [rise N] [fall N]")
	}
	to := &p.site.Probe
	kind, err := config.ParseProbeKind(args[0])
	if err != nil {
		return p.c.Err(err.Error())
	}
	to.Kind = kind
	err = options("probe "+args[0], args[1:], "", map[string]func(string) error{
		"interval": func(v string) (err error) { to.Interval, err = duration("interval", v); return },
		"timeout":  func(v string) (err error) { to.Timeout, err = duration("timeout", v); return },
		"rise":     func(v string) (err error) { to.Rise, err = number("rise", v); return },
		"fall":     func(v string) (err error) { to.Fall, err = number("fall", v); return },
	})
	if err == nil {
		err = to.Validate()
	}
	if err != nil {
		return p.c.Err(err.Error())
	}
	return nil
}

func (p *blockParser) allDown(args []string) (err error) {
	if len(args) != 1 {
		return p.c.Err("all_down serve|nodata|servfail")
	}
	if p.site.AllDown, err = config.ParseAllDown(args[0]); err != nil {
		return p.c.Err(err.Error())
	}
	return nil
}

func (p *blockParser) fallThrough(args []string) error {
	for _, a := range args {
		if _, ok := dns.IsDomainName(a); !ok {
			return p.c.Errf("fallthrough %q: a zone, as in corp.example.org", a)
		}
	}
	p.site.Fall.SetZonesFromArgs(args)
	return nil
}

// options reads pairs of a word and its value; each word but repeat may stand once.
func options(of string, args []string, repeat string, set map[string]func(value string) error) error {
	seen := make(map[string]bool)
	for i := 0; i < len(args); i += 2 {
		word := args[i]
		f, ok := set[word]
		switch {
		case !ok:
			return fmt.Errorf("%s: unknown option %q: one of %s", of, word, strings.Join(slices.Sorted(maps.Keys(set)), ", "))
		case i+1 == len(args):
			return fmt.Errorf("%s: %s without a value", of, word)
		case seen[word] && word != repeat:
			return fmt.Errorf("%s: %s twice", of, word)
		}
		seen[word] = true
		if err := f(args[i+1]); err != nil {
			return fmt.Errorf("%s: %w", of, err)
		}
	}
	return nil
}

func number16(what, v string) (uint16, error) {
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s %q: a whole number from 0 to 65535", what, v)
	}
	return uint16(n), nil
}

func number(what, v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("%s %q: a whole number", what, v)
	}
	return n, nil
}

func duration(what, v string) (d time.Duration, err error) {
	if d, err = durations.NewDurationFromArg(v); err != nil {
		return 0, fmt.Errorf("%s %q: a duration, as in 10s or 1m30s", what, v)
	}
	return d, nil
}
