package kmsresponder

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// due is one PDU that a client of FuzzGateway has to be answered.
type due struct {
	kind    dcerpc.PacketType // of the answer; request if it is a call, which hosts decide
	call    uint32
	context uint16

	status  dcerpc.Status // of a fault
	reason  dcerpc.NakReason
	results []dcerpc.ContextResult
	frag    uint16 // of an acknowledgement
	mpx     dcerpc.Flags

	message string // of a call
	ndr64   bool
}

// rpcModel is the model of a server's end of one connection, written down a second time: C706 and the rules in docs/design.md,
// with the codec and nothing else of the package.
type rpcModel struct {
	prefers []dcerpc.Syntax // the encodings that are taken, the best first; those of a gateway if nil

	said []byte // and not understood yet, for want of the rest

	bound, over bool // over: whatever comes, nothing is answered any more
	contexts    []presentation
	open        *dcerpc.Header // of the last fragment of a request that is not complete
	part        dcerpc.Request // what of it has come

	called bool // a call was made
	quiet  bool // and the last that was said was answered
	begun  bool // and since then the next PDU began to arrive, by itself
}

// hear takes octets that a client says, and returns what it is to be answered.
func (m *rpcModel) hear(octets []byte) (all []due) {
	begins, whole := m.quiet || m.begun, len(m.said)+len(octets)
	m.said = append(m.said, octets...)
	m.quiet = m.quiet && len(octets) == 0
	defer func() { m.begun = begins && len(m.said) == whole && whole > 0 }()
	for !m.over && len(m.said) >= dcerpc.HeaderLen {
		h, err := dcerpc.ParseHeader(m.said)
		if err != nil || h.FragLength > dcerpc.DefaultMaxFrag {
			m.over = true
			if errors.Is(err, dcerpc.ErrVersion) && h.Type == dcerpc.TypeBind && !m.bound {
				all = append(all, due{kind: dcerpc.TypeBindNak, call: h.CallID, reason: dcerpc.NakProtocolVersion})
			}
			return all
		}
		if len(m.said) < int(h.FragLength) {
			return all
		}
		p := dcerpc.PDU{Header: h, Body: m.said[dcerpc.HeaderLen:h.FragLength]}
		m.said = m.said[h.FragLength:]
		d, answered := m.one(p)
		if m.quiet = answered && len(m.said) == 0; answered {
			d.call = h.CallID
			all = append(all, d)
		}
	}
	return all
}

// rest is how many octets there are to come of the PDU that was begun, as far as that can be told.
func (m *rpcModel) rest() int {
	if len(m.said) == 0 {
		return 0
	}
	if len(m.said) < dcerpc.HeaderLen {
		return 1 << 16
	}
	h, _ := dcerpc.ParseHeader(m.said)
	return int(h.FragLength) - len(m.said)
}

// one is what p is to be answered, if it is.
func (m *rpcModel) one(p dcerpc.PDU) (due, bool) {
	faulted := func(s dcerpc.Status, ends bool) (due, bool) {
		m.over = ends
		return due{kind: dcerpc.TypeFault, status: s}, true
	}
	switch {
	case p.Type == dcerpc.TypeBind:
		return m.bind(p), true
	case p.Type == dcerpc.TypeCancel || p.Type == dcerpc.TypeOrphaned:
		if m.open != nil && m.open.CallID == p.CallID {
			m.open = nil
		}
		return due{}, false
	case p.Type != dcerpc.TypeAlterContext && p.Type != dcerpc.TypeRequest:
		m.over = true // in silence
		return due{}, false
	case !m.bound:
		return faulted(dcerpc.StatusProtoError, true)
	case p.Type == dcerpc.TypeRequest:
		return m.request(p)
	case p.AuthLength != 0:
		return faulted(dcerpc.StatusAccessDenied, false)
	}
	b, err := dcerpc.ParseBind(p)
	if err != nil {
		return faulted(dcerpc.StatusProtoError, true)
	}
	return m.acknowledge(p, b, dcerpc.TypeAlterContextResp), true
}

