package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/probe"

	"github.com/miekg/dns"
)

// A finding is how two servers' answers about one host relate.
type finding string

const (
	foundSame    finding = "same"
	foundMissing finding = "missing"   // the new server has it not
	foundExtra   finding = "extra"     // the old server has it not
	foundChanged finding = "changed"   // another priority, weight or name
	foundTwice   finding = "twice"     // the old server has one host several times
	foundMoved   finding = "addresses" // other addresses
)

// compared is what two servers say about one host.
type compared struct {
	Host     string        `json:"host"` // as config.Host.Endpoint has it
	Finding  finding       `json:"finding"`
	Expected bool          `json:"expected"` // it follows from what the new server is for
	Words    []string      `json:"words,omitempty"`
	Result   *probe.Result `json:"result,omitempty"`
}

// mark is the word at the beginning of a line.
func (c compared) mark() string {
	switch {
	case c.Finding == foundSame:
		return "same"
	case c.Expected:
		return "expected"
	}
	return "DIFFERS"
}

// weigh is the status of all findings together.
func weigh(found []compared) exitStatus {
	s := statusOK
	for _, c := range found {
		switch c.mark() {
		case "expected":
			s = max(s, statusWarning)
		case "DIFFERS":
			return statusCritical
		}
	}
	return s
}

// hostOf is the host that srv is about, under the name to which a says that its target leads.
func (a answered) hostOf(srv *dns.SRV) config.Host {
	name := cmp.Or(a.addresses[srv.Target].name, srv.Target)
	return config.Host{Name: name, Port: srv.Port, Priority: srv.Priority, Weight: srv.Weight}
}

// compareAnswers compares what the old and the new server said. probed is by endpoint and may lack any host; without a probe
// a missing or later host is not to be expected.
func compareAnswers(was, is answered, probed map[string]probe.Result, licensed licenses) []compared {
	var all []compared
	now := make(map[string]*dns.SRV)
	for _, srv := range is.services {
		now[is.hostOf(srv).Endpoint()] = srv
	}
	before := slices.Clone(was.services)
	slices.SortStableFunc(before, func(a, b *dns.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Target, b.Target))
	})
	seen := make(map[string]bool)
	for _, srv := range before {
		h := was.hostOf(srv)
		c := compared{Host: h.Endpoint()}
		if r, ok := probed[c.Host]; ok {
			c.Result = &r
		}
		other, there := now[c.Host]
		switch {
		case seen[c.Host]:
			c.Result = nil
			c.say(foundTwice, true, "the old server has it again, with priority %d weight %d", h.Priority, h.Weight)
		case !there:
			c.missing(h, licensed.has(h.Name, srv.Target))
		default:
			c.both(h, is.hostOf(other))
			c.moved(was.addresses[srv.Target], is.addresses[other.Target])
			if srv.Target != other.Target && c.Finding == foundSame {
				c.say(foundChanged, true, "the old server names %s, an alias, which RFC 2782 forbids", srv.Target)
			}
		}
		seen[c.Host] = true
		all = append(all, c)
	}
	for _, srv := range is.services {
		if h := is.hostOf(srv); !seen[h.Endpoint()] {
			seen[h.Endpoint()] = true
			c := compared{Host: h.Endpoint()}
			if r, ok := probed[c.Host]; ok {
				c.Result = &r
			}
			c.say(foundExtra, false, "only the new server has it, with priority %d weight %d%s", h.Priority, h.Weight, c.probed())
			all = append(all, c)
		}
	}
	return all
}

func (c *compared) say(f finding, expected bool, format string, args ...any) {
	c.Finding, c.Expected = f, expected
	c.Words = append(c.Words, fmt.Sprintf(format, args...))
}

// probed is what the probe says, to follow other words.
func (c *compared) probed() string {
	if c.Result == nil {
		return ""
	}
	return fmt.Sprintf("; asked now: %s", c.Result)
}

// missing says why the new server may not have h.
func (c *compared) missing(h config.Host, licensed bool) {
	if err := h.Validate(); err != nil {
		c.say(foundMissing, true, "missing: it cannot stand in a Corefile: %v", err)
		return
	}
	stale := false
	if c.Result != nil {
		stale, _ = isStale(*c.Result)
	}
	switch {
	case !licensed:
		c.say(foundMissing, true, "missing: not a licensed host of the list%s", c.probed())
	case stale:
		c.say(foundMissing, true, "missing, as it should be: it is dead: %s", c.Result)
	default:
		c.say(foundMissing, false, "missing: the old server has it with priority %d weight %d%s", h.Priority, h.Weight, c.probed())
	}
}

// both compares the records of a host that both have.
func (c *compared) both(was, is config.Host) {
	if was.Priority == is.Priority && was.Weight == is.Weight {
		c.say(foundSame, true, "priority %d weight %d", is.Priority, is.Weight)
		return
	}
	stale := false
	if c.Result != nil {
		stale, _ = isStale(*c.Result)
	}
	if stale && is.Priority > was.Priority && is.Weight == was.Weight {
		c.say(foundChanged, true, "priority %d instead of %d: it is suspect and behind the others: %s", is.Priority, was.Priority, c.Result)
		return
	}
	c.say(foundChanged, false, "priority %d weight %d instead of priority %d weight %d%s", is.Priority, is.Weight, was.Priority, was.Weight, c.probed())
}

// moved compares the addresses of a host, if both servers answer for its name.
func (c *compared) moved(was, is targetAnswer) {
	switch {
	case was.err != nil || is.err != nil:
		c.Words = append(c.Words, fmt.Sprintf("addresses not compared: %v", cmp.Or(is.err, was.err)))
	case !slices.Equal(was.addresses, is.addresses):
		c.say(foundMoved, false, "addresses %v instead of %v", is.addresses, was.addresses)
	}
}
