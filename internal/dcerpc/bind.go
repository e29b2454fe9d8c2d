package dcerpc

import (
	"encoding/binary"
	"fmt"
)

// What ParseBind and ParseBindAck take at most. Windows sends three contexts of
// one transfer syntax each; the protocol could express 255 of 255.
const (
	MaxContexts  = 16
	MaxTransfers = 8
)

// Sizes in octets of the fixed parts.
const (
	bindFixedLen    = 12 // fragment sizes, association group, context count
	contextFixedLen = 4 + syntaxLen
)

// Context is one presentation context that a client proposes: an interface,
// and the encodings in which the client can speak to it. Requests refer to it
// by ID.
type Context struct {
	ID       uint16
	Abstract Syntax
	Transfer []Syntax
}

// Bind is the contents of bind and of alter_context (C706 12.6.4.3, 12.6.4.1).
type Bind struct {
	MaxXmit    uint16 // longest fragment, in octets, that the client sends
	MaxRecv    uint16 // longest fragment, in octets, that the client takes
	AssocGroup uint32 // 0 asks for a new association group
	Contexts   []Context
}

// Append appends b as a PDU of type t, TypeBind or TypeAlterContext, and
// returns the extended slice. It panics if b has more than 255 contexts or a
// context more than 255 transfer syntaxes; a peer may refuse far fewer.
func (b Bind) Append(dst []byte, t PacketType, flags Flags, callID uint32) []byte {
	start := len(dst)
	dst = begin(dst, t, flags, callID)
	dst = binary.LittleEndian.AppendUint16(dst, b.MaxXmit)
	dst = binary.LittleEndian.AppendUint16(dst, b.MaxRecv)
	dst = binary.LittleEndian.AppendUint32(dst, b.AssocGroup)
	dst = append(dst, count8(len(b.Contexts)), 0, 0, 0)
	for _, c := range b.Contexts {
		dst = binary.LittleEndian.AppendUint16(dst, c.ID)
		dst = append(dst, count8(len(c.Transfer)), 0)
		dst = appendSyntax(dst, c.Abstract)
		for _, s := range c.Transfer {
			dst = appendSyntax(dst, s)
		}
	}
	return finish(dst, start)
}

// ParseBind reads a bind or an alter_context. The result shares no memory with
// p. Octets after the last context are ignored. Whether the client wants
// authentication is p.AuthLength != 0; it is for the caller to refuse.
//
// The error wraps ErrType, ErrLength, ErrTruncated, or ErrTooMany for more than
// MaxContexts contexts or MaxTransfers transfer syntaxes in one.
func ParseBind(p PDU) (Bind, error) {
	src, err := p.contents(TypeBind, TypeAlterContext)
	if err != nil {
		return Bind{}, err
	}
	if len(src) < bindFixedLen {
		return Bind{}, fmt.Errorf("dcerpc: %v of %d octets: %w", p.Type, len(src), ErrTruncated)
	}
	b := Bind{
		MaxXmit:    binary.LittleEndian.Uint16(src),
		MaxRecv:    binary.LittleEndian.Uint16(src[2:]),
		AssocGroup: binary.LittleEndian.Uint32(src[4:]),
	}
	n := int(src[8])
	src = src[bindFixedLen:]
	if n > MaxContexts {
		return Bind{}, fmt.Errorf("dcerpc: %v with %d contexts: %w", p.Type, n, ErrTooMany)
	}
	if len(src) < n*contextFixedLen {
		return Bind{}, fmt.Errorf("dcerpc: %d contexts in %d octets: %w", n, len(src), ErrTruncated)
	}
	b.Contexts = make([]Context, n)
	for i := range b.Contexts {
		if src, err = parseContext(&b.Contexts[i], src); err != nil {
			return Bind{}, fmt.Errorf("dcerpc: context %d of %v: %w", i, p.Type, err)
		}
	}
	return b, nil
}

// parseContext reads one context from src into c and returns the rest of src.
func parseContext(c *Context, src []byte) (rest []byte, err error) {
	if len(src) < contextFixedLen {
		return nil, ErrTruncated
	}
	c.ID = binary.LittleEndian.Uint16(src)
	n := int(src[2])
	c.Abstract = readSyntax(src[4:])
	src = src[contextFixedLen:]
	if n > MaxTransfers {
		return nil, fmt.Errorf("%d transfer syntaxes: %w", n, ErrTooMany)
	}
	if len(src) < n*syntaxLen {
		return nil, fmt.Errorf("%d transfer syntaxes in %d octets: %w", n, len(src), ErrTruncated)
	}
	c.Transfer = make([]Syntax, n)
	for i := range c.Transfer {
		c.Transfer[i] = readSyntax(src[i*syntaxLen:])
	}
	return src[n*syntaxLen:], nil
}

// FragLimit returns the fragment size, in octets and for both directions, that
// a server answers b with: the smaller of the client's two, within MinFrag and
// DefaultMaxFrag. A client that asks for less than MinFrag gets MinFrag, which
// it must be able to receive (C706 12.6.3.1).
func (b Bind) FragLimit() uint16 {
	return max(MinFrag, min(b.MaxXmit, b.MaxRecv, DefaultMaxFrag))
}
