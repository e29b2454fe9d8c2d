package kmsresponder

import (
	"os"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// line is a connection to a host that a loop watches. The loop uses it while it
// has taken it from the parked ones; what it is told at other times is that it
// was used by others, or died.
type line struct {
	tap
	at      key
	conn    *upstreamConn
	host    *upstream
	visitor *visitor  // whose call is on it; nil if none is
	by      time.Time // when the answer must be there
}

// start sends v's call to the host that is to be asked first, and reports
// whether it did: not if a connection is to be opened first.
func (l *loop) start(v *visitor) bool {
	c := v.call
	snapshot, targets := c.choose(0)
	if len(targets) == 0 {
		return false
	}
	host := l.gateway.upstreams.find(targets[0].endpoint)
	if host == nil {
		return false
	}
	conn := host.take(targets[0].addresses, l.lane, l.now)
	if conn == nil {
		return false
	}
	n := l.line(conn, host)
	if n == nil {
		conn.close()
		return false
	}
	until := c.share(targets[0], snapshot)
	c.head = headStart{made: true, snapshot: snapshot, targets: targets, began: l.now, until: until, parked: conn.parked}
	n.visitor, v.line, n.by = v, n, parkedUntil(until)
	conn.source.Reader = n
	out := conn.compose(c.message)
	if wrote, err := n.write(out); err != nil || wrote < len(out) {
		if err == nil {
			err = os.ErrDeadlineExceeded // a host that does not read is as good as silent
		}
		l.heard(n, nil, 0, err)
		return true
	}
	l.expect(n.by)
	l.receive(n)
	return true
}

// line returns the line that conn is, nil if it cannot be one.
func (l *loop) line(conn *upstreamConn, host *upstream) *line {
	conn.lane.Store(l.lane)
	if n := l.byConn[conn]; n != nil {
		return n
	}
	s, ok := conn.conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	n := &line{conn: conn, host: host}
	n.at = l.lines.put(n)
	// The descriptor stays what it is until conn is closed, which is ours to do
	// while we have it.
	failed := raw.Control(func(fd uintptr) {
		n.fd = int(fd)
		err = l.poll.watch(syscall.EPOLL_CTL_ADD, n.fd, calling, n.at)
	})
	if failed != nil || err != nil {
		l.lines.drop(n.at)
		return nil
	}
	l.byConn[conn] = n
	return n
}

// told takes what an event says of n. If another loop has it now, this one needs
// no more of them.
func (l *loop) told(n *line, events uint32) {
	n.ready(events)
	switch {
	case n.visitor != nil:
		l.receive(n)
	case n.conn.lane.Load() != l.lane:
		l.forget(n)
	}
}

// forget ends the watch of n, which may be somebody else's or closed.
func (l *loop) forget(n *line) {
	if raw, err := n.conn.conn.(syscall.Conn).SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { l.poll.watch(syscall.EPOLL_CTL_DEL, int(fd), 0, n.at) })
	}
	l.lines.drop(n.at)
	delete(l.byConn, n.conn)
}

// receive takes what has come of the answer on n.
func (l *loop) receive(n *line) {
	if n.dry {
		return
	}
	response, hr, err := n.conn.answer()
	if err != errDry {
		l.heard(n, response, hr, err)
	}
}

// heard takes how asking on n went. The client is answered if that settles it;
// else a worker goes on.
func (l *loop) heard(n *line, response []byte, hr kmswire.HRESULT, err error) {
	v := n.visitor
	c := v.call
	n.visitor, v.line = nil, nil
	n.conn.source.Reader = n.conn.conn
	h := &c.head
	h.answer = n.host.settle(n.conn, c.message, c.record.Request, response, hr, err)
	if o := h.answer.outcome; o != Answered && o != Errored {
		l.handOver(v)
		return
	}
	response, _ = c.ask(h.targets[0], h.snapshot)
	response, hr, fault := c.verdict(response)
	if l.sent(v, response, hr, fault) {
		l.attend(v)
	}
}

// lookAtLines gives up on hosts that do not answer, and forgets lines that were
// closed.
func (l *loop) lookAtLines() {
	for _, p := range l.lines.places {
		n := p.is
		switch {
		case n == nil:
		case n.visitor != nil && !l.now.Before(n.by):
			l.heard(n, nil, 0, os.ErrDeadlineExceeded)
		case n.visitor != nil:
			l.expect(n.by)
		case n.conn.closed.Load():
			l.forget(n)
		}
	}
}
