package plugin

import "github.com/miekg/dns"

// prerequisites says which of rrs, the prerequisites of an UPDATE, does not hold in c or is none; nil if all hold. It follows
// the pseudocode of RFC 2136 3.2.5.
func prerequisites(c *contents, rrs []dns.RR) *refusal {
	var wanted []dns.RR
	for _, rr := range rrs {
		h := rr.Header()
		name := dns.CanonicalName(h.Name)
		switch {
		case h.Ttl != 0:
			return malformed(dns.RcodeFormatError, "prerequisite %s: TTL %d, must be 0", describe(rr), h.Ttl)
		case !dns.IsSubDomain(c.zone, name):
			return malformed(dns.RcodeNotZone, "prerequisite %s: the name is not in zone %s", describe(rr), c.zone)
		case isMeta(h.Rrtype) && (h.Rrtype != dns.TypeANY || h.Class == dns.ClassINET):
			return malformed(dns.RcodeFormatError, "prerequisite %s: no record has that type", describe(rr))
		}
		switch h.Class {
		case dns.ClassANY, dns.ClassNONE:
			if h.Rdlength != 0 {
				return malformed(dns.RcodeFormatError, "prerequisite %s: it has data, must have none", describe(rr))
			}
			if r := exists(c, name, h); r != nil {
				return r
			}
		case dns.ClassINET:
			wanted = append(wanted, inClass(rr, dns.ClassINET))
		default:
			return malformed(dns.RcodeFormatError, "prerequisite %s: class %d", describe(rr), h.Class)
		}
	}
	return values(c, wanted)
}

// exists judges a prerequisite without data: class ANY for what must be there, NONE for what must not (RFC 2136 3.2.1, 3.2.2).
func exists(c *contents, name string, h *dns.RR_Header) *refusal {
	must := h.Class == dns.ClassANY
	if h.Rrtype == dns.TypeANY {
		switch is := c.inUse(name); {
		case must && !is:
			return unmet(dns.RcodeNameError, "%s is not in use", name)
		case !must && is:
			return unmet(dns.RcodeYXDomain, "%s is in use", name)
		}
		return nil
	}
	switch is := c.has(name, h.Rrtype); {
	case must && !is:
		return unmet(dns.RcodeNXRrset, "%s has no %s", name, dns.Type(h.Rrtype))
	case !must && is:
		return unmet(dns.RcodeYXRrset, "%s has %s", name, dns.Type(h.Rrtype))
	}
	return nil
}

// values compares whole RRsets, TTLs apart: each that wanted has records of must have exactly these (RFC 2136 3.2.3).
func values(c *contents, wanted []dns.RR) *refusal {
	for _, first := range wanted {
		h := first.Header()
		var want []dns.RR
		for _, rr := range wanted {
			if rr.Header().Name == h.Name && rr.Header().Rrtype == h.Rrtype {
				want = append(want, rr)
			}
		}
		have := c.set(h.Name, h.Rrtype)
		if !contained(want, have) || !contained(have, want) {
			return unmet(dns.RcodeNXRrset, "%s %s is not what was expected", h.Name, dns.Type(h.Rrtype))
		}
	}
	return nil
}

// contained is whether each record of some is one of all.
func contained(some, all []dns.RR) bool {
next:
	for _, rr := range some {
		for _, other := range all {
			if sameRecord(rr, other) {
				continue next
			}
		}
		return false
	}
	return true
}
