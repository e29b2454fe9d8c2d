package plugin

import (
	"slices"

	"github.com/miekg/dns"
)

// maxChanges is how many versions back a secondary may be to be told the differences alone. At one version in ten seconds
// that is ten minutes of a network that never comes to rest, and days of one that does.
const maxChanges = 64

// lineage is the newest version of a zone and how it came from those before. It is never changed once published.
type lineage struct {
	soa     *dns.SOA
	records []dns.RR // without the SOA record, each once
	changes []change // that led to it, oldest first; at most maxChanges
}

// change is what one version has that the one before had not, and the other way round.
type change struct {
	from, to *dns.SOA
	gone     []dns.RR
	come     []dns.RR
}

// same says whether a version of soa (its serial apart) and records would tell nobody anything new.
func (h *lineage) same(soa *dns.SOA, records []dns.RR) bool {
	before := *h.soa
	before.Serial = soa.Serial
	gone, come := sift(h.records, records)
	return before == *soa && len(gone) == 0 && len(come) == 0
}

// next is the lineage with one more version, whose serial soa has.
func (h *lineage) next(soa *dns.SOA, records []dns.RR) *lineage {
	c := change{from: h.soa, to: soa}
	c.gone, c.come = sift(h.records, records)
	kept := h.changes[max(0, len(h.changes)-maxChanges+1):]
	return &lineage{soa: soa, records: records, changes: append(slices.Clone(kept), c)}
}

// sift is what only one of before and after has. Records are the same that are spelled the same, TTL included: a
// secondary answers with the TTL that it was told.
func sift(before, after []dns.RR) (gone, come []dns.RR) {
	return without(before, after), without(after, before)
}

func without(records, others []dns.RR) (rest []dns.RR) {
	has := make(map[string]bool, len(others))
	for _, rr := range others {
		has[rr.String()] = true
	}
	for _, rr := range records {
		if !has[rr.String()] {
			rest = append(rest, rr)
		}
	}
	return rest
}

// transferKind is what a secondary was sent.
type transferKind string

const (
	transferFull        transferKind = "full"
	transferIncremental transferKind = "incremental"
	transferNone        transferKind = "none" // it has the newest version
)

// stream is the records to send to a secondary that has the version of serial, or none (0): the whole zone between two SOA
// records (RFC 5936 2.2); the differences since its version, each as the old SOA, what goes, the new SOA, what comes, and the
// newest SOA around all of them (RFC 1995 4); or that SOA alone, if it has nothing to learn.
func (h *lineage) stream(serial uint32) ([]dns.RR, transferKind) {
	if serial != 0 && (serial == h.soa.Serial || newer(serial, h.soa.Serial)) {
		return []dns.RR{h.soa}, transferNone
	}
	since := slices.IndexFunc(h.changes, func(c change) bool { return c.from.Serial == serial })
	all := []dns.RR{h.soa}
	if serial == 0 || since < 0 {
		return append(append(all, h.records...), h.soa), transferFull
	}
	for _, c := range h.changes[since:] {
		all = append(append(all, c.from), c.gone...)
		all = append(append(all, c.to), c.come...)
	}
	return append(all, h.soa), transferIncremental
}