func (m *rpcModel) bind(p dcerpc.PDU) due {
	b, err := dcerpc.ParseBind(p)
	reason := dcerpc.NakNotSpecified
	switch {
	case m.bound:
	case p.AuthLength != 0:
		reason = dcerpc.NakAuthType
	case errors.Is(err, dcerpc.ErrTooMany):
		reason = dcerpc.NakLocalLimit
	case err == nil:
		m.bound = true
		return m.acknowledge(p, b, dcerpc.TypeBindAck)
	}
	m.over = true
	return due{kind: dcerpc.TypeBindNak, reason: reason}
}

// acknowledge judges the contexts of b: the encoding that is preferred if anybody proposes it, else the other one, once.
func (m *rpcModel) acknowledge(p dcerpc.PDU, b dcerpc.Bind, kind dcerpc.PacketType) due {
	d := due{kind: kind, frag: max(1432, min(b.MaxXmit, b.MaxRecv, 5840)), mpx: p.Flags & dcerpc.FlagConcMPX}
	negotiates := func(c dcerpc.Context) (bits uint64, ok bool) {
		if len(c.Transfer) > 0 {
			return c.Transfer[0].Features()
		}
		return 0, false
	}
	if m.prefers == nil {
		m.prefers = []dcerpc.Syntax{dcerpc.NDR32, dcerpc.NDR64}
	}
	taken, transfer := -1, dcerpc.Syntax{}
	for _, s := range m.prefers {
		for i, c := range b.Contexts {
			if _, other := negotiates(c); taken < 0 && !other && c.Abstract == kmswire.Interface && slices.Contains(c.Transfer, s) {
				taken, transfer = i, s
			}
		}
	}
	d.results = make([]dcerpc.ContextResult, len(b.Contexts))
	for i, c := range b.Contexts {
		reject := func(reason uint16) dcerpc.ContextResult {
			return dcerpc.ContextResult{Result: dcerpc.ProviderRejection, Reason: reason}
		}
		switch bits, negotiation := negotiates(c); {
		case negotiation:
			d.results[i] = dcerpc.ContextResult{Result: dcerpc.NegotiateAck, Reason: uint16(bits & 3)}
		case c.Abstract != kmswire.Interface:
			d.results[i] = reject(dcerpc.ReasonAbstractSyntax)
		case i != taken:
			d.results[i] = reject(dcerpc.ReasonTransferSyntax)
		case !m.remember(presentation{c.ID, transfer}):
			d.results[i] = reject(dcerpc.ReasonLocalLimit)
		default:
			d.results[i] = dcerpc.ContextResult{Transfer: transfer}
		}
	}
	return d
}

// remember takes a context in, in place of one with its id; there may be 16.
func (m *rpcModel) remember(c presentation) bool {
	if old := m.context(c.id); old >= 0 {
		m.contexts[old] = c
		return true
	}
	if len(m.contexts) == 16 {
		return false
	}
	m.contexts = append(m.contexts, c)
	return true
}

func (m *rpcModel) context(id uint16) int {
	return slices.IndexFunc(m.contexts, func(c presentation) bool { return c.id == id })
}

// request takes a fragment of a request, or all of it.
func (m *rpcModel) request(p dcerpc.PDU) (due, bool) {
	r, err := dcerpc.ParseRequest(p)
	first, last := p.Flags&dcerpc.FlagFirst != 0, p.Flags&dcerpc.FlagLast != 0
	faulted := func(s dcerpc.Status, ends bool) (due, bool) {
		m.over = ends
		return due{kind: dcerpc.TypeFault, context: r.ContextID, status: s}, true
	}
	continues := m.open != nil && m.open.CallID == p.CallID && m.part.ContextID == r.ContextID && m.part.Opnum == r.Opnum
	switch {
	case err != nil:
		return faulted(dcerpc.StatusProtoError, true)
	case first == (m.open != nil) || !first && !continues:
		return faulted(dcerpc.StatusProtoError, true)
	case !first:
		r.Stub = slices.Concat(m.part.Stub, r.Stub)
	}
	if whole := first && last; !whole && len(r.Stub) > 4096 {
		return faulted(dcerpc.StatusProtoError, true)
	}
	if m.open = nil; !last {
		m.open, m.part = &p.Header, r
		m.part.Stub = slices.Clone(r.Stub)
		return due{}, false
	}
	in := m.context(r.ContextID)
	switch {
	case p.Flags&dcerpc.FlagMaybe != 0:
		return due{}, false
	case p.AuthLength != 0:
		return faulted(dcerpc.StatusAccessDenied, false)
	case in < 0:
		return faulted(dcerpc.StatusUnknownIf, false)
	case r.Opnum != 0:
		return faulted(dcerpc.StatusOpRange, false)
	}
	ndr64 := m.contexts[in].transfer == dcerpc.NDR64
	message, err := kmswire.ParseRequestStub(r.Stub, ndr64)
	if err != nil {
		return faulted(dcerpc.StatusBadStubData, false)
	}
	m.called = true
	return due{kind: dcerpc.TypeRequest, context: r.ContextID, message: string(message), ndr64: ndr64}, true
}

