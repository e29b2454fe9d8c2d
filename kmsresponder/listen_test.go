package kmsresponder

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
)

// bound connects to addr and completes a bind, after which the server is
// certainly waiting for this connection's next PDU.
func bound(t *testing.T, addr string) (*net.TCPConn, dcerpc.BindAck) {
	t.Helper()
	conn := dial(t, addr)
	if _, err := conn.Write(bind(2, dcerpc.NDR32)); err != nil {
		t.Fatal(err)
	}
	p, err := dcerpc.NewReader(conn, 0).Next()
	if err != nil {
		t.Fatal(err)
	}
	ack, err := dcerpc.ParseBindAck(p)
	if err != nil {
		t.Fatal(err)
	}
	return conn, ack
}

// ended fails the test unless the server has closed conn, or does so soon.
func ended(t *testing.T, what string, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%s: read %d octets, %v; want EOF", what, n, err)
	}
}

// TestServeEnds: whatever state connections are in, the end of the context ends
// them and Serve with them.
func TestServeEnds(t *testing.T) {
	addr, stop := start(t, new(Rehearsal))
	var conns []net.Conn
	groups := make(map[uint32]bool)
	for range 64 {
		conn, ack := bound(t, addr)
		if ack.AssocGroup == 0 || groups[ack.AssocGroup] {
			t.Errorf("association group %#x is 0 or another connection's", ack.AssocGroup)
		}
		groups[ack.AssocGroup] = true
		conns = append(conns, conn)
	}
	stop()
	for _, conn := range conns {
		ended(t, "after the end", conn)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the listener is still open")
	}
}

// TestServeAfterTheEnd: a context that is done before Serve starts.
func TestServeAfterTheEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := new(Rehearsal).Serve(ctx, ln); err != nil {
		t.Errorf("Serve = %v", err)
	}
	if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want a closed listener", err)
	}
}

// TestServeReportsItsListener: a listener that fails ends Serve and its
// connections, although nobody asked.
func TestServeReportsItsListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- new(Rehearsal).Serve(t.Context(), ln) }()
	conn, _ := bound(t, ln.Addr().String())
	ln.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v", err)
	}
	ended(t, "after the listener failed", conn)
}

// TestMaxConns: one connection too many is closed at once, and a place that
// becomes free is free by the time the peer can know.
func TestMaxConns(t *testing.T) {
	addr, _ := start(t, &Rehearsal{MaxConns: 2})
	first, _ := bound(t, addr)
	bound(t, addr)
	ended(t, "third of two", dial(t, addr))

	first.CloseWrite()
	ended(t, "first", first)
	bound(t, addr)
	ended(t, "fourth of two", dial(t, addr))
}

// TestIdle: a connection on which no PDU is completed in time is closed, however
// it is kept busy.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = 30 * time.Second
		client, server := net.Pipe()
		began := time.Now()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			defer server.Close()
			converse(t.Context(), server, idle, time.Second, &conversation{iface: new(Rehearsal).iface()})
		})
		// One octet every seven seconds, of a bind that would take minutes. The
		// clock is the bubble's.
		wg.Go(func() {
			for _, b := range bind(2, dcerpc.NDR32) {
				if _, err := client.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(7 * time.Second)
			}
		})
		ended(t, "idle", client)
		if d := time.Since(began); d != idle {
			t.Errorf("closed after %v, want %v", d, idle)
		}
	})
}

// TestWriteDeadline: a client that does not read its answers does not hold its
// connection.
func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { client.Write(bind(2, dcerpc.NDR32)) })
		converse(t.Context(), server, time.Minute, 5*time.Second, &conversation{iface: new(Rehearsal).iface()})
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("gave up after %v, want 5s", d)
		}
		client.Close()
		wg.Wait()
	})
}

// exhaustedListener has no descriptors left for a number of times, then fails.
type exhaustedListener struct {
	net.Listener
	times int
}

func (l *exhaustedListener) Accept() (net.Conn, error) {
	if l.times == 0 {
		return nil, net.ErrClosed
	}
	l.times--
	return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
}

func (l *exhaustedListener) Close() error   { return nil }
func (l *exhaustedListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestAcceptOutlastsExhaustion: descriptors come back, so the listener goes on,
// without spinning.
func TestAcceptOutlastsExhaustion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &exhaustedListener{times: 3}
		began := time.Now()
		err := new(Rehearsal).Serve(t.Context(), ln)
		if ln.times != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve = %v with %d failures to come", err, ln.times)
		}
		if d := time.Since(began); d != 3*acceptPause {
			t.Errorf("three failures took %v, want %v", d, 3*acceptPause)
		}
	})
}

// TestPauseEnds: the end does not wait for a pause.
func TestPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if err := new(Rehearsal).Serve(ctx, &exhaustedListener{times: 1}); err != nil {
			t.Errorf("Serve = %v", err)
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
	})
}

// TestRefusalArrives: octets that the server will never read must not make the
// system reset the connection, which would take the refusal with it.
func TestRefusalArrives(t *testing.T) {
	addr, _ := start(t, new(Rehearsal))
	conn := dial(t, addr)
	if _, err := conn.Write(append(patched(bind(2, dcerpc.NDR32), 0, 4), make([]byte, lingerOctets/2)...)); err != nil {
		t.Fatal(err)
	}
	in := dcerpc.NewReader(conn, 0)
	p, err := in.Next()
	if err != nil || p.Type != dcerpc.TypeBindNak {
		t.Fatalf("answer %v, %v; want bind_nak", p.Type, err)
	}
	if _, err := in.Next(); err != io.EOF {
		t.Errorf("after the refusal: %v, want EOF", err)
	}
}

// halfPipe is a pipe that can be half closed, although it then says nothing to
// the other end.
type halfPipe struct{ net.Conn }

func (halfPipe) CloseWrite() error { return nil }

// TestHangUpIsBounded: a client that never closes its side does not hold the
// connection for longer than lingerTime.
func TestHangUpIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		began := time.Now()
		hangUp(halfPipe{server})
		if d := time.Since(began); d != lingerTime {
			t.Errorf("hangUp took %v, want %v", d, lingerTime)
		}
	})
}
