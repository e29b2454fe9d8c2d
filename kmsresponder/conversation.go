package kmsresponder

import (
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

// conversation is the server's end of one connection: PDUs in, PDUs out. It
// knows no clock and does no I/O.
type conversation struct {
	iface *dcerpc.Interface
	port  string // our own port in decimal
	group uint32 // the association group of this connection

	bound    bool     // a bind was answered with bind_ack
	contexts []uint16 // ids of the accepted contexts
	calls    dcerpc.Assembler
}

// next takes the client's next PDU. It returns out with the answer appended, if
// there is one, and whether the connection goes on.
func (c *conversation) next(out []byte, p dcerpc.PDU) (_ []byte, more bool) {
	switch p.Type {
	case dcerpc.TypeBind:
		return c.bind(out, p)
	case dcerpc.TypeAlterContext:
		return c.alterContext(out, p)
	case dcerpc.TypeRequest:
		return c.request(out, p)
	case dcerpc.TypeCancel, dcerpc.TypeOrphaned:
		// The client gave a call up. Nothing runs here that could be stopped,
		// neither PDU has an answer, and the connection survives as
		// KeepConnectionOnOrphan promised.
		c.calls.Abandon(p.CallID)
		return out, true
	}
	// A server's PDU, one of a security exchange that was never begun, or no
	// type at all: C706 has no answer to it.
	return out, false
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
		if r.Result != dcerpc.Acceptance || slices.Contains(c.contexts, id) {
			continue
		}
		if len(c.contexts) == maxContexts {
			results[i] = dcerpc.ContextResult{Result: dcerpc.ProviderRejection, Reason: dcerpc.ReasonLocalLimit}
			continue
		}
		c.contexts = append(c.contexts, id)
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

func (c *conversation) request(out []byte, p dcerpc.PDU) ([]byte, bool) {
	if !c.bound {
		return fault(out, p.Header, 0, dcerpc.StatusProtoError), false
	}
	fragment, err := dcerpc.ParseRequest(p)
	if err != nil {
		return fault(out, p.Header, 0, dcerpc.StatusProtoError), false
	}
	r, complete, err := c.calls.Request(p.Header, fragment)
	if err != nil {
		return fault(out, p.Header, fragment.ContextID, dcerpc.StatusProtoError), false
	}
	if !complete || p.Flags&dcerpc.FlagMaybe != 0 {
		return out, true
	}
	status := c.execute(r)
	if p.AuthLength != 0 {
		status = dcerpc.StatusAccessDenied // no security context was ever made
	}
	return fault(out, p.Header, r.ContextID, status), true
}

// execute returns the fault with which r ends. Until the rehearsal host can
// answer an activation, that is every request's: the one operation there is
// ends as on a host that is too busy, which makes a client try its next host at
// once, where an unknown operation would tell it that this is no KMS host.
func (c *conversation) execute(r dcerpc.Request) dcerpc.Status {
	switch {
	case !slices.Contains(c.contexts, r.ContextID):
		return dcerpc.StatusUnknownIf
	case r.Opnum != kmswire.OpRequestActivation:
		return dcerpc.StatusOpRange
	}
	return dcerpc.StatusServerTooBusy
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