// fuzzClient is one of the clients of FuzzGateway.
type fuzzClient struct {
	number  int
	address netip.Addr
	conn    *net.TCPConn // nil while it has none
	refused bool         // the gateway has to turn this one away
	heard   bool         // it was answered once, so that the gateway knows of it
	in      *dcerpc.Reader
	model   rpcModel

	unsent []byte // said, but kept for the next time
	call   uint32 // the last
	flip   []byte // where in the next PDU to change an octet, and how
}

// say adds a PDU to what is to be sent.
func (c *fuzzClient) say(pdu []byte) {
	if len(c.flip) > 0 {
		pdu[int(c.flip[0])%len(pdu)] ^= c.flip[1]
		c.flip = nil
	}
	c.unsent = append(c.unsent, pdu...)
}

// How what is unsent goes.
const (
	atOnce = iota
	later
	halfNow
	byOctets
)

// send sends it, and returns what there has to be in return.
func (c *fuzzClient) send(how byte) ([]due, error) {
	now := c.unsent
	switch how % 4 {
	case later:
		return nil, nil
	case halfNow:
		now = now[:len(now)/2]
	case byOctets:
		for i := range now[:min(len(now), 40)] {
			if _, err := c.conn.Write(now[i : i+1]); err != nil && !c.refused {
				return nil, err
			}
		}
	}
	rest := now
	if how%4 == byOctets {
		rest = now[min(len(now), 40):]
	}
	if _, err := c.conn.Write(rest); err != nil && !c.refused {
		return nil, err
	}
	c.unsent = slices.Clone(c.unsent[len(now):])
	if c.refused {
		return nil, nil
	}
	return c.model.hear(now), nil
}

// receive reads the next answer.
func (c *fuzzClient) receive() (dcerpc.PDU, error) {
	c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c.in.Next()
}

// ended is an error unless the gateway has ended the connection, without another word.
func (c *fuzzClient) ended() error {
	p, err := c.receive()
	if err == io.EOF || err != nil && c.refused && !isTimeout(err) {
		return nil
	}
	return fmt.Errorf("client %d: %v, %w where the end was to come", c.number, p.Header, err)
}

func isTimeout(err error) bool {
	network, ok := errors.AsType[net.Error](err)
	return ok && network.Timeout()
}

// check compares an answer, but that of a call, with what was due.
func (d due) check(p dcerpc.PDU) error {
	kind, flags := d.kind, whole|d.mpx
	if kind == dcerpc.TypeFault {
		flags |= dcerpc.FlagDidNotExecute
	}
	if p.Type != kind || p.CallID != d.call || p.Flags != flags || p.AuthLength != 0 {
		return fmt.Errorf("answered %+v, want %v of call %d with flags %#x", p.Header, kind, d.call, flags)
	}
	switch kind {
	case dcerpc.TypeBindNak:
		got, err := dcerpc.ParseBindNak(p)
		if err != nil || got.Reason != d.reason {
			return fmt.Errorf("bind_nak %v, %v, want %v", got.Reason, err, d.reason)
		}
	case dcerpc.TypeFault:
		got, err := dcerpc.ParseFault(p)
		if err != nil || got.Status != d.status || got.ContextID != d.context {
			return fmt.Errorf("fault %+v, %v, want %v in context %d", got, err, d.status, d.context)
		}
	default:
		got, err := dcerpc.ParseBindAck(p)
		switch {
		case err != nil, !reflect.DeepEqual(got.Results, d.results), got.MaxXmit != d.frag, got.MaxRecv != d.frag, got.AssocGroup == 0,
			(got.SecondaryAddress == "") != (kind == dcerpc.TypeAlterContextResp):
			return fmt.Errorf("%v %+v, %v, want %v with fragments of %d", kind, got, err, d.results, d.frag)
		}
	}
	return nil
}
