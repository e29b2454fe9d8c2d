package plugin

import (
	"context"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/nonwriter"
	"github.com/coredns/coredns/plugin/tsig"
	"github.com/coredns/coredns/request"

	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/pool"

	"github.com/miekg/dns"
)

// query is one question for a name that kms owns.
type query struct {
	ctx     context.Context
	handler *Handler
	owner   *owner
	state   request.Request

	answer *history.Answer // the records that are answered, if they are, and the one of them that stands first
	first  uint16
}

// service answers the SRV question: every host that the pool offers, with its real priority and weight. Picking one is the
// client's business, and so is going on to the next when that one fails.
func (q *query) service() (int, error) {
	p := q.owner.ready()
	result := q.owner.site.Result(p.snapshot)
	switch result {
	case ServFail:
		return q.servFail()
	case NoData:
		return q.noData(pool.AllDown)
	}
	if q.handler.Questions != nil {
		q.answer = p.words()
	}
	var why *dns.OPT
	if result == FailOpen {
		why = q.explanation(p.snapshot.Condition, true)
	}
	order := p.snapshot.Order(rand.Uint32())
	if len(order) > 0 && !q.state.Do() {
		q.first = order[0]
	}
	if why == nil {
		if m := q.direct(p, order); m != nil {
			q.note(result)
			_, err := q.state.W.Write(m)
			return dns.RcodeSuccess, err
		}
	}
	return q.write(q.fill(p, order, why), result)
}

// compact is a reply in one piece of memory: its question, and the records of up to four hosts with an address each, with room
// behind for the OPT record that is appended to the additional section.
type compact struct {
	msg      dns.Msg
	question [1]dns.Question
	records  [2*4 + 1]dns.RR
}

// fill is a reply with p's records in order, and as many addresses as the client has room for, so that it is only truncated if
// an SRV record did not fit. why is an OPT record to go with it, or nil.
func (q *query) fill(p *prepared, order []uint16, why *dns.OPT) *dns.Msg {
	c := new(compact)
	m := &c.msg
	asked := q.state.Req
	m.Id, m.Response, m.Authoritative = asked.Id, true, true
	m.RecursionDesired, m.CheckingDisabled = asked.RecursionDesired, asked.CheckingDisabled
	c.question[0] = asked.Question[0]
	m.Question = c.question[:]

	n := len(p.services)
	records := c.records[:0]
	if all := n + p.glued + 1; all > len(c.records) {
		records = make([]dns.RR, 0, all)
	}
	if q.state.Do() {
		// In the same order always: dnssec keys its cache of signatures by the records in their order.
		records = append(records, p.services...)
		m.Answer = records[:n:n]
		for _, g := range p.glue {
			records = append(records, g...)
		}
	} else {
		for _, i := range order {
			records = append(records, p.services[i])
		}
		m.Answer = records[:n:n]
		for _, i := range order {
			records = append(records, p.glue[i]...)
		}
		if name := q.spelling(); name != q.owner.name {
			keepCase(m.Answer, name)
		}
	}
	m.Extra = records[n:]
	if room := q.room(why); p.length+q.signatures(m) > room {
		q.trim(m, room)
	}
	if why != nil {
		m.Extra = append(m.Extra, why)
	}
	return m
}

// sealLength is about as long as a TSIG record gets: HMAC-SHA-512 under a key with a name of sixty octets.
const sealLength = 180

// spelling is how the owner's name is spelled in the answer: as in the question, because a client that mixes case at random
// may compare what comes back. With DO it is in lower case: dnssec would sign, and keep, each spelling anew.
func (q *query) spelling() string {
	if q.state.Do() {
		return q.owner.name
	}
	return q.state.Req.Question[0].Name
}

// keepCase replaces the records by copies that spell their owner as name.
func keepCase(answer []dns.RR, name string) {
	copies := make([]dns.SRV, len(answer))
	for i, rr := range answer {
		copies[i] = *rr.(*dns.SRV)
		copies[i].Hdr.Name = name
		answer[i] = &copies[i]
	}
}

// sealed is whether the tsig plugin in front will sign the reply.
func (q *query) sealed() bool {
	if !q.handler.Sealed {
		return false
	}
	_, ok := tsig.ValidatedKeyName(q.ctx)
	return ok
}

