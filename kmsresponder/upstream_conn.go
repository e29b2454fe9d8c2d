package kmsresponder

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// maxAnswer is the largest response stub, in octets, that is put together from
// fragments: more than a message may have.
const maxAnswer = 2048

// upstreamConn is a connection to a KMS host, bound and ready for a call. One
// goroutine at a time may use it.
type upstreamConn struct {
	conn    net.Conn
	source  struct{ io.Reader } // where in reads: conn, unless somebody reads without waiting
	closed  atomic.Bool
	address netip.AddrPort
	in      *dcerpc.Reader
	answers dcerpc.Assembler
	with    presentation
	call    uint32 // id of the last call
	out     []byte // of the last request
	stub    []byte // likewise

	lane   atomic.Int32 // of the loop that last used it; 0: none has
	parked time.Time    // when it was last put back
}

// What a host did instead of answering a call, beside the errors of the network
// and of the codecs.
type (
	hostFault  struct{ dcerpc.Status } // it answered with a fault
	hostRefuse struct{ words string }  // it refused the bind
	hostStray  struct{ words string }  // it answered something else
)

func (e hostFault) Error() string  { return "fault " + e.Status.String() }
func (e hostRefuse) Error() string { return e.words }
func (e hostStray) Error() string  { return e.words }

// offered are the encodings proposed to a host; the context id is the index. A
// host takes one of the two: NDR32 before Windows 8, NDR64 since. Both proposed
// at once, neither generation needs an alter_context.
var offered = []dcerpc.Syntax{dcerpc.NDR32, dcerpc.NDR64}

// bindRequest asks for the KMS interface, as call firstCall.
var bindRequest = func() []byte {
	b := dcerpc.Bind{MaxXmit: dcerpc.DefaultMaxFrag, MaxRecv: dcerpc.DefaultMaxFrag}
	for id, s := range offered {
		b.Contexts = append(b.Contexts, dcerpc.Context{ID: uint16(id), Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{s}})
	}
	return b.Append(nil, dcerpc.TypeBind, whole, firstCall)
}()

const firstCall = 2 // as Windows begins

// dialUpstream connects to address and binds, until the time given; not if that
// is here.
func dialUpstream(address netip.AddrPort, until time.Time, here own) (*upstreamConn, error) {
	if here.is(address, netip.Addr{}) {
		return nil, errOwn
	}
	// A connection that idles for longer than keep-alives take was closed before.
	d := net.Dialer{Deadline: until, KeepAlive: -1}
	conn, err := d.Dial("tcp", address.String())
	if err != nil {
		return nil, err
	}
	if at, ok := conn.LocalAddr().(*net.TCPAddr); ok && here.is(address, at.AddrPort().Addr()) {
		conn.Close()
		return nil, errOwn
	}
	c := &upstreamConn{
		conn:    conn,
		address: address,
		answers: dcerpc.Assembler{Max: maxAnswer},
		call:    firstCall,
	}
	c.source.Reader = conn
	c.in = dcerpc.NewReader(&c.source, dcerpc.DefaultMaxFrag)
	if err := c.bind(until); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *upstreamConn) close() {
	c.closed.Store(true)
	c.conn.Close()
}

func (c *upstreamConn) bind(until time.Time) error {
	c.conn.SetDeadline(until)
	if _, err := c.conn.Write(bindRequest); err != nil {
		return err
	}
	p, err := c.next()
	if err != nil {
		return err
	}
	switch p.Type {
	case dcerpc.TypeBindNak:
		nak, err := dcerpc.ParseBindNak(p)
		if err != nil {
			return err
		}
		return hostRefuse{"bind_nak: " + nak.Reason.String()}
	case dcerpc.TypeBindAck:
	default:
		return hostStray{fmt.Sprintf("bind was answered with a %v", p.Type)}
	}
	ack, err := dcerpc.ParseBindAck(p)
	if err != nil {
		return err
	}
	i, ok := ack.Accepted()
	switch {
	case !ok:
		return hostRefuse{fmt.Sprintf("bind_ack without the KMS interface: %v", ack.Results)}
	case i >= len(offered) || ack.Results[i].Transfer != offered[i]:
		return hostStray{fmt.Sprintf("bind_ack accepts what was not offered: %v", ack.Results)}
	}
	c.with = presentation{uint16(i), offered[i]}
	return nil
}

// exchange sends message and returns the host's answer, which is valid until the
// next exchange. After an error the connection is of no more use.
func (c *upstreamConn) exchange(message []byte, until time.Time) (response []byte, hr kmswire.HRESULT, err error) {
	c.conn.SetDeadline(until)
	if _, err := c.conn.Write(c.compose(message)); err != nil {
		return nil, 0, err
	}
	return c.answer()
}

// compose returns the request for message, which is then the present call. It is
// valid until the next one.
func (c *upstreamConn) compose(message []byte) []byte {
	c.call++
	ndr64 := c.with.transfer == dcerpc.NDR64
	// With MaxMessage and its frame, the request fits the fragment that every
	// peer must take.
	c.stub = kmswire.AppendRequestStub(c.stub[:0], message, ndr64)
	c.out = dcerpc.Request{
		AllocHint: uint32(len(c.stub)),
		ContextID: c.with.id,
		Opnum:     kmswire.OpRequestActivation,
		Stub:      c.stub,
	}.Append(c.out[:0], dcerpc.TypeRequest, whole, c.call)
	return c.out
}

// answer reads the answer to the present call. An error of the source may be
// followed by another answer, which continues where it stopped.
func (c *upstreamConn) answer() (response []byte, hr kmswire.HRESULT, err error) {
	stub, err := c.response()
	if err != nil {
		return nil, 0, err
	}
	return kmswire.ParseResponseStub(stub, c.with.transfer == dcerpc.NDR64)
}

// response reads the stub of the present call's response.
func (c *upstreamConn) response() ([]byte, error) {
	for {
		p, err := c.next()
		if err != nil {
			return nil, err
		}
		fragment, err := dcerpc.ParseResponse(p)
		if err != nil {
			return nil, err
		}
		r, complete, err := c.answers.Response(p.Header, fragment)
		if err != nil || complete {
			return r.Stub, err
		}
	}
}

// next reads a PDU, which must be of the present call. A fault is an error.
func (c *upstreamConn) next() (dcerpc.PDU, error) {
	p, err := c.in.Next()
	if err != nil {
		return dcerpc.PDU{}, err
	}
	if p.CallID != c.call {
		return dcerpc.PDU{}, hostStray{fmt.Sprintf("%v for call %d, asked was call %d", p.Type, p.CallID, c.call)}
	}
	if p.Type != dcerpc.TypeFault {
		return p, nil
	}
	f, err := dcerpc.ParseFault(p)
	if err != nil {
		return dcerpc.PDU{}, err
	}
	return dcerpc.PDU{}, hostFault{f.Status}
}

// classify gives err, from dialUpstream or exchange, its one word. It is the
// only place that does.
func classify(err error) Outcome {
	var (
		fault   hostFault
		refuse  hostRefuse
		network net.Error
	)
	local := []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL}
	switch {
	case errors.As(err, &fault), errors.As(err, &refuse):
		return Faulted
	case errors.As(err, &network) && network.Timeout():
		return Silent
	case errors.Is(err, errOwn), slices.ContainsFunc(local, func(e error) bool { return errors.Is(err, e) }):
		return Local
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		return Dead
	}
	return Garbled
}
