package dcerpc

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Values of ContextResult.Result (C706 12.6.3.1 p_cont_def_result_t,
// [MS-RPCE] 2.2.2.4).
const (
	Acceptance        uint16 = 0
	UserRejection     uint16 = 1
	ProviderRejection uint16 = 2
	NegotiateAck      uint16 = 3 // answer to bind-time feature negotiation
)

// Values of ContextResult.Reason with ProviderRejection (C706 12.6.3.1
// p_provider_reason_t).
const (
	ReasonNotSpecified   uint16 = 0
	ReasonAbstractSyntax uint16 = 1 // abstract syntax not supported
	ReasonTransferSyntax uint16 = 2 // proposed transfer syntaxes not supported
	ReasonLocalLimit     uint16 = 3 // local limit exceeded
)

// maxSecondaryAddress is the longest secondary address in octets, NUL included,
// that ParseBindAck takes. A TCP port needs six.
const maxSecondaryAddress = 256

// ackFixedLen is the size in octets up to and including the length of the
// secondary address, and resultLen that of one ContextResult.
const (
	ackFixedLen = 10
	resultLen   = 4 + syntaxLen
)

// ContextResult is the answer to one proposed context, in the order of the
// proposals. Reason explains a rejection; with NegotiateAck it is the bit mask
// of the features agreed on. Transfer is zero unless Result is Acceptance.
type ContextResult struct {
	Result, Reason uint16
	Transfer       Syntax
}

// String describes r in words, for people who look for the reason of a failed
// bind.
func (r ContextResult) String() string {
	switch r.Result {
	case Acceptance:
		return fmt.Sprintf("accepted with %v", r.Transfer)
	case NegotiateAck:
		return fmt.Sprintf("features %#x agreed", r.Reason)
	case UserRejection:
		return fmt.Sprintf("rejected by the user, reason %d", r.Reason)
	case ProviderRejection:
		switch r.Reason {
		case ReasonNotSpecified:
			return "rejected: no reason given"
		case ReasonAbstractSyntax:
			return "rejected: abstract syntax not supported"
		case ReasonTransferSyntax:
			return "rejected: proposed transfer syntaxes not supported"
		case ReasonLocalLimit:
			return "rejected: local limit exceeded"
		}
		return fmt.Sprintf("rejected: reason %d", r.Reason)
	}
	return fmt.Sprintf("result %d, reason %d", r.Result, r.Reason)
}

// BindAck is the contents of bind_ack and of alter_context_resp
// (C706 12.6.4.4, 12.6.4.2).
type BindAck struct {
	MaxXmit    uint16 // longest fragment, in octets, that the server sends
	MaxRecv    uint16 // longest fragment, in octets, that the server takes
	AssocGroup uint32 // never 0 from a server that follows the protocol

	// SecondaryAddress is the server's port in decimal on a bind_ack, and
	// empty on an alter_context_resp.
	SecondaryAddress string

	Results []ContextResult
}

// Append appends a as a PDU of type t, TypeBindAck or TypeAlterContextResp, and
// returns the extended slice. An empty secondary address has length 0, as
// Windows sends it, any other is sent with its NUL. It panics if a has more
// than 255 results or does not fit into a PDU.
func (a BindAck) Append(dst []byte, t PacketType, flags Flags, callID uint32) []byte {
	start := len(dst)
	dst = begin(dst, t, flags, callID)
	dst = binary.LittleEndian.AppendUint16(dst, a.MaxXmit)
	dst = binary.LittleEndian.AppendUint16(dst, a.MaxRecv)
	dst = binary.LittleEndian.AppendUint32(dst, a.AssocGroup)
	if a.SecondaryAddress == "" {
		dst = append(dst, 0, 0)
	} else {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(a.SecondaryAddress)+1))
		dst = append(dst, a.SecondaryAddress...)
		dst = append(dst, 0)
	}
	for (len(dst)-start)%4 != 0 {
		dst = append(dst, 0)
	}
	dst = append(dst, count8(len(a.Results)), 0, 0, 0)
	for _, r := range a.Results {
		dst = binary.LittleEndian.AppendUint16(dst, r.Result)
		dst = binary.LittleEndian.AppendUint16(dst, r.Reason)
		dst = appendSyntax(dst, r.Transfer)
	}
	return finish(dst, start)
}

// ParseBindAck reads a bind_ack or an alter_context_resp. The result shares no
// memory with p. The secondary address ends before its first NUL. Octets after
// the last result are ignored; that there are as many results as contexts were
// proposed is for the caller to check.
//
// The error wraps ErrType, ErrLength, ErrTruncated, ErrTooLong for a secondary
// address of more than 256 octets, or ErrTooMany for more than MaxContexts
// results.
func ParseBindAck(p PDU) (BindAck, error) {
	src, err := p.contents(TypeBindAck, TypeAlterContextResp)
	if err != nil {
		return BindAck{}, err
	}
	if len(src) < ackFixedLen {
		return BindAck{}, fmt.Errorf("dcerpc: %v of %d octets: %w", p.Type, len(src), ErrTruncated)
	}
	a := BindAck{
		MaxXmit:    binary.LittleEndian.Uint16(src),
		MaxRecv:    binary.LittleEndian.Uint16(src[2:]),
		AssocGroup: binary.LittleEndian.Uint32(src[4:]),
	}
	n := int(binary.LittleEndian.Uint16(src[8:]))
	if n > maxSecondaryAddress {
		return BindAck{}, fmt.Errorf("dcerpc: secondary address of %d octets: %w", n, ErrTooLong)
	}
	// The header is a multiple of 4, so alignment from the start of the PDU is
	// alignment from the start of src.
	list := (ackFixedLen + n + 3) &^ 3
	if len(src) < list+4 {
		return BindAck{}, fmt.Errorf("dcerpc: secondary address of %d octets in a %v of %d: %w",
			n, p.Type, len(src), ErrTruncated)
	}
	address, _, _ := bytes.Cut(src[ackFixedLen:ackFixedLen+n], []byte{0})
	a.SecondaryAddress = string(address)
	a.Results, err = parseResults(src[list:])
	if err != nil {
		return BindAck{}, fmt.Errorf("dcerpc: %v: %w", p.Type, err)
	}
	return a, nil
}

// parseResults reads a result list from src, which has at least 4 octets.
func parseResults(src []byte) ([]ContextResult, error) {
	n := int(src[0])
	src = src[4:]
	if n > MaxContexts {
		return nil, fmt.Errorf("%d results: %w", n, ErrTooMany)
	}
	if len(src) < n*resultLen {
		return nil, fmt.Errorf("%d results in %d octets: %w", n, len(src), ErrTruncated)
	}
	results := make([]ContextResult, n)
	for i := range results {
		at := src[i*resultLen:]
		results[i] = ContextResult{
			Result:   binary.LittleEndian.Uint16(at),
			Reason:   binary.LittleEndian.Uint16(at[2:]),
			Transfer: readSyntax(at[4:]),
		}
	}
	return results, nil
}

// Accepted returns the position of the first accepted context among the
// proposals, and whether there is one. The server's choice of encoding is
// a.Results[index].Transfer.
func (a BindAck) Accepted() (index int, ok bool) {
	for i, r := range a.Results {
		if r.Result == Acceptance {
			return i, true
		}
	}
	return 0, false
}
