package kmsresponder

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// guestConn is a client's connection that can be told to end when it has nothing
// to do. It decides that itself because only it sees, without a gap, what has
// been received and what has been answered.
type guestConn struct {
	net.Conn
	from  netip.Addr
	guest *guest

	mu      sync.Mutex
	drainAt time.Time // when it ends at the latest, unless in a call; zero while nobody wants it to
	used    bool      // a call of it was answered, or is being
	open    bool      // something was received, and nothing sent since

	readBy, writeBy time.Time // the deadlines that are set; zero if it is not known
}

// deadlineSlack is how much earlier than asked for a deadline may come. A call
// sets five, a few milliseconds apart and many seconds long, and each costs a
// change of a timer.
const deadlineSlack = 100 * time.Millisecond

// near reports whether a deadline that is set will do for one at t.
func near(set, t time.Time) bool {
	early := t.Sub(set)
	return 0 <= early && early < deadlineSlack
}

// Read implements net.Conn.
func (c *guestConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.mu.Lock()
		c.open = true
		c.mu.Unlock()
	}
	return n, err
}

// Write implements net.Conn.
func (c *guestConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.mu.Lock()
	c.open = false
	c.mu.Unlock()
	return n, err
}

// callBegins says that what was received so far is a call. Its answer is the
// next Write.
func (c *guestConn) callBegins() {
	c.mu.Lock()
	c.used = true
	c.mu.Unlock()
}

// SetReadDeadline implements net.Conn, but for a connection that is to end gives
// no more time than is left to it.
func (c *guestConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if end, ending := c.end(); ending && end.Before(t) {
		t = end
	}
	if near(c.readBy, t) {
		return nil
	}
	c.readBy = t
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn. Only the goroutine that writes may call it.
func (c *guestConn) SetWriteDeadline(t time.Time) error {
	if near(c.writeBy, t) {
		return nil
	}
	c.writeBy = t
	return c.Conn.SetWriteDeadline(t)
}

// end is when c must have received its next PDU, if it is to end: at once if its
// call was answered and no other has begun to arrive.
func (c *guestConn) end() (at time.Time, ending bool) {
	switch {
	case c.drainAt.IsZero():
		return time.Time{}, false
	case c.used && !c.open:
		return time.Unix(1, 0), true
	}
	return c.drainAt, true
}

// drain tells c to end: at once between calls, else after the call, and if it
// has made none by the time given, then.
func (c *guestConn) drain(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drainAt = at
	c.readBy, _ = c.end()
	c.Conn.SetReadDeadline(c.readBy)
}

// CloseWrite ends our side of the connection.
func (c *guestConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}
