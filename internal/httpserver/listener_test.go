package httpserver

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
)

// pipes is a listener with a caller for every Accept.
type pipes struct{ closed int }

func (p *pipes) Accept() (net.Conn, error) {
	if p.closed > 0 {
		return nil, net.ErrClosed
	}
	c, _ := net.Pipe()
	return c, nil
}

func (p *pipes) Close() error { p.closed++; return nil }

func (p *pipes) Addr() net.Addr { return nil }

// TestPlaces: who comes when all are taken waits until one is left, once for each connection, or nobody is let in any more.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &pipes{}
		l := bound(inner, 2)
		in := make(chan net.Conn, 3)
		late := make(chan error, 1)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					late <- err
					return
				}
				in <- c
			}
		}()
		if synctest.Wait(); len(in) != 2 {
			t.Fatalf("%d are in, want 2", len(in))
		}
		first := <-in
		first.Close()
		first.Close()
		if synctest.Wait(); len(in) != 2 {
			t.Fatalf("%d are in after one of them closed twice, want 2", len(in))
		}
		l.Close()
		l.Close()
		if err := <-late; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Who waited at the end: %v, want %v", err, net.ErrClosed)
		}
		if inner.closed != 1 {
			t.Errorf("The listener was closed %d times", inner.closed)
		}
	})
}

// TestFailuresTakeNoPlace: a listener that fails for a while, as without file descriptors, lets in as many as before.
func TestFailuresTakeNoPlace(t *testing.T) {
	inner := &pipes{closed: 1}
	l := bound(inner, 1)
	for range 3 {
		if _, err := l.Accept(); err == nil {
			t.Fatal("No error")
		}
	}
	inner.closed = 0
	if _, err := l.Accept(); err != nil {
		t.Error(err)
	}
}
