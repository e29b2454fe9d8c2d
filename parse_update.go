package kms

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coredns/coredns/plugin"

	"github.com/coredns-kms/coredns-kms/internal/config"
	dnsface "github.com/coredns-kms/coredns-kms/plugin"

	"github.com/miekg/dns"
)

// update reads the block of those who may announce hosts.
func (p *blockParser) update(args []string) error {
	if len(args) > 0 {
		return p.c.Err("update { ... }: who may announce hosts stands in its block")
	}
	u := config.DefaultUpdate()
	err := p.inner("update", "key", map[string]func([]string) error{
		"allow": func(args []string) error { return updateAllow(&u, args) },
		"port":  func(args []string) error { return updatePorts(&u, args) },
		"key": func(args []string) error {
			if err := updateKey(&u, args); err != nil {
				return err
			}
			p.stands("update key " + u.Keys[len(u.Keys)-1].Name)
			return nil
		},
		"lease": one("lease DURATION", func(v string) (err error) { u.Lease, err = duration("lease", v); return }),
		"max":   one("max N", func(v string) (err error) { u.Max, err = number("max", v); return }),
		"observe": func(args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("observe: no value")
			}
			u.Observe = true
			return nil
		},
	})
	if err != nil {
		return err
	}
	if err := u.Validate(); err != nil {
		return p.invalid("update: ", err)
	}
	p.site.Update = &u
	return nil
}

// updateAllow reads CIDR... [target PATTERN...].
func updateAllow(u *config.Update, args []string) (err error) {
	networks, patterns := args, []string(nil)
	if i := slices.Index(args, "target"); i >= 0 {
		networks, patterns = args[:i], args[i+1:]
		if len(patterns) == 0 {
			return fmt.Errorf("allow: target without a value")
		}
	}
	for _, p := range patterns {
		u.Targets = append(u.Targets, absolute(p))
	}
	u.Allow, err = prefixes("allow", networks)
	return err
}

// updatePorts reads N...
func updatePorts(u *config.Update, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("port N..., as in \"port 1688\": the ports that may be announced")
	}
	for _, a := range args {
		n, err := number16("port", a)
		if err != nil || n == 0 {
			return fmt.Errorf("port %q: a whole number from 1 to 65535", a)
		}
		u.Ports = append(u.Ports, n)
	}
	return nil
}

// updateKey reads NAME [from CIDR...] [target PATTERN...].
func updateKey(u *config.Update, args []string) (err error) {
	const usage = "key NAME [from CIDR...] [target PATTERN...]"
	if len(args) == 0 {
		return fmt.Errorf("key without a name: %s", usage)
	}
	if _, ok := dns.IsDomainName(args[0]); !ok {
		return fmt.Errorf("key %q: the name of a TSIG key, as in kms-update.example.org", args[0])
	}
	k := config.UpdateKey{Name: plugin.Name(args[0]).Normalize()} // as the tsig plugin does
	of := "key " + args[0]
	seen := make(map[string]bool)
	for rest := args[1:]; len(rest) > 0; {
		word, n := rest[0], 1
		for n < len(rest) && rest[n] != "from" && rest[n] != "target" {
			n++
		}
		values := rest[1:n]
		rest = rest[n:]
		switch {
		case word != "from" && word != "target":
			return fmt.Errorf("%s: unknown option %q: one of from, target", of, word)
		case seen[word]:
			return fmt.Errorf("%s: %s twice", of, word)
		case len(values) == 0:
			return fmt.Errorf("%s: %s without a value", of, word)
		}
		seen[word] = true
		if word == "target" {
			for _, v := range values {
				k.Targets = append(k.Targets, absolute(v))
			}
			continue
		}
		if k.From, err = prefixes("from", values); err != nil {
			return fmt.Errorf("%s: %w", of, err)
		}
	}
	u.Keys = append(u.Keys, k)
	return nil
}

// checkKeys says whether the tsig plugin, whose secrets are by absolute, lower-case name, knows the keys of sites. It does
// not know them before OnStartup.
func checkKeys(sites []*dnsface.Site, secrets map[string]string) error {
	for _, s := range sites {
		if s.Update == nil {
			continue
		}
		for _, k := range s.Update.Keys {
			if _, ok := secrets[k.Name]; !ok {
				at := s.Places.Of("update key " + k.Name)
				return fmt.Errorf("%s:%d - Error during parsing: update: key %s: the tsig plugin of this server block has no such key: "+
					"add \"secret %s BASE64\" or \"secrets FILE\" to it", at.File, at.Line, k.Name, k.Name)
			}
		}
	}
	return nil
}

// ns reads the name servers of the zone that _vlmcs._tcp.<zone> becomes.
func (p *blockParser) ns(args []string) error {
	if len(args) == 0 {
		return p.c.Err("ns NAME..., as in \"ns ns1.example.org ns2.example.org\": this server first, then its secondaries")
	}
	for _, a := range args {
		p.site.NS = append(p.site.NS, absolute(a))
	}
	if err := config.ValidateNS(p.site.NS, p.site.Zones); err != nil {
		return p.c.Err(err.Error())
	}
	return nil
}

// absolute is name with a closing dot, in lower case.
func absolute(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) + "." }
