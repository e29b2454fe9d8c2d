package kmsresponder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// asking is a bind and requests of n clients from first, as calls 3 to n+2.
func asking(first, n int) []byte {
	b := bind(2, dcerpc.NDR32)
	for i := range n {
		b = append(b, requestOf(uint32(3+i), whole, 0, 0, kmswire.AppendRequestStub(nil, messageV4(first+i), false))...)
	}
	return b
}

// answeredAll reports what is wrong if what is to be read from conn are not the
// answers to asking(first, n) and then, if it ends, the end.
func answeredAll(conn net.Conn, first, n int, ends bool) error {
	s := &session{conn: conn, in: dcerpc.NewReader(conn, 0), call: 2}
	if p, err := s.answer(); err != nil || p.Type != dcerpc.TypeBindAck {
		return fmt.Errorf("bind was answered %v, %w", p.Type, err)
	}
	for i := range n {
		s.call++
		stub, err := s.response()
		if err != nil {
			return fmt.Errorf("answer %d of %d: %w", i, n, err)
		}
		response, hr, err := kmswire.ParseResponseStub(stub, false)
		if err == nil {
			err = rightful(messageV4(first+i), response)
		}
		if hr != 0 || err != nil {
			return fmt.Errorf("answer %d of %d: %v, %w", i, n, hr, err)
		}
	}
	if !ends {
		return nil
	}
	if _, err := s.in.Next(); err != io.EOF {
		return fmt.Errorf("after the last answer: %w", err)
	}
	return nil
}

// TestLoopAnswersAll: whatever comes in one segment, or while a call is under
// way, is answered in order, and the end of the client's side does not take that
// from it; be it a worker who has the call, or the loop.
func TestLoopAnswersAll(t *testing.T) {
	for _, parked := range []bool{false, true} {
		h := startHeldHost(t)
		addr, g, stop := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0))})
		if parked {
			close(h.letGo)
			mustCall(t, addr, messageV4(1))
			h.letGo = make(chan struct{})
			<-h.asked
		}
		const n = 5
		pdus := asking(0, n)
		for name, parts := range map[string][][]byte{
			"in one":     {pdus},
			"an octet":   {pdus[:1], pdus[1:]},
			"one behind": {asking(0, 1), pdus[len(asking(0, 1)):]},
			"in halves":  {asking(0, 2)[:len(asking(0, 2))-20], pdus[len(asking(0, 2))-20:]},
		} {
			what := fmt.Sprintf("%s, parked %v", name, parked)
			conn := dial(t, addr)
			for i, part := range parts {
				if _, err := conn.Write(part); err != nil {
					t.Fatal(err)
				}
				if i == 0 && len(part) > 1 {
					h.waitAsked(t) // the call is under way
				}
			}
			conn.CloseWrite()
			if len(parts[0]) == 1 {
				h.waitAsked(t)
			}
			close(h.letGo)
			if err := answeredAll(conn, 0, n, true); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			h.letGo = make(chan struct{})
			for range n - 1 {
				<-h.asked
			}
		}
		stop()
		if open := g.Connections(); open != 0 {
			t.Errorf("%d connections are left", open)
		}
	}
}

// TestLoopHandsOver: calls that every host spoils after one answer go through
// workers, again and again on the same connections, while their clients send
// more, hang up and begin anew.
func TestLoopHandsOver(t *testing.T) {
	h := &host{}
	h.handle = func(conn net.Conn) {
		in := dcerpc.NewReader(conn, 0)
		c := &conversation{iface: new(Rehearsal).iface(), port: port(conn), group: 1,
			call: func(_ context.Context, _ dcerpc.Syntax, message []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
				return h.answer(message), 0, 0
			}}
		for range 2 { // a bind and one request
			p, err := in.Next()
			if err != nil {
				return
			}
			out, _ := c.next(t.Context(), nil, p)
			conn.Write(out)
		}
	}
	startHost(t, h)
	addr, g, stop := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0)), Limits: Limits{Connections: -1, Client: -1, Rate: -1}})
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() {
			for i := range 25 {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				conn.SetDeadline(time.Now().Add(30 * time.Second))
				visit := n*25 + i
				pdus := asking(10*visit, 6) // nobody else sends these
				half := visit * 7 % len(pdus)
				conn.Write(pdus[:half])
				conn.Write(pdus[half:])
				switch i % 3 {
				case 0:
					err = answeredAll(conn, 10*visit, 6, false)
				case 1:
					conn.(*net.TCPConn).CloseWrite()
					err = answeredAll(conn, 10*visit, 6, true)
				default: // without waiting for the others
					err = answeredAll(conn, 10*visit, 3, false)
					conn.(*net.TCPConn).SetLinger(i % 2)
				}
				if err != nil {
					t.Errorf("visit %d: %v", i, err)
				}
				conn.Close()
			}
		})
	}
	clients.Wait()
	mustCall(t, addr, messageV4(1))
	stop()
	if open := g.Connections(); open != 0 {
		t.Errorf("%d connections are left", open)
	}
}

