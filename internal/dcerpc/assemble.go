package dcerpc

import "fmt"

// Assembler makes one request or response of its fragments. It takes one call
// at a time: a peer may multiplex calls on a connection, but may not interleave
// their fragments here. After an error the state is undefined and the
// connection is to be closed. The zero value is ready for calls that are not
// fragmented.
type Assembler struct {
	// Max is the largest stub, in octets, that is put together from several
	// fragments; a stub in one fragment was bounded by Reader. alloc_hint is
	// never used to allocate.
	Max int

	open bool
	call call
	stub []byte
}

// call is what all fragments of one call have in common.
type call struct {
	kind    PacketType
	id      uint32
	context uint16
	opnum   uint16
}

// Request takes the next fragment of a request, as ParseRequest returned it for
// the PDU with header h, and reports whether the request is complete. If it is,
// whole has the whole stub, which is f.Stub itself for a request in one
// fragment, and otherwise belongs to the caller; Object and AllocHint are those
// of the last fragment.
//
// The error wraps ErrSequence if the fragment does not continue the call, or is
// not the first when there is none, and ErrTooLong beyond Max.
func (a *Assembler) Request(h Header, f Request) (whole Request, complete bool, err error) {
	f.Stub, complete, err = a.add(h, call{TypeRequest, h.CallID, f.ContextID, f.Opnum}, f.Stub)
	if err != nil || !complete {
		return Request{}, false, err
	}
	return f, true, nil
}

// Response is like Request, for the fragments of a response.
func (a *Assembler) Response(h Header, f Response) (whole Response, complete bool, err error) {
	f.Stub, complete, err = a.add(h, call{TypeResponse, h.CallID, f.ContextID, 0}, f.Stub)
	if err != nil || !complete {
		return Response{}, false, err
	}
	return f, true, nil
}

func (a *Assembler) add(h Header, c call, stub []byte) ([]byte, bool, error) {
	first, last := h.Flags&FlagFirst != 0, h.Flags&FlagLast != 0
	switch {
	case first && a.open:
		return nil, false, fmt.Errorf("dcerpc: %v %d starts inside %d: %w", c.kind, c.id, a.call.id, ErrSequence)
	case !first && !a.open:
		return nil, false, fmt.Errorf("dcerpc: %v %d continues nothing: %w", c.kind, c.id, ErrSequence)
	case !first && c != a.call:
		return nil, false, fmt.Errorf("dcerpc: fragment of %v %d inside %d: %w", c.kind, c.id, a.call.id, ErrSequence)
	case first && last:
		return stub, true, nil
	case len(a.stub)+len(stub) > a.Max:
		return nil, false, fmt.Errorf("dcerpc: %v %d has more than %d octets: %w", c.kind, c.id, a.Max, ErrTooLong)
	}
	a.open, a.call = true, c
	a.stub = append(a.stub, stub...)
	if !last {
		return nil, false, nil
	}
	whole := a.stub
	a.open, a.stub = false, nil // idle connections keep nothing
	return whole, true, nil
}

// Abandon forgets the fragments of the call with this id, if it is the one
// being assembled: its sender gave it up with cancel or orphaned and will not
// complete it (C706 12.6.4.8).
func (a *Assembler) Abandon(callID uint32) {
	if a.open && a.call.id == callID {
		a.open, a.stub = false, nil
	}
}
