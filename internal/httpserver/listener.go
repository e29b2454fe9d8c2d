package httpserver

import (
	"net"
	"sync"
)

// listener takes connections while there are places. golang.org/x/net/netutil has one too, but what it hides is needed: who
// is at the other end of a Unix socket, and the end of one direction alone.
type listener struct {
	net.Listener
	places chan struct{}
	done   chan struct{}
	close  func() error
}

// bound is ln for at most n connections at once.
func bound(ln net.Listener, n int) *listener {
	l := &listener{Listener: ln, places: make(chan struct{}, n), done: make(chan struct{})}
	l.close = sync.OnceValue(func() error {
		close(l.done)
		return ln.Close()
	})
	return l
}

// Accept implements net.Listener. Who comes when all places are taken waits.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &conn{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close implements net.Listener.
func (l *listener) Close() error { return l.close() }

// conn is a connection that has a place.
type conn struct {
	net.Conn
	leave func()
}

// CloseWrite is what net/http looks for when it refuses a request that it did not read to its end: a client that is told the
// end of the answer before the connection is closed gets to read it.
func (c *conn) CloseWrite() error {
	if c, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
