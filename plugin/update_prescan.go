package plugin

import "github.com/miekg/dns"

// prescan says what is wrong with the form of updates, the update section for zone; nil if nothing is. It follows the
// pseudocode of RFC 2136 3.4.1.3 and, for types that are not recognised, the text of 3.4.1.2.
func prescan(zone string, updates []dns.RR) *refusal {
	for _, rr := range updates {
		h := rr.Header()
		if !dns.IsSubDomain(zone, h.Name) {
			return malformed(dns.RcodeNotZone, "%s: the name is not in zone %s", describe(rr), zone)
		}
		if wrong := formOf(h); wrong != "" {
			return malformed(dns.RcodeFormatError, "%s: %s", describe(rr), wrong)
		}
	}
	return nil
}

// formOf is what is wrong with the form of an update record; empty if nothing is.
func formOf(h *dns.RR_Header) string {
	switch {
	case h.Class != dns.ClassINET && h.Class != dns.ClassANY && h.Class != dns.ClassNONE:
		return "the class must be IN, ANY or NONE"
	case h.Class != dns.ClassINET && h.Ttl != 0:
		return "the TTL of a deletion must be 0"
	case h.Class == dns.ClassANY && h.Rdlength != 0:
		return "the deletion of a whole RRset has no data"
	case h.Class == dns.ClassANY && h.Rrtype == dns.TypeANY:
		return ""
	case isMeta(h.Rrtype):
		return "no record has that type"
	case !isKnown(h.Rrtype):
		return "the type is not recognised"
	case h.Class == dns.ClassINET && h.Rdlength == 0:
		return "a record to be added has data"
	}
	return ""
}
