package dcerpc

import (
	"encoding/binary"
	"fmt"
)

// Sizes in octets of what precedes the stub or follows the header.
const (
	callFixedLen  = 8  // alloc_hint, context, and opnum or cancel count
	faultFixedLen = 12 // the same and the status; reserved octets may follow
)

// Request is the contents of a request (C706 12.6.4.9).
type Request struct {
	AllocHint uint32 // octets of stub in this and later fragments; 0 = unknown, never to be trusted
	ContextID uint16
	Opnum     uint16
	Object    *UUID // nil = none
	Stub      []byte
}

// Append appends r as a PDU of type t, which is TypeRequest, and returns the
// extended slice. Object alone decides FlagObject, whatever flags say. It
// panics if the PDU would exceed 65,535 octets; staying within the size agreed
// on at bind time is for the caller.
func (r Request) Append(dst []byte, t PacketType, flags Flags, callID uint32) []byte {
	flags &^= FlagObject
	if r.Object != nil {
		flags |= FlagObject
	}
	start := len(dst)
	dst = begin(dst, t, flags, callID)
	dst = binary.LittleEndian.AppendUint32(dst, r.AllocHint)
	dst = binary.LittleEndian.AppendUint16(dst, r.ContextID)
	dst = binary.LittleEndian.AppendUint16(dst, r.Opnum)
	if r.Object != nil {
		dst = append(dst, r.Object[:]...)
	}
	dst = append(dst, r.Stub...)
	return finish(dst, start)
}

// ParseRequest reads a request. Stub is a part of p.Body and valid as long as
// that is; a verifier and its padding are not in it. The error wraps ErrType,
// ErrLength or ErrTruncated.
func ParseRequest(p PDU) (Request, error) {
	src, err := p.contents(TypeRequest)
	if err != nil {
		return Request{}, err
	}
	if len(src) < callFixedLen {
		return Request{}, fmt.Errorf("dcerpc: request of %d octets: %w", len(src), ErrTruncated)
	}
	r := Request{
		AllocHint: binary.LittleEndian.Uint32(src),
		ContextID: binary.LittleEndian.Uint16(src[4:]),
		Opnum:     binary.LittleEndian.Uint16(src[6:]),
	}
	src = src[callFixedLen:]
	if p.Flags&FlagObject != 0 {
		if len(src) < len(UUID{}) {
			return Request{}, fmt.Errorf("dcerpc: object in %d octets: %w", len(src), ErrTruncated)
		}
		object := UUID(src[:len(UUID{})])
		r.Object = &object
		src = src[len(UUID{}):]
	}
	r.Stub = src
	return r, nil
}

// Response is the contents of a response (C706 12.6.4.10).
type Response struct {
	AllocHint   uint32 // octets of stub in this and later fragments; 0 = unknown, never to be trusted
	ContextID   uint16
	CancelCount uint8
	Stub        []byte
}

// Append appends r as a PDU of type t, which is TypeResponse, and returns the
// extended slice. It panics if the PDU would exceed 65,535 octets; staying
// within the size agreed on at bind time is for the caller.
func (r Response) Append(dst []byte, t PacketType, flags Flags, callID uint32) []byte {
	start := len(dst)
	dst = begin(dst, t, flags, callID)
	dst = binary.LittleEndian.AppendUint32(dst, r.AllocHint)
	dst = binary.LittleEndian.AppendUint16(dst, r.ContextID)
	dst = append(dst, r.CancelCount, 0)
	dst = append(dst, r.Stub...)
	return finish(dst, start)
}

// ParseResponse reads a response. Stub is a part of p.Body and valid as long as
// that is; a verifier and its padding are not in it. The error wraps ErrType,
// ErrLength or ErrTruncated.
func ParseResponse(p PDU) (Response, error) {
	src, err := p.contents(TypeResponse)
	if err != nil {
		return Response{}, err
	}
	if len(src) < callFixedLen {
		return Response{}, fmt.Errorf("dcerpc: response of %d octets: %w", len(src), ErrTruncated)
	}
	return Response{
		AllocHint:   binary.LittleEndian.Uint32(src),
		ContextID:   binary.LittleEndian.Uint16(src[4:]),
		CancelCount: src[6],
		Stub:        src[callFixedLen:],
	}, nil
}

// Fault is the contents of a fault (C706 12.6.4.7): the call failed, and
// nothing but Status came of it. FlagDidNotExecute in the header promises that
// the call had no effect, so that the client may repeat it elsewhere.
type Fault struct {
	AllocHint   uint32
	ContextID   uint16
	CancelCount uint8
	Status      Status
}

// Append appends f as a PDU of type t, which is TypeFault, and returns the
// extended slice, longer by 32 octets.
func (f Fault) Append(dst []byte, t PacketType, flags Flags, callID uint32) []byte {
	start := len(dst)
	dst = begin(dst, t, flags, callID)
	dst = binary.LittleEndian.AppendUint32(dst, f.AllocHint)
	dst = binary.LittleEndian.AppendUint16(dst, f.ContextID)
	dst = append(dst, f.CancelCount, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(f.Status))
	dst = append(dst, 0, 0, 0, 0)
	return finish(dst, start)
}

// ParseFault reads a fault. What follows the status, reserved octets and
// Microsoft's extended error information, is ignored. The error wraps ErrType,
// ErrLength or ErrTruncated.
func ParseFault(p PDU) (Fault, error) {
	src, err := p.contents(TypeFault)
	if err != nil {
		return Fault{}, err
	}
	if len(src) < faultFixedLen {
		return Fault{}, fmt.Errorf("dcerpc: fault of %d octets: %w", len(src), ErrTruncated)
	}
	return Fault{
		AllocHint:   binary.LittleEndian.Uint32(src),
		ContextID:   binary.LittleEndian.Uint16(src[4:]),
		CancelCount: src[6],
		Status:      Status(binary.LittleEndian.Uint32(src[8:])),
	}, nil
}

// Control stands for the contents of the PDUs that have none: cancel, orphaned
// and shutdown (C706 12.6.4.6, 12.6.4.8, 12.6.4.11). To receive one, its header
// says it all.
type Control struct{}

// Append appends a PDU of type t, TypeCancel, TypeOrphaned or TypeShutdown, and
// returns the extended slice, longer by HeaderLen.
func (Control) Append(dst []byte, t PacketType, flags Flags, callID uint32) []byte {
	return finish(begin(dst, t, flags, callID), len(dst))
}
