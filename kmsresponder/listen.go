package kmsresponder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// acceptPause is how long to wait when a connection could not be accepted, for
// want of something perhaps: time enough for others to give it back, and little
// against what a client waits for a connection.
const acceptPause = 50 * time.Millisecond

// serve runs handle, in a goroutine of its own, for each connection that ln
// accepts until ctx is done or ln fails. handle must return soon after its
// connection was closed. Beyond most connections at once, new ones are closed
// without a word.
//
// When serve returns, ln and all connections are closed and every handle has
// returned. The error is nil if ctx is done.
func serve(ctx context.Context, ln net.Listener, most int, handle func(net.Conn)) error {
	serving, stop := context.WithCancel(ctx)
	open := connections{most: most, conns: make(map[net.Conn]struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		<-serving.Done()
		ln.Close()
		open.closeAll()
	})
	err := accept(serving, ln, func(conn net.Conn) {
		if !open.add(conn) {
			conn.Close()
			return
		}
		wg.Go(func() {
			// Leave first: a peer that sees the end of its connection may
			// count on its place being free.
			defer conn.Close()
			defer open.remove(conn)
			handle(conn)
		})
	})
	stop()
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("accepting on %v: %w", ln.Addr(), err)
}

// accept passes each connection of ln to take until ln is closed, which it is
// when ctx is done. Any other error passes: the system may be out of descriptors
// or memory, and what went wrong with one connection on its way is told here too
// (accept(2)).
func accept(ctx context.Context, ln net.Listener, take func(net.Conn)) error {
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			take(conn)
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return err
		default:
			pause(ctx)
		}
	}
}

// pause waits for acceptPause, or until ctx is done.
func pause(ctx context.Context) {
	t := time.NewTimer(acceptPause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// connections is the set of open connections. It may be used from several
// goroutines.
type connections struct {
	most int

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool // closeAll was called; nothing may be added
}

// add takes conn into the set unless it is full or closed, and reports whether
// it did.
func (s *connections) add(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.most {
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *connections) remove(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// closeAll closes every connection in the set and lets no more in.
func (s *connections) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.conns {
		conn.Close()
	}
}
