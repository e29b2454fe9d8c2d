package kmsresponder

import (
	"context"
	"errors"
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

const (
	// maxStub is the largest request, in octets, that is put together from
	// fragments. A client's takes less than 300 and one fragment.
	maxStub = 4096

	// maxContexts is how many contexts a connection may have. Windows clients
	// use at most two.
	maxContexts = 16
)

// whole marks a PDU that is no fragment.
const whole = dcerpc.FlagFirst | dcerpc.FlagLast

// callFunc has one call answered. message is the client's KMS message, opaque
// and of any length up to kmswire.MaxMessage; it is valid until the function
// returns. transfer, NDR32 or NDR64, is the encoding that the client chose for
// the call; the conversation decodes and encodes it.
//
// A fault other than 0 ends the call without an answer, and promises that it
// had no effect that repeating it elsewhere could double. Otherwise the client
// is answered hr, with response unless that is empty; it is copied before the
// next call.
type callFunc func(ctx context.Context, transfer dcerpc.Syntax, message []byte) (response []byte, hr kmswire.HRESULT, fault dcerpc.Status)

// conversation is the server's end of one connection: PDUs in, PDUs out. It
// knows no clock and does no I/O, but for what call does. Who has calls answered
// elsewhere uses take and needs no call.
type conversation struct {
	iface *dcerpc.Interface
	port  string // our own port in decimal
	group uint32 // the association group of this connection
	call  callFunc

	bound    bool // a bind was answered with bind_ack
	contexts []presentation
	calls    dcerpc.Assembler
}

// presentation is an accepted context.
type presentation struct {
	id       uint16
	transfer dcerpc.Syntax
}

// question is a call that a client made, to which reply is the answer.
type question struct {
	asked    bool // or there is none
	callID   uint32
	context  uint16
	transfer dcerpc.Syntax
	message  []byte // valid as long as the PDU is that completed the call
}

// next takes the client's next PDU. It returns out with the answer appended, if
// there is one, and whether the connection goes on. ctx is that of a call, and
// of nothing else.
func (c *conversation) next(ctx context.Context, out []byte, p dcerpc.PDU) (_ []byte, more bool) {
	out, q, more := c.take(out, p)
	if q.asked {
		response, hr, status := c.call(ctx, q.transfer, q.message)
		out = q.reply(out, response, hr, status)
	}
	return out, more
}

// take is next as far as that needs nobody else: if p completes a call, it
// returns that unanswered.
func (c *conversation) take(out []byte, p dcerpc.PDU) (_ []byte, q question, more bool) {
	switch p.Type {
	case dcerpc.TypeBind:
		out, more = c.bind(out, p)
		return out, q, more
	case dcerpc.TypeAlterContext:
		out, more = c.alterContext(out, p)
		return out, q, more
	case dcerpc.TypeRequest:
		return c.request(out, p)
	case dcerpc.TypeCancel, dcerpc.TypeOrphaned:
		// The client gave a call up. Nothing runs here that could be stopped,
		// neither PDU has an answer, and the connection survives as
		// KeepConnectionOnOrphan promised.
		c.calls.Abandon(p.CallID)
		return out, q, true
	}
	// A server's PDU, one of a security exchange that was never begun, or no
	// type at all: C706 has no answer to it.
	return out, q, false
}

// refuse takes a PDU that could not be read, as far as its header is known. It
// returns out with an answer appended if there is one; the connection ends.
func (c *conversation) refuse(out []byte, h dcerpc.Header, err error) []byte {
	if errors.Is(err, dcerpc.ErrVersion) && h.Type == dcerpc.TypeBind && !c.bound {
		out, _ = nak(out, h, dcerpc.NakProtocolVersion)
	}
	return out
}

func (c *conversation) bind(out []byte, p dcerpc.PDU) ([]byte, bool) {
	if c.bound {
		// One bind to a connection; the rest is done by alter_context.
		return nak(out, p.Header, dcerpc.NakNotSpecified)
	}
	if p.AuthLength != 0 {
		return nak(out, p.Header, dcerpc.NakAuthType)
	}
	b, err := dcerpc.ParseBind(p)
	if errors.Is(err, dcerpc.ErrTooMany) {
		return nak(out, p.Header, dcerpc.NakLocalLimit)
	}
	if err != nil {
		return nak(out, p.Header, dcerpc.NakNotSpecified)
	}
	c.bound = true
	return c.ack(out, p.Header, b, dcerpc.TypeBindAck, c.port), true
}

// alterContext lets a client have the encoding that its bind did not get.
func (c *conversation) alterContext(out []byte, p dcerpc.PDU) ([]byte, bool) {
	if !c.bound {
		return fault(out, p.Header, 0, dcerpc.StatusProtoError), false
	}
	if p.AuthLength != 0 {
		return fault(out, p.Header, 0, dcerpc.StatusAccessDenied), true
	}
	b, err := dcerpc.ParseBind(p)
	if err != nil {
		return fault(out, p.Header, 0, dcerpc.StatusProtoError), false
	}
	return c.ack(out, p.Header, b, dcerpc.TypeAlterContextResp, ""), true
}

// ack answers each context of b, and remembers those that it accepts.
func (c *conversation) ack(out []byte, h dcerpc.Header, b dcerpc.Bind, t dcerpc.PacketType, address string) []byte {
	results := c.iface.Accept(b.Contexts)
	for i, r := range results {
		id := b.Contexts[i].ID
		if r.Result != dcerpc.Acceptance {
			continue
		}
		if !c.accept(id, r.Transfer) {
			results[i] = dcerpc.ContextResult{Result: dcerpc.ProviderRejection, Reason: dcerpc.ReasonLocalLimit}
		}
	}
	frag := b.FragLimit()
	answer := dcerpc.BindAck{
		MaxXmit:          frag,
		MaxRecv:          frag,
		AssocGroup:       c.group,
		SecondaryAddress: address,
		Results:          results,
	}
	return answer.Append(out, t, whole|h.Flags&dcerpc.FlagConcMPX, h.CallID)
}

// accept remembers a context, whose encoding an alter_context may change, and
// reports whether there was room.
func (c *conversation) accept(id uint16, transfer dcerpc.Syntax) bool {
	if known := c.context(id); known != nil {
		known.transfer = transfer
		return true
	}
	if len(c.contexts) == maxContexts {
		return false
	}
	c.contexts = append(c.contexts, presentation{id, transfer})
	return true
}

// context returns the accepted context with this id, or nil.
func (c *conversation) context(id uint16) *presentation {
	i := slices.IndexFunc(c.contexts, func(p presentation) bool { return p.id == id })
	if i < 0 {
		return nil
	}
	return &c.contexts[i]
}

func (c *conversation) request(out []byte, p dcerpc.PDU) (_ []byte, q question, more bool) {
	if !c.bound {
		return fault(out, p.Header, 0, dcerpc.StatusProtoError), q, false
	}
	fragment, err := dcerpc.ParseRequest(p)
	if err != nil {
		return fault(out, p.Header, 0, dcerpc.StatusProtoError), q, false
	}
	r, complete, err := c.calls.Request(p.Header, fragment)
	if err != nil {
		return fault(out, p.Header, fragment.ContextID, dcerpc.StatusProtoError), q, false
	}
	if !complete || p.Flags&dcerpc.FlagMaybe != 0 {
		return out, q, true
	}
	if p.AuthLength != 0 {
		// No security context was ever made.
		return fault(out, p.Header, r.ContextID, dcerpc.StatusAccessDenied), q, true
	}
	in := c.context(r.ContextID)
	switch {
	case in == nil:
		return fault(out, p.Header, r.ContextID, dcerpc.StatusUnknownIf), q, true
	case r.Opnum != kmswire.OpRequestActivation:
		return fault(out, p.Header, r.ContextID, dcerpc.StatusOpRange), q, true
	}
	message, err := kmswire.ParseRequestStub(r.Stub, in.transfer == dcerpc.NDR64)
	if err != nil {
		return fault(out, p.Header, r.ContextID, dcerpc.StatusBadStubData), q, true
	}
	return out, question{true, p.CallID, r.ContextID, in.transfer, message}, true
}

// reply appends the response or the fault that answers q. Neither is ever longer
// than one fragment of the smallest size that may be agreed on.
func (q *question) reply(out, response []byte, hr kmswire.HRESULT, status dcerpc.Status) []byte {
	if status == 0 && len(response) > kmswire.MaxMessage {
		// No host sends this, and the answer is to stay within one fragment.
		status = dcerpc.StatusServerTooBusy
	}
	if status != 0 {
		return fault(out, dcerpc.Header{CallID: q.callID}, q.context, status)
	}
	var room [512]byte // of nearly every answer, so that it stays on the stack
	stub := kmswire.AppendResponseStub(room[:0], response, hr, q.transfer == dcerpc.NDR64)
	return dcerpc.Response{AllocHint: uint32(len(stub)), ContextID: q.context, Stub: stub}.
		Append(out, dcerpc.TypeResponse, whole, q.callID)
}

// fault appends a fault for the call of h, which did not run.
func fault(out []byte, h dcerpc.Header, context uint16, s dcerpc.Status) []byte {
	return dcerpc.Fault{ContextID: context, Status: s}.
		Append(out, dcerpc.TypeFault, whole|dcerpc.FlagDidNotExecute, h.CallID)
}

// nak appends the refusal of the bind of h. It ends the connection, as no
// association came of it.
func nak(out []byte, h dcerpc.Header, reason dcerpc.NakReason) ([]byte, bool) {
	return dcerpc.BindNak{Reason: reason, Versions: [][2]uint8{{5, 0}}}.
		Append(out, dcerpc.TypeBindNak, whole, h.CallID), false
}
