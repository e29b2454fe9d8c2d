package dcerpc

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// HeaderLen is the size in octets of the header common to all PDUs
// (C706 12.6.3.1).
const HeaderLen = 16

// secTrailerLen is the fixed part of the security trailer in front of
// auth_length octets of credentials ([MS-RPCE] 2.2.2.11).
const secTrailerLen = 8

// Offsets in the common header that are used more than once.
const (
	offFlags      = 3
	offFragLength = 8
)

// PacketType is the PDU type of the common header (C706 12.6.4).
type PacketType uint8

// The types of the connection-oriented protocol.
const (
	TypeRequest          PacketType = 0
	TypeResponse         PacketType = 2
	TypeFault            PacketType = 3
	TypeBind             PacketType = 11
	TypeBindAck          PacketType = 12
	TypeBindNak          PacketType = 13
	TypeAlterContext     PacketType = 14
	TypeAlterContextResp PacketType = 15
	TypeAuth3            PacketType = 16 // Microsoft's rpc_auth_3
	TypeShutdown         PacketType = 17
	TypeCancel           PacketType = 18
	TypeOrphaned         PacketType = 19
)

// String returns the name that C706 uses, or "type N" for a type that the
// connection-oriented protocol does not have.
func (t PacketType) String() string {
	switch t {
	case TypeRequest:
		return "request"
	case TypeResponse:
		return "response"
	case TypeFault:
		return "fault"
	case TypeBind:
		return "bind"
	case TypeBindAck:
		return "bind_ack"
	case TypeBindNak:
		return "bind_nak"
	case TypeAlterContext:
		return "alter_context"
	case TypeAlterContextResp:
		return "alter_context_resp"
	case TypeAuth3:
		return "auth3"
	case TypeShutdown:
		return "shutdown"
	case TypeCancel:
		return "cancel"
	case TypeOrphaned:
		return "orphaned"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Flags are the pfc_flags of the common header (C706 12.6.3.1).
type Flags uint8

// The flags. FlagPendingCancel means "client supports header signing" on a
// bind or alter_context ([MS-RPCE] 2.2.2.3).
const (
	FlagFirst         Flags = 0x01 // first fragment of a call
	FlagLast          Flags = 0x02 // last fragment of a call
	FlagPendingCancel Flags = 0x04 // a cancel was pending at the sender
	FlagConcMPX       Flags = 0x10 // sender can multiplex concurrent calls
	FlagDidNotExecute Flags = 0x20 // on a fault: the call certainly did not run
	FlagMaybe         Flags = 0x40 // on a request: no answer of any kind is wanted
	FlagObject        Flags = 0x80 // on a request: an object UUID is present
)

// Header is the common header without its version and data representation,
// which have only one accepted value.
type Header struct {
	Type       PacketType
	Flags      Flags
	FragLength uint16 // octets of the whole PDU, header and verifier included
	AuthLength uint16 // octets of credentials at the end; 0 = no verifier
	CallID     uint32
}

// ParseHeader reads the common header at the start of src; octets after it are
// ignored. With a nil error, FragLength is at least HeaderLen and has room for
// the verifier that AuthLength announces; whether that many octets are present
// is not checked here.
//
// The error wraps ErrTruncated (src is shorter than HeaderLen), ErrVersion,
// ErrRepresentation or ErrLength, tested in this order. With ErrVersion, Type,
// Flags and CallID are returned as found, read as version 5 has them, because
// the answer to a bind of another version has to carry its call id.
func ParseHeader(src []byte) (Header, error) {
	if len(src) < HeaderLen {
		return Header{}, fmt.Errorf("dcerpc: header of %d octets: %w", len(src), ErrTruncated)
	}
	h := Header{
		Type:   PacketType(src[2]),
		Flags:  Flags(src[offFlags]),
		CallID: binary.LittleEndian.Uint32(src[12:]),
	}
	if src[0] != 5 || src[1] > 1 {
		return h, fmt.Errorf("dcerpc: version %d.%d: %w", src[0], src[1], ErrVersion)
	}
	// Octet 4 is integer order (high nibble) and characters (low nibble), 5 is
	// floating point; the other two are reserved (C706 14.1).
	if src[4] != 0x10 || src[5] != 0 {
		return Header{}, fmt.Errorf("dcerpc: representation %x: %w", src[4:8], ErrRepresentation)
	}
	h.FragLength = binary.LittleEndian.Uint16(src[offFragLength:])
	h.AuthLength = binary.LittleEndian.Uint16(src[10:])
	need := HeaderLen
	if h.AuthLength != 0 {
		need += secTrailerLen + int(h.AuthLength)
	}
	if int(h.FragLength) < need {
		return Header{}, fmt.Errorf("dcerpc: frag_length %d with auth_length %d: %w",
			h.FragLength, h.AuthLength, ErrLength)
	}
	return h, nil
}

// PDU is one protocol data unit as received: its header and what follows it,
// a verifier included. Where it came from a Reader, Body is valid until the
// reader's next call.
type PDU struct {
	Header
	Body []byte
}

// contents returns Body without the verifier and the padding in front of it,
// after checking that the PDU is of one of the types wanted.
func (p PDU) contents(want ...PacketType) ([]byte, error) {
	if !slices.Contains(want, p.Type) {
		return nil, fmt.Errorf("dcerpc: %v where %v was expected: %w", p.Type, want[0], ErrType)
	}
	if p.AuthLength == 0 {
		return p.Body, nil
	}
	end := len(p.Body) - secTrailerLen - int(p.AuthLength)
	if end < 0 {
		return nil, fmt.Errorf("dcerpc: auth_length %d in a body of %d octets: %w",
			p.AuthLength, len(p.Body), ErrLength)
	}
	pad := int(p.Body[end+2]) // auth_pad_length
	if pad > end {
		return nil, fmt.Errorf("dcerpc: %d octets of padding after %d of contents: %w",
			pad, end, ErrLength)
	}
	return p.Body[:end-pad], nil
}

// begin appends a header whose frag_length is still to be set by finish.
func begin(dst []byte, t PacketType, flags Flags, callID uint32) []byte {
	dst = append(dst,
		5, 0, byte(t), byte(flags),
		0x10, 0, 0, 0,
		0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(dst, callID)
}

// finish sets frag_length of the PDU that starts at start and ends with dst.
//
// A PDU beyond 65,535 octets cannot be expressed; sending one with a wrong
// length would desynchronise the stream, so it panics. Only a caller that
// ignores the negotiated fragment size gets there.
func finish(dst []byte, start int) []byte {
	n := len(dst) - start
	if n > 0xffff {
		panic(fmt.Sprintf("dcerpc: PDU of %d octets", n))
	}
	binary.LittleEndian.PutUint16(dst[start+offFragLength:], uint16(n))
	return dst
}

// count8 returns n as an octet, for counts that the protocol gives one octet.
// It panics, for the reason that finish does, when n does not fit.
func count8(n int) byte {
	if n > 0xff {
		panic(fmt.Sprintf("dcerpc: %d elements where at most 255 can be expressed", n))
	}
	return byte(n)
}
