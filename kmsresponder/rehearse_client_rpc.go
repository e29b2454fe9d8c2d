package kmsresponder

import (
	"errors"
	"fmt"
	"net"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// Contexts as a 64-bit Windows client numbers them.
const (
	contextNDR32 = iota
	contextNDR64
	contextFeatures
)

// session is the client's end of one connection, after the bind. The deadline
// of the connection is for its owner to set.
type session struct {
	conn  net.Conn
	in    *dcerpc.Reader
	calls dcerpc.Assembler
	call  uint32 // id of the last call

	next, later presentation // what the next request is encoded in, and those after it
}

// openSession binds as a 64-bit Windows client does: it proposes NDR32, NDR64
// and bind-time feature negotiation. A host that takes NDR64 refuses NDR32 for
// that reason alone; the client then asks for NDR32 by alter_context, has its
// first request encoded in it, and all later ones in NDR64.
func openSession(conn net.Conn) (*session, error) {
	s := &session{
		conn:  conn,
		in:    dcerpc.NewReader(conn, dcerpc.DefaultMaxFrag),
		calls: dcerpc.Assembler{Max: maxStub},
		call:  1, // Windows begins with 2
	}
	accepted, err := s.propose(dcerpc.TypeBind, []dcerpc.Context{
		propose(contextNDR32, dcerpc.NDR32),
		propose(contextNDR64, dcerpc.NDR64),
		propose(contextFeatures, dcerpc.FeatureNegotiation(dcerpc.SecurityContextMultiplexing|dcerpc.KeepConnectionOnOrphan)),
	})
	if err != nil {
		return nil, err
	}
	s.next, s.later = accepted, accepted
	if accepted.transfer == dcerpc.NDR64 {
		s.next, err = s.propose(dcerpc.TypeAlterContext, []dcerpc.Context{propose(contextNDR32, dcerpc.NDR32)})
	}
	return s, err
}

func propose(id uint16, transfer dcerpc.Syntax) dcerpc.Context {
	return dcerpc.Context{ID: id, Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{transfer}}
}

// propose sends a bind or an alter_context and returns the context that the
// host accepted.
func (s *session) propose(t dcerpc.PacketType, contexts []dcerpc.Context) (presentation, error) {
	s.call++
	b := dcerpc.Bind{MaxXmit: dcerpc.DefaultMaxFrag, MaxRecv: dcerpc.DefaultMaxFrag, Contexts: contexts}
	if _, err := s.conn.Write(b.Append(nil, t, whole, s.call)); err != nil {
		return presentation{}, err
	}
	p, err := s.answer()
	if err != nil {
		return presentation{}, fmt.Errorf("%v: %w", t, err)
	}
	if p.Type == dcerpc.TypeBindNak {
		nak, err := dcerpc.ParseBindNak(p)
		return presentation{}, errors.Join(fmt.Errorf("%v refused: %v", t, nak.Reason), err)
	}
	ack, err := dcerpc.ParseBindAck(p)
	if err != nil {
		return presentation{}, err
	}
	i, ok := ack.Accepted()
	if !ok || i >= len(contexts) || ack.Results[i].Transfer != contexts[i].Transfer[0] {
		return presentation{}, fmt.Errorf("%v without the KMS interface: %v", t, ack.Results)
	}
	return presentation{contexts[i].ID, contexts[i].Transfer[0]}, nil
}

// request sends a message and returns the host's, which is valid until the next
// request, and its outcome.
func (s *session) request(message []byte) (response []byte, hr kmswire.HRESULT, err error) {
	s.call++
	with := s.next
	s.next = s.later
	ndr64 := with.transfer == dcerpc.NDR64
	stub := kmswire.AppendRequestStub(nil, message, ndr64)
	r := dcerpc.Request{
		AllocHint: uint32(len(stub)),
		ContextID: with.id,
		Opnum:     kmswire.OpRequestActivation,
		Stub:      stub,
	}
	if _, err := s.conn.Write(r.Append(nil, dcerpc.TypeRequest, whole, s.call)); err != nil {
		return nil, 0, err
	}
	if stub, err = s.response(); err != nil {
		return nil, 0, err
	}
	return kmswire.ParseResponseStub(stub, ndr64)
}

// response reads the stub of a response, however many fragments it is in.
func (s *session) response() ([]byte, error) {
	for {
		p, err := s.answer()
		if err != nil {
			return nil, err
		}
		fragment, err := dcerpc.ParseResponse(p)
		if err != nil {
			return nil, err
		}
		r, complete, err := s.calls.Response(p.Header, fragment)
		if err != nil || complete {
			return r.Stub, err
		}
	}
}

// answer reads the next PDU, which must be of the current call. A fault is an
// error.
func (s *session) answer() (dcerpc.PDU, error) {
	p, err := s.in.Next()
	if err != nil {
		return dcerpc.PDU{}, err
	}
	if p.CallID != s.call {
		return dcerpc.PDU{}, fmt.Errorf("%v for call %d, asked was call %d", p.Type, p.CallID, s.call)
	}
	if p.Type != dcerpc.TypeFault {
		return p, nil
	}
	f, err := dcerpc.ParseFault(p)
	return dcerpc.PDU{}, errors.Join(fmt.Errorf("fault %v", f.Status), err)
}
