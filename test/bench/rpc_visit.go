package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// A visit is what one client sends and receives in one connection: a bind, then a request. A client that renews says the same
// again but for its clock, of which hosts forgive hours, so these octets serve for the whole benchmark.
type visit struct {
	from          [4]byte // the client's own address
	bind, request []byte
	ack, response []byte // what came back when it was recorded
	echo          int    // where the client's id stands in response
}

const (
	// visitTime is how long any visit may take. None comes near it, unless something is broken.
	visitTime = 10 * time.Second

	// largestPDU is more than any answer has.
	largestPDU = 1024

	typeResponse, typeBindAck = 2, 12 // the third octet of a PDU
)

// cmidOf is the id of client number i.
func cmidOf(i int) kmswire.GUID { return kmswire.GUID{0: 0xbe, 14: byte(i >> 8), 15: byte(i)} }

// addressOf is the address of client number i, one of this machine's. Clients have one each, as elsewhere. With one for all, a
// connection that is over keeps its port from the next one to the same place for a second (net.ipv4.tcp_tw_reuse), and the
// system searches every other port before the rest: after 14,116 calls a second to one place each costs a long search.
func addressOf(i int) [4]byte { return [4]byte{127, 3, byte(i >> 8), byte(i)} }

// recordVisits has rehearsal clients call the host at address, one after the other, and keeps what went over the wire. They
// check that what they got is sealed by a rehearsal host and theirs.
func recordVisits(ctx context.Context, address string, clients int) ([]visit, error) {
	host, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	visits := make([]visit, clients)
	for i := range visits {
		var wire *recorder
		own := addressOf(i)
		c := kmsresponder.RehearsalClient{
			Name:     fmt.Sprintf("BENCH%05d", i),
			CMID:     cmidOf(i),
			Suffixes: []string{"example"},
			Discover: func(context.Context, string) ([]kmsresponder.SRV, error) {
				return []kmsresponder.SRV{{Target: "host.example", Port: host.Port(), Addresses: []netip.Addr{host.Addr()}}}, nil
			},
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: own[:]}}).DialContext(ctx, network, address)
				wire = &recorder{Conn: conn}
				return wire, err
			},
		}
		a := c.Activate(ctx)
		if a.Host == "" {
			return nil, fmt.Errorf("client %d has no answer of %s: %v", i, address, a.Tries)
		}
		if visits[i], err = wire.visit(c.CMID); err != nil {
			return nil, fmt.Errorf("client %d at %s: %w", i, address, err)
		}
		visits[i].from = own
	}
	return visits, nil
}

// recorder is a connection that keeps what is sent and received.
type recorder struct {
	net.Conn
	sent     [][]byte
	received []byte
}

func (r *recorder) Write(b []byte) (int, error) {
	r.sent = append(r.sent, bytes.Clone(b))
	return r.Conn.Write(b)
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.received = append(r.received, b[:n]...)
	return n, err
}

// visit is what was recorded, which must be one bind and one request, each with its answer.
func (r *recorder) visit(cmid kmswire.GUID) (v visit, err error) {
	if len(r.sent) != 2 {
		return v, fmt.Errorf("%d PDUs were sent, want a bind and a request", len(r.sent))
	}
	in := bytes.NewReader(r.received)
	buf := make([]byte, largestPDU)
	ack, err1 := readPDU(in, buf, typeBindAck)
	v = visit{bind: r.sent[0], request: r.sent[1], ack: bytes.Clone(ack)}
	response, err2 := readPDU(in, buf, typeResponse)
	v.response, v.echo = bytes.Clone(response), bytes.Index(response, cmid[:])
	switch err := errors.Join(err1, err2); {
	case err != nil:
		return v, err
	case in.Len() > 0:
		return v, fmt.Errorf("%d octets behind the response", in.Len())
	case v.echo < 0:
		return v, errors.New("the response does not have the client's id")
	}
	return v, nil
}

// readPDU reads one PDU, which must be of type t, into buf.
func readPDU(r io.Reader, buf []byte, t byte) ([]byte, error) {
	const header = 16
	n, err := io.ReadAtLeast(r, buf[:header], header)
	if err != nil {
		return nil, err
	}
	length := int(binary.LittleEndian.Uint16(buf[8:]))
	switch {
	case buf[2] != t:
		return nil, fmt.Errorf("a PDU of type %d instead of %d", buf[2], t)
	case length < header || length > len(buf):
		return nil, fmt.Errorf("a PDU of %d octets", length)
	}
	_, err = io.ReadFull(r, buf[n:length])
	return buf[:length], err
}

// dialer leaves keep-alives off: each is a system call at the client, and none lives that long.
var dialer = net.Dialer{KeepAlive: -1}

// make visits address and compares what comes back with what was recorded. buf is for reading, of largestPDU octets.
func (v *visit) make(address string, buf []byte) error { return v.within(address, visitTime, buf) }

// within is make for a client that waits so long for each answer.
func (v *visit) within(address string, patience time.Duration, buf []byte) error {
	conn, err := dialSocket(v.from, address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	return v.talk(conn, buf)
}

// talk is a visit without connecting and hanging up.
func (v *visit) talk(conn io.ReadWriter, buf []byte) error {
	if _, err := conn.Write(v.bind); err != nil {
		return err
	}
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	if n != len(v.ack) || buf[2] != typeBindAck {
		return fmt.Errorf("a bind_ack of %d octets was to come, got %d: % x", len(v.ack), n, buf[:n])
	}
	return v.call(conn, buf)
}

// call is the request of a visit and its response. The response differs from the recorded one only in how many clients the
// host counts, in the host's name for itself, and therefore in its seal.
func (v *visit) call(conn io.ReadWriter, buf []byte) error {
	if _, err := conn.Write(v.request); err != nil {
		return err
	}
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	const cmid, status = 16, 4 // octets; the status ends the response, and 0 is success
	if n != len(v.response) || buf[2] != typeResponse ||
		!bytes.Equal(buf[v.echo:v.echo+cmid], v.response[v.echo:v.echo+cmid]) || !bytes.Equal(buf[n-status:n], make([]byte, status)) {
		return fmt.Errorf("the response is not that to this client's request: % x", buf[:n])
	}
	return nil
}
