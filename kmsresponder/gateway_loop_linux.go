package kmsresponder

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// lookEvery is how often visitors are looked over for those whose time is
	// up, at least; lookPause is how long not to, after it was done.
	lookEvery = time.Second
	lookPause = 100 * time.Millisecond

	// calling is what an event of a connection may be. Each is told once
	// (edge-triggered): what nobody reads must not keep the loop busy.
	calling = syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLET&0xffffffff // its sign differs
)

// The kinds of what is watched.
const (
	theDoor int32 = iota // the listener
	aVisitor
	aLine
)

// door is where events of the listener come from.
var door = key{turn: theDoor}

// loop carries on with clients of a gateway in one goroutine, but for the
// calls: those may take long, and have workers. Which of the loops that listen
// has a client is chance.
type loop struct {
	lane    int32 // from 1
	gateway *Gateway
	ln      net.Listener
	accepts syscall.RawConn
	port    string
	poll    *poller
	workers *hands[*visitor]
	working context.Context

	visitors watched[visitor]
	lines    watched[line]
	byConn   map[*upstreamConn]*line
	spare    []*visitor // that left, at most spareVisitors

	now      time.Time
	soonest  time.Time // when visitors are looked over
	reopen   time.Time // when the door is, after a pause; zero while it is open
	draining time.Time // when unused connections end; zero while serving

	later []key // of visitors that had more to say than a turn is long

	duty    duty
	next    *loop       // listens while this one has much to do; nil behind the last
	wanted  atomic.Bool // that l listens; said by the loop before it
	listens bool        // new clients are told

	nudged atomic.Bool
	mu     sync.Mutex
	back   []*visitor // to be had back from workers
}

// maxLoops is how many loops a gateway has at most: more than one so that
// clients do not wait while the system opens and closes the connections of
// others, and not many, since each has hosts' connections of its own. All but
// the first help when there is much to do.
const maxLoops = 4

// attend has loops carry on with the clients of ln, where the system can.
func (g *Gateway) attend(ctx, working context.Context, ln net.Listener) error {
	var loops []*loop
	for range min(runtime.GOMAXPROCS(0), maxLoops) {
		n := len(loops)
		l, err := newLoop(working, g, ln, n+1)
		if err != nil {
			break
		}
		if n > 0 {
			loops[n-1].next = l
		}
		loops = append(loops, l)
	}
	if len(loops) == 0 {
		return g.attendEach(ctx, working, ln)
	}
	failed := make(chan error)
	for _, l := range loops {
		go func() { failed <- l.run(ctx) }()
	}
	var err error
	for range loops { // if one fails, the listener is closed, which the others see
		err = errors.Join(err, <-failed)
	}
	return err
}

// newLoop returns the loop of that lane. The first one listens.
func newLoop(working context.Context, g *Gateway, ln net.Listener, lane int) (*loop, error) {
	t, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	accepts, err := t.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &loop{lane: int32(lane), gateway: g, ln: ln, accepts: accepts, port: strconv.Itoa(t.Addr().(*net.TCPAddr).Port),
		byConn: make(map[*upstreamConn]*line), working: working, now: time.Now(), listens: lane == 1}
	l.wanted.Store(l.listens)
	l.duty.since = l.now
	l.workers = newHands(l.work, spareHands/maxLoops)
	l.soonest = l.now.Add(lookEvery)
	l.visitors.kind, l.lines.kind = aVisitor, aLine
	if l.poll, err = newPoller(func() bool { return !l.nudged.Load() && len(l.later) == 0 }); err != nil {
		return nil, err
	}
	var watched error
	err = accepts.Control(func(fd uintptr) {
		// Each connection inherits it. Answers are not to wait for one another.
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		watched = l.poll.watch(syscall.EPOLL_CTL_ADD, int(fd), 0, door)
	})
	if err = errors.Join(err, watched, l.watchDoor()); err != nil {
		l.poll.close()
		return nil, err
	}
	return l, nil
}

// nudge has the loop look for what no event tells.
func (l *loop) nudge() {
	l.nudged.Store(true)
	l.poll.wake()
}

func (l *loop) run(ctx context.Context) error {
	defer l.poll.close()
	defer context.AfterFunc(ctx, l.nudge)()
	var failed error
	for l.draining.IsZero() || l.visitors.here > 0 {
		events, err := l.poll.wait(l.soonest)
		l.now = time.Now()
		// New clients first: they have waited since the system took them.
		if slices.ContainsFunc(events, func(e syscall.EpollEvent) bool { return key{e.Fd, e.Pad} == door }) {
			_, failed := l.acceptSome()
			err = errors.Join(err, failed)
		}
		for _, e := range events {
			switch k := (key{e.Fd, e.Pad}); k.kind() {
			case aVisitor:
				if v := l.visitors.get(k); v != nil {
					l.event(v, e.Events)
				}
			case aLine:
				if n := l.lines.get(k); n != nil {
					l.told(n, e.Events)
				}
			}
		}
		l.goOn()
		if l.nudged.Swap(false) {
			l.takeBack()
			err = errors.Join(err, l.listen())
		}
		if !l.now.Before(l.soonest) {
			err = errors.Join(err, l.look())
		}
		if l.draining.IsZero() && (ctx.Err() != nil || err != nil) {
			failed = err
			l.drain()
		}
		if l.next != nil {
			l.seekRelief(time.Now())
		}
	}
	l.workers.dismiss()
	l.workers.all.Wait()
	return failed
}

