package kmsresponder

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// attendEach carries on with each client of ln in a goroutine of its own, until
// ctx is done and all are finished.
func (g *Gateway) attendEach(ctx, working context.Context, ln net.Listener) error {
	wake := context.AfterFunc(ctx, func() { interrupt(ln) })
	calls := newHands(func(c *guestConn) { g.converse(working, c) }, spareHands)
	take := func(conn net.Conn) {
		if c := g.admit(conn); c != nil {
			calls.take(c)
		}
	}
	err := accept(ctx, ln, take)
	wake()
	if ctx.Err() != nil {
		emptyBacklog(ln, take)
	}
	ln.Close()
	calls.dismiss()
	g.drain(&calls.all)
	return err
}

// interrupt makes an Accept of ln return. Where ln can, it stays open.
func interrupt(ln net.Listener) {
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); !ok || d.SetDeadline(time.Unix(1, 0)) != nil {
		ln.Close()
	}
}

// emptyBacklog takes the connections that the system has accepted and we have
// not: to close ln would reset them.
func emptyBacklog(ln net.Listener, take func(net.Conn)) {
	d, ok := ln.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return
	}
	for end := time.Now().Add(backlogTime); time.Now().Before(end); {
		d.SetDeadline(time.Now().Add(time.Millisecond))
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		take(conn)
	}
}

// admit takes conn in, or closes it and says why.
func (g *Gateway) admit(conn net.Conn) *guestConn {
	from := remote(conn)
	_, taken, ok := g.enter(from, time.Now())
	if !ok {
		conn.Close()
		return nil
	}
	c := &guestConn{Conn: conn, from: from, guest: taken}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.guests[c] = struct{}{}
	c.drainAt = g.draining
	return c
}

// remote is the address that conn comes from; IPv4 as IPv4, whatever the socket.
func remote(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// converse carries on with one client to the end.
func (g *Gateway) converse(ctx context.Context, c *guestConn) {
	defer func() {
		g.mu.Lock()
		delete(g.guests, c)
		g.mu.Unlock()
		// Leave first: a client that sees the end of its connection may count
		// on its place being free.
		g.admission.leave(c.from, c.guest, time.Now())
		c.Close()
	}()
	s := g.settings.Load()
	converse(ctx, c, s.IdleTimeout, s.WriteTimeout, &conversation{
		iface: gatewayInterface,
		port:  port(c.Conn),
		group: nextGroup(&g.groups),
		call: func(ctx context.Context, _ dcerpc.Syntax, message []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
			c.callBegins()
			return g.answer(ctx, c.from, c.guest, message)
		},
		calls: dcerpc.Assembler{Max: maxStub},
	})
}

// drain ends the connections of clients, each when it may end, and waits for
// them.
func (g *Gateway) drain(calls *sync.WaitGroup) {
	s, now := g.settings.Load(), time.Now()
	g.mu.Lock()
	g.draining = now.Add(drainGrace)
	for c := range g.guests {
		c.drain(g.draining)
	}
	g.mu.Unlock()
	// Every wait of a connection is bounded; this bounds them together.
	force := time.AfterFunc(drainGrace+s.Budget+s.WriteTimeout, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for c := range g.guests {
			c.Close()
		}
	})
	calls.Wait()
	force.Stop()
}
