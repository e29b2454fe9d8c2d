package plugin

import "github.com/miekg/dns"

// entry is one record of a zone as an UPDATE finds or leaves it.
type entry struct {
	rr     dns.RR // of class IN; its owner name is in lower case
	fixed  string // why no UPDATE changes it, as "a host of the Corefile"; empty for what was announced
	owner  string // who announced it, as registry.Claim has it
	before int    // its place among the entries before the UPDATE; -1 for a new one
	asked  bool   // the UPDATE would add it if it were not there
}

// contents is what a zone has, as far as one UPDATE names it.
type contents struct {
	zone    string // absolute, lower-case
	entries []entry

	// known are the names that the plugin behind has, with whatever records. Only those it was asked for are in entries.
	known map[string]bool
}

func newContents(zone string, known map[string]bool) *contents {
	return &contents{zone: zone, known: known}
}

// put adds e as it is before the UPDATE.
func (c *contents) put(e entry) {
	e.before = len(c.entries)
	c.entries = append(c.entries, e)
}

// set is the records of one name (lower-case) and type.
func (c *contents) set(name string, rrtype uint16) []dns.RR {
	var set []dns.RR
	for i := range c.entries {
		if h := c.entries[i].rr.Header(); h.Rrtype == rrtype && h.Name == name {
			set = append(set, c.entries[i].rr)
		}
	}
	return set
}

// has is whether there is a record of name (lower-case) and type.
func (c *contents) has(name string, rrtype uint16) bool {
	for i := range c.entries {
		if h := c.entries[i].rr.Header(); h.Rrtype == rrtype && h.Name == name {
			return true
		}
	}
	return false
}

// othersClaim is an announcement of the host called target (lower-case) by somebody else than owner, or nil.
func (c *contents) othersClaim(target, owner string) *entry {
	for i := range c.entries {
		e := &c.entries[i]
		srv, ok := e.rr.(*dns.SRV)
		if ok && e.fixed == "" && e.owner != owner && dns.CanonicalName(srv.Target) == target {
			return e
		}
	}
	return nil
}

// claims is how many hosts owner has announced once the UPDATE is carried out.
func (c *contents) claims(owner string) (n int) {
	for _, e := range c.entries {
		if _, ok := e.rr.(*dns.SRV); ok && e.fixed == "" && (e.owner == owner || e.asked) {
			n++
		}
	}
	return n
}

// inUse is whether name (lower-case) has records (RFC 2136 2.4.4).
func (c *contents) inUse(name string) bool {
	if c.known[name] {
		return true
	}
	for i := range c.entries {
		if c.entries[i].rr.Header().Name == name {
			return true
		}
	}
	return false
}

// holds is whether a record with the data of rr is there.
func (c *contents) holds(rr dns.RR) bool {
	for i := range c.entries {
		if sameRecord(c.entries[i].rr, rr) {
			return true
		}
	}
	return false
}

// sameRecord compares everything but TTL and class: in an UPDATE the class says what is to be done.
func sameRecord(a, b dns.RR) bool {
	if a.Header().Rrtype != b.Header().Rrtype {
		return false
	}
	if b.Header().Class != a.Header().Class {
		b = inClass(b, a.Header().Class)
	}
	return dns.IsDuplicate(a, b)
}

// inClass is a copy of rr in another class, its owner name in lower case.
func inClass(rr dns.RR, class uint16) dns.RR {
	rr = dns.Copy(rr)
	h := rr.Header()
	h.Name, h.Class = dns.CanonicalName(h.Name), class
	return rr
}

// isMeta is whether no zone has records of the type: those of questions and of messages (RFC 6895 3.1).
func isMeta(rrtype uint16) bool {
	return rrtype == dns.TypeNone || rrtype == dns.TypeOPT || 128 <= rrtype && rrtype <= 255
}

// isKnown is whether records of the type can be read.
func isKnown(rrtype uint16) bool {
	_, ok := dns.TypeToRR[rrtype]
	return ok
}