// acceptMost is how many connections are accepted before it is the turn of others.
const acceptMost = 8

// acceptSome takes connections that wait, and reports whether there were any.
func (l *loop) acceptSome() (some bool, err error) {
	took := true
	for n := 0; took && err == nil && n < acceptMost; n++ {
		took, err = l.accept()
		some = some || took
	}
	return some, err
}

// accept takes one connection, if there is one, and reports whether. The error
// is that of a listener that is closed.
func (l *loop) accept() (took bool, err error) {
	var (
		fd     int
		from   netip.Addr
		failed error
	)
	if err := l.accepts.Control(func(ln uintptr) {
		fd, from, failed = socketAccept(int(ln))
	}); err != nil {
		return false, err
	}
	switch failed {
	case nil:
		l.admit(fd, from)
		return true, nil
	case syscall.EAGAIN, syscall.EINTR, syscall.ECONNABORTED:
		return false, nil
	}
	// For want of something, perhaps: see accept.
	l.reopen = l.now.Add(acceptPause)
	l.expect(l.reopen)
	return false, l.watchDoor()
}

// admit takes a connection in, or closes it.
func (l *loop) admit(fd int, from netip.Addr) {
	s, guest, ok := l.gateway.enter(from, l.now)
	if !ok {
		socketClose(fd)
		return
	}
	v := l.visitor()
	v.fd, v.from, v.guest, v.set, v.by = fd, from, guest, s, l.now.Add(s.IdleTimeout)
	v.talk.iface, v.talk.port, v.talk.group = gatewayInterface, l.port, nextGroup(&l.gateway.groups)
	v.talk.calls.Max = maxStub
	v.at = l.visitors.put(v)
	l.expect(v.by)
	// With luck the first PDU is there, and watching can wait until it is
	// answered: what comes before that is told at once.
	at := v.at
	l.attend(v)
	if l.visitors.get(at) != nil && v.events == 0 {
		l.watch(v, calling)
	}
}

// spareVisitors is how many visitors are kept for those to come, who then cost
// no allocation.
const spareVisitors = 64

// visitor returns one that is empty.
func (l *loop) visitor() *visitor {
	n := len(l.spare)
	if n == 0 {
		return new(visitor)
	}
	v := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return v
}

// expect has visitors looked over at t at the latest.
func (l *loop) expect(t time.Time) {
	if t.Before(l.soonest) {
		l.soonest = t
	}
}

// look closes the visitors whose time is up. The error is that of a listener
// that someone has closed, which no event tells.
func (l *loop) look() error {
	l.soonest = l.now.Add(lookEvery)
	l.lookAtLines()
	end := l.end()
	for _, p := range l.visitors.places {
		v := p.is
		if v == nil || v.state.Load() != 0 || v.line != nil {
			continue
		}
		if !l.now.Before(v.by) || l.now.After(end) {
			l.close(v)
		} else {
			l.expect(v.by)
		}
	}
	if pause := l.now.Add(lookPause); l.soonest.Before(pause) {
		l.soonest = pause
	}
	switch {
	case !l.draining.IsZero():
		return nil
	case l.reopen.IsZero() && !l.listens:
		return l.standIn()
	case l.reopen.IsZero():
		return l.accepts.Control(func(uintptr) {})
	case l.now.Before(l.reopen):
		l.expect(l.reopen)
		return nil
	}
	l.reopen = time.Time{}
	return l.watchDoor()
}

// end is when all visitors end that are in no call. Each wait is bounded; this
// bounds them together.
func (l *loop) end() time.Time {
	if l.draining.IsZero() {
		return l.now
	}
	s := l.gateway.settings.Load()
	return l.draining.Add(s.Budget + s.WriteTimeout)
}

// drain accepts what the system has accepted already, and then has every visitor
// end when it may.
func (l *loop) drain() {
	for end := l.now.Add(backlogTime); time.Now().Before(end); {
		if took, err := l.accept(); !took || err != nil {
			break
		}
	}
	l.accepts.Control(func(fd uintptr) { l.poll.watch(syscall.EPOLL_CTL_DEL, int(fd), 0, door) })
	l.ln.Close()
	l.draining = l.now.Add(drainGrace)
	for _, p := range l.visitors.places {
		if p.is != nil {
			l.event(p.is, 0)
		}
	}
}
