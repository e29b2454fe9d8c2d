package plugin

import (
	"encoding/binary"
	"slices"

	supported "github.com/coredns/coredns/plugin/pkg/edns"

	"github.com/miekg/dns"
)

// octets is the records of a prepared answer as they stand in a message, compressed (RFC 1035 4.1.4): made once for each
// snapshot, so that an answer is put together by copying. Queries share them: nothing in them is ever changed.
type octets struct {
	services [][]byte // each SRV record, its owner a pointer to the question
	glue     [][]byte // the addresses of each one's target; each record's owner is a pointer to that target, to be filled in
	length   int      // of all
}

const (
	nameAt     = 12     // where the question's name begins: after the header
	pointer    = 0xc000 // the two highest bits of a pointer
	maxPointer = 0x3fff // the furthest that one reaches
	pointerLen = 2
	fixedLen   = 10                        // of a record, between its owner and its data (RFC 1035 3.2.1)
	targetAt   = pointerLen + fixedLen + 6 // of an SRV record, behind priority, weight and port (RFC 2782)
	optLen     = 1 + fixedLen              // of an OPT record without options (RFC 6891 6.1.2)
)

// direct returns the reply to an SRV question, with p's records in order, as octets; nil if it has to be made of records, because
// the question is not as simple as most are, or because there is not room for everything.
func (q *query) direct(p *prepared, order []uint16) []byte {
	asked := q.state.Req
	if q.handler.Direct == nil || !plain(asked.Extra) || !q.handler.Direct(q.state.W) {
		return nil
	}
	o := p.octets()
	if o == nil {
		return nil
	}
	name := asked.Question[0].Name
	length := nameAt + len(name) + 1 + 4 + o.length + optLen // a name is never longer than its text and one
	if length > min(q.state.Size(), maxPointer) {
		return nil
	}
	m := make([]byte, length)
	end, err := dns.PackDomainName(name, m, nameAt, nil, false)
	if err != nil {
		return nil
	}
	be := binary.BigEndian
	flags := uint16(1<<15 | 1<<10) // QR and AA (RFC 1035 4.1.1)
	if asked.RecursionDesired {
		flags |= 1 << 8
	}
	if asked.CheckingDisabled {
		flags |= 1 << 4
	}
	be.PutUint16(m[0:], asked.Id)
	be.PutUint16(m[2:], flags)
	be.PutUint16(m[4:], 1)
	be.PutUint16(m[6:], uint16(len(o.services)))
	be.PutUint16(m[10:], uint16(p.glued+len(asked.Extra)))
	m = be.AppendUint16(m[:end], asked.Question[0].Qtype)
	m = be.AppendUint16(m, asked.Question[0].Qclass)

	record := len(m)
	for _, i := range order {
		m = append(m, o.services[i]...)
	}
	for _, i := range order {
		m = appendGlue(m, o.glue[i], pointer|uint16(record+targetAt))
		record += len(o.services[i])
	}
	if len(asked.Extra) > 0 {
		m = append(m, 0)
		m = be.AppendUint16(m, dns.TypeOPT)
		m = be.AppendUint16(m, asked.Extra[0].(*dns.OPT).UDPSize())
		m = append(m, 0, 0, 0, 0, 0, 0) // no error, version 0, no flags, no options
	}
	return m
}

// plain is whether a question with extra as its additional section is answered by nothing but records: it has an OPT record
// without flags and without options that CoreDNS would give back, or nothing.
func plain(extra []dns.RR) bool {
	switch len(extra) {
	case 0:
		return true
	case 1:
		opt, ok := extra[0].(*dns.OPT)
		return ok && opt.Hdr.Ttl == 0 &&
			!slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool { return supported.SupportedOption(o.Option()) })
	}
	return false
}

// appendGlue appends address records, with target as the owner of each.
func appendGlue(m, glue []byte, target uint16) []byte {
	for len(glue) > 0 {
		size := pointerLen + fixedLen + int(binary.BigEndian.Uint16(glue[pointerLen+fixedLen-2:]))
		m = binary.BigEndian.AppendUint16(m, target)
		m = append(m, glue[pointerLen:size]...)
		glue = glue[size:]
	}
	return m
}

// pack makes octets of records: SRV records and the addresses of each one's target. It is nil if one cannot be packed, which
// whoever makes a message of it is told.
func pack(services []dns.RR, glue [][]dns.RR) *octets {
	o := &octets{services: make([][]byte, len(services)), glue: make([][]byte, len(services))}
	var err error
	for i, service := range services {
		if o.services[i], err = appendRecord(nil, service); err != nil {
			return nil
		}
		for _, a := range glue[i] {
			if o.glue[i], err = appendRecord(o.glue[i], a); err != nil {
				return nil
			}
		}
		o.length += len(o.services[i]) + len(o.glue[i])
	}
	return o
}

// appendRecord appends rr with a pointer to the question as its owner.
func appendRecord(m []byte, rr dns.RR) ([]byte, error) {
	rr = dns.Copy(rr) // which is written to
	rr.Header().Name = "."
	record := make([]byte, dns.Len(rr))
	end, err := dns.PackRR(rr, record, 0, nil, false)
	if err != nil {
		return nil, err
	}
	m = binary.BigEndian.AppendUint16(m, pointer|nameAt)
	return append(m, record[1:end]...), nil
}