// room is how many octets of records the client takes: its size without a TSIG record and without the OPT record, which is
// why or else its own again.
func (q *query) room(why *dns.OPT) int {
	room := q.state.Size()
	if q.sealed() {
		room -= sealLength
	}
	if why != nil {
		return room - dns.Len(why)
	}
	if opt := q.state.Req.IsEdns0(); opt != nil {
		room -= dns.Len(opt)
	}
	return room
}

// trim cuts the additional section from the end until m fits, whole RRsets at a time (RFC 2181 9). The order of hosts is that
// of the answer, so those who lose their addresses are those tried last; but no host has its second RRset in before every host
// has its first.
func (q *query) trim(m *dns.Msg, room int) {
	all, ends := firstSetsFirst(m.Extra)
	ends = ends[:min(len(ends), max(room, 0)/shortestRecord)]
	m.Compress = true // what does not fit plain is sent compressed
	fit := sort.Search(len(ends), func(n int) bool {
		m.Extra = all[:ends[n]]
		return m.Len()+q.signatures(m) > room
	})
	m.Extra = nil
	if fit > 0 {
		m.Extra = all[:ends[fit-1]:ends[fit-1]]
	}
	if q.sealed() && m.Len() > room {
		m.Truncate(room) // the server does not, for a message that is signed
	}
}

// shortestRecord is an A record whose owner is compressed away. It bounds how many are tried.
const shortestRecord = 16

// firstSetsFirst is extra with the first RRset of each host before the second of any, and where each RRset ends.
func firstSetsFirst(extra []dns.RR) (all []dns.RR, ends []int) {
	var firsts, seconds [][]dns.RR
	for i := 0; i < len(extra); {
		h, n := extra[i].Header(), i+1
		for n < len(extra) && extra[n].Header().Name == h.Name && extra[n].Header().Rrtype == h.Rrtype {
			n++
		}
		if i > 0 && extra[i-1].Header().Name == h.Name {
			seconds = append(seconds, extra[i:n])
		} else {
			firsts = append(firsts, extra[i:n])
		}
		i = n
	}
	for _, set := range append(firsts, seconds...) {
		all = append(all, set...)
		ends = append(ends, len(all))
	}
	return all, ends
}

// signatures is about how many octets of RRSIG records the dnssec plugin in front will add: one for each RRset, with the
// longest signature that is common, RSA of 2048 bits.
func (q *query) signatures(m *dns.Msg) int {
	if !q.handler.Signed || !q.state.Do() {
		return 0
	}
	const fixed, signature = 2 + 10 + 18, 256
	sets := 1
	for i, rr := range m.Extra {
		h := rr.Header()
		if i == 0 || m.Extra[i-1].Header().Name != h.Name || m.Extra[i-1].Header().Rrtype != h.Rrtype {
			sets++
		}
	}
	return sets * (fixed + len(q.owner.zone) + 1 + signature)
}

// address answers A or AAAA for a made-up host name. It is answered whatever the host's health: who asks has an SRV record
// that names it.
func (q *query) address() (int, error) {
	m := q.reply()
	m.Answer = []dns.RR{addressRecord(q.spelling(), q.owner.address, uint32(q.owner.site.TTL.Seconds()))}
	return q.write(m, Normal)
}

// any answers as RFC 8482 4.2 has it: one small record that says there is no such answer.
func (q *query) any() (int, error) {
	m := q.reply()
	m.Answer = []dns.RR{noSuchAnswer(q.spelling())}
	return q.write(m, Normal)
}

func noSuchAnswer(name string) dns.RR {
	h := dns.RR_Header{Name: name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: 8482}
	return &dns.HINFO{Hdr: h, Cpu: "RFC8482"}
}

// noData answers that the name exists and has nothing of the type; c is Calm unless there should have been something. With
// fallthrough the next plugin may know better.
func (q *query) noData(c pool.Condition) (int, error) {
	if q.owner.site.Fall.Through(q.owner.name) && q.handler.Next != nil {
		// The name exists, whatever the plugin below thinks of it.
		code, err := plugin.NextOrFailure(Name, q.handler.Next, q.ctx, existing{q.state.W}, q.state.Req)
		if plugin.ClientWrite(code) {
			q.remember(passedOn)
			return code, err
		}
	}
	m := q.reply()
	m.Ns = []dns.RR{q.soa(c)}
	if why := q.explanation(c, false); why != nil {
		m.Extra = append(m.Extra, why)
	}
	return q.write(m, NoData)
}