// narrow makes ln and what it accepts send and receive no more than so much
// that nobody reads.
func narrow(t *testing.T, ln net.Listener) {
	t.Helper()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 32<<10),
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// serveOn serves c on ln until the end of the test.
func serveOn(t *testing.T, ln net.Listener, c GatewayConfig) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- NewGateway(c).Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

// stuffed is a client that has sent requests until nobody took them any more,
// because it reads nothing; rest is what is left to be sent of n.
func stuffed(t *testing.T, addr string, n int) (conn *net.TCPConn, rest []byte) {
	t.Helper()
	conn = dial(t, addr)
	conn.SetReadBuffer(32 << 10) // with next to nothing, acknowledgements that are late stall TCP itself
	conn.SetWriteBuffer(64 << 10)
	pdus := bind(2, dcerpc.NDR32)
	for i := range n {
		pdus = append(pdus, request(uint32(3+i), whole, 7, 0)...) // of no context
	}
	for len(pdus) > 0 {
		conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		sent, err := conn.Write(pdus)
		if pdus = pdus[sent:]; err != nil {
			break
		}
	}
	if len(pdus) == 0 {
		t.Fatal("all was taken although nothing was read")
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn, pdus
}

// TestLoopShortWrite: an answer that does not fit is sent when there is room,
// and what follows after it.
func TestLoopShortWrite(t *testing.T) {
	ln, err := ListenGateway(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	narrow(t, ln)
	serveOn(t, ln, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	const n = 20_000
	conn, rest := stuffed(t, ln.Addr().String(), n)
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := conn.Write(rest); err != nil {
			t.Error(err)
		}
		conn.CloseWrite()
	})
	in := dcerpc.NewReader(conn, 0)
	for i := range n + 1 {
		p, err := in.Next()
		if err != nil || p.CallID != uint32(2+i) {
			t.Fatalf("answer %d: %v, %v", i, p.Header, err)
		}
	}
	sending.Wait()
	if _, err := in.Next(); err != io.EOF {
		t.Errorf("after the last answer: %v", err)
	}
}

// TestLoopUnread: a client that does not read its answers is given up.
func TestLoopUnread(t *testing.T) {
	ln, err := ListenGateway(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	narrow(t, ln)
	serveOn(t, ln, GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0)), WriteTimeout: 300 * time.Millisecond})
	conn, rest := stuffed(t, ln.Addr().String(), 20_000)
	for err = nil; err == nil; {
		_, err = conn.Write(rest)
	}
	if network, ok := err.(net.Error); ok && network.Timeout() {
		t.Errorf("nobody gave up: %v", err)
	}
}

// TestVisitorSend: of an answer that the system takes in parts, what is left is
// kept, and nothing twice.
func TestVisitorSend(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[1])
	v := &visitor{tap: tap{fd: fds[0]}}
	answer := bytes.Repeat([]byte("0123456789"), 100_000)
	if err := v.send(answer); err != nil || len(v.rest) == 0 {
		t.Fatalf("%d octets are left, %v", len(v.rest), err)
	}
	var got []byte
	room := make([]byte, 4096)
	for len(got) < len(answer) {
		n, err := syscall.Read(fds[1], room)
		if err == nil {
			got = append(got, room[:n]...)
		} else if err := v.send(v.rest); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, answer) || v.rest != nil {
		t.Errorf("other octets arrived, or %d are left", len(v.rest))
	}
	syscall.Close(fds[0])
	if err := v.send(answer); err == nil {
		t.Error("what cannot be sent is sent")
	}
}

// TestLoopLeavesNothing: after the end there are as many descriptors as before.
func TestLoopLeavesNothing(t *testing.T) {
	h := startHost(t, &host{})
	before := descriptors(t)
	addr, _, stop := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(h.addr, 0))})
	for n := range 20 {
		mustCall(t, addr, messageV4(n))
	}
	s := connectTo(t, addr)
	if _, _, err := s.request(messageV4(1)); err != nil {
		t.Fatal(err)
	}
	stop()
	ended(t, "idle", s.conn)
	s.conn.Close()
	h.stop()
	if after := descriptors(t); after >= before { // the host's listener is gone
		t.Errorf("%d descriptors, before %d", after, before)
	}
}

// descriptors is how many this process has.
func descriptors(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Open("/proc/self/fd", syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	n, room := 0, make([]byte, 8192)
	for {
		got, err := syscall.ReadDirent(fd, room)
		if err != nil || got == 0 {
			return n
		}
		_, count, _ := syscall.ParseDirent(room[:got], -1, nil)
		n += count
	}
}