func (q *query) servFail() (int, error) {
	m := q.reply()
	m.Rcode, m.Authoritative = dns.RcodeServerFailure, false
	if why := q.explanation(pool.AllDown, false); why != nil {
		m.Extra = append(m.Extra, why)
	}
	return q.write(m, ServFail)
}

// soa is the one SOA record of a negative answer (RFC 2308): that of the cut; or else that of the zone around the name, from
// the next plugin; or, if it has none, one of our own for the zone of the block. Its TTL bounds how long resolvers keep the denial, so it is short
// where hosts are missing that should be there.
func (q *query) soa(c pool.Condition) *dns.SOA {
	soa := q.cutSOA()
	if soa == nil {
		soa = q.owner.below.get(q.soaBelow)
	}
	if soa == nil {
		soa = q.ownSOA()
	}
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	if c != pool.Calm {
		soa.Hdr.Ttl = min(soa.Hdr.Ttl, quick)
	}
	return soa
}

// ownSOA is for a zone of which the next plugin knows nothing.
func (q *query) ownSOA() *dns.SOA {
	host := q.owner.zone
	if host == "." {
		host = ""
	}
	return &dns.SOA{
		Hdr:    dns.RR_Header{Name: q.owner.zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 30},
		Ns:     "ns.dns." + host,
		Mbox:   "hostmaster." + host,
		Serial: uint32(q.owner.site.Pool.Answer().Built.Unix()), Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: 30,
	}
}

// soaBelow asks the next plugin for the SOA record of the zone around the owned name. Whatever it says, a record from
// outside that zone is not taken.
func (q *query) soaBelow() *dns.SOA {
	if q.handler.Next == nil {
		return nil
	}
	ask := new(dns.Msg)
	ask.SetQuestion(q.owner.zone, dns.TypeSOA)
	into := nonwriter.New(q.state.W)
	if _, err := plugin.NextOrFailure(Name, q.handler.Next, q.ctx, into, ask); err != nil || into.Msg == nil {
		return nil
	}
	found := into.Msg.Answer
	if into.Msg.Authoritative { // a recursive server's denial may come from any zone above, the root included
		found = append(found[:len(found):len(found)], into.Msg.Ns...)
	}
	for _, rr := range found {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, q.owner.name) {
			return dns.Copy(soa).(*dns.SOA)
		}
	}
	return nil
}

// reply is an empty authoritative reply to the question.
func (q *query) reply() *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q.state.Req)
	m.Authoritative = true
	return m
}

// explanation is an OPT record with an Extended DNS Error (RFC 8914) that says why the answer is what it is; nil if there is
// nothing to explain or the client does not speak EDNS. None of the registered codes says it, hence "Other".
func (q *query) explanation(c pool.Condition, served bool) *dns.OPT {
	if q.state.Req.IsEdns0() == nil {
		return nil
	}
	var text string
	switch {
	case c == pool.SelfSuspected:
		text = "every KMS host failed at once: this server suspects its own network and keeps the last good answer"
	case c == pool.AllDown && served:
		text = "every KMS host failed its checks: these are the hosts as configured"
	case c == pool.AllDown:
		text = "every KMS host failed its checks or is drained"
	default:
		return nil
	}
	return &dns.OPT{
		Hdr:    dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT},
		Option: []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeOther, ExtraText: text}},
	}
}

// write sends m and counts it. It returns what tells the server that an answer was written.
func (q *query) write(m *dns.Msg, result Result) (int, error) {
	q.note(result)
	return dns.RcodeSuccess, q.state.W.WriteMsg(m)
}

// note counts the question and keeps it for people.
func (q *query) note(result Result) {
	q.owner.count(q.ctx, result)
	q.remember(result.String())
}

// passedOn is the result of a question that fell through: what was answered is for another plugin to know.
const passedOn = "fallthrough"

// remember keeps the question, and how it was answered, for those who ask about the client.
func (q *query) remember(result string) {
	if q.handler.Questions == nil || !q.owner.isService() {
		return
	}
	question := &q.state.Req.Question[0]
	q.handler.Questions.Ask(history.Question{At: time.Now(), From: sender(q.state.W).Addr(), Name: question.Name, Type: question.Qtype,
		Result: result, Answer: q.answer, First: q.first})
}
