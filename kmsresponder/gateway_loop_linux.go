package kmsresponder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
)

const (
	// lookEvery is how often visitors are looked over for those whose time is
	// up, at least; lookPause is how long not to, after it was done.
	lookEvery = time.Second
	lookPause = 100 * time.Millisecond

	// calling is what an event of a client's connection may be. Each is told
	// once (edge-triggered), to whoever has the visitor then.
	calling = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31
)

// door is where events of the listener come from.
var door = key{slot: -1}

// loop carries on with all clients of a gateway in one goroutine, but for the
// calls: those may take long, and have workers.
type loop struct {
	gateway *Gateway
	ln      net.Listener
	accepts syscall.RawConn
	port    string
	poll    *poller
	calls   *hands[*visitor]

	visitors []*visitor // by slot
	turns    []int32    // how often a slot was used
	free     []int32
	here     int // visitors

	now      time.Time
	soonest  time.Time // when visitors are looked over
	reopen   time.Time // when the door is, after a pause; zero while it is open
	draining time.Time // when unused connections end; zero while serving

	nudged atomic.Bool
	mu     sync.Mutex
	back   []*visitor // to be had back from workers
}

// attend has a loop carry on with the clients of ln, where the system can.
func (g *Gateway) attend(ctx, working context.Context, ln net.Listener) error {
	l, err := newLoop(g, ln)
	if err != nil {
		return g.attendEach(ctx, working, ln)
	}
	return l.run(ctx, working)
}

func newLoop(g *Gateway, ln net.Listener) (*loop, error) {
	t, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	accepts, err := t.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &loop{gateway: g, ln: ln, accepts: accepts, port: strconv.Itoa(t.Addr().(*net.TCPAddr).Port)}
	if l.poll, err = newPoller(func() bool { return !l.nudged.Load() }); err != nil {
		return nil, err
	}
	var watched error
	err = accepts.Control(func(fd uintptr) {
		// Each connection inherits it. Answers are not to wait for one another.
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		watched = l.poll.watch(syscall.EPOLL_CTL_ADD, int(fd), syscall.EPOLLIN, door)
	})
	if err = errors.Join(err, watched); err != nil {
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

func (l *loop) run(ctx, working context.Context) error {
	defer l.poll.close()
	defer context.AfterFunc(ctx, l.nudge)()
	l.calls = newHands(func(v *visitor) { l.answer(working, v) })
	l.now = time.Now()
	l.soonest = l.now.Add(lookEvery)
	var failed error
	for l.draining.IsZero() || l.here > 0 {
		events, err := l.poll.wait(l.soonest)
		l.now = time.Now()
		for _, e := range events {
			if k := (key{e.Fd, e.Pad}); k != door {
				l.event(k, e.Events)
			} else if err == nil {
				_, err = l.accept()
			}
		}
		if l.nudged.Swap(false) {
			l.takeBack()
		}
		if !l.now.Before(l.soonest) {
			err = errors.Join(err, l.look())
		}
		if l.draining.IsZero() && (ctx.Err() != nil || err != nil) {
			failed = err
			l.drain()
		}
	}
	l.calls.dismiss()
	l.calls.all.Wait()
	return failed
}

// accept takes one connection, if there is one, and reports whether. The error
// is that of a listener that is closed.
func (l *loop) accept() (took bool, err error) {
	var (
		fd     int
		peer   syscall.Sockaddr
		failed error
	)
	if err := l.accepts.Control(func(ln uintptr) {
		fd, peer, failed = syscall.Accept4(int(ln), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
	}); err != nil {
		return false, err
	}
	switch failed {
	case nil:
		l.admit(fd, peer)
		return true, nil
	case syscall.EAGAIN, syscall.EINTR, syscall.ECONNABORTED:
		return false, nil
	}
	// For want of something, perhaps: see accept.
	l.reopen = l.now.Add(acceptPause)
	l.expect(l.reopen)
	return false, l.watchDoor(0)
}

func (l *loop) watchDoor(events uint32) (err error) {
	if failed := l.accepts.Control(func(fd uintptr) {
		err = l.poll.watch(syscall.EPOLL_CTL_MOD, int(fd), events, door)
	}); failed != nil {
		return failed
	}
	return err
}

// admit takes a connection in, or closes it.
func (l *loop) admit(fd int, peer syscall.Sockaddr) {
	from := address(peer)
	s, guest, ok := l.gateway.enter(from, l.now)
	if !ok {
		syscall.Close(fd)
		return
	}
	v := &visitor{fd: fd, from: from, guest: guest, set: s, by: l.now.Add(s.IdleTimeout)}
	v.talk = conversation{
		iface: gatewayInterface, port: l.port, group: nextGroup(&l.gateway.groups), calls: dcerpc.Assembler{Max: maxStub},
	}
	if n := len(l.free); n > 0 {
		v.at.slot, l.free = l.free[n-1], l.free[:n-1]
		l.visitors[v.at.slot] = v
	} else {
		v.at.slot = int32(len(l.visitors))
		l.visitors, l.turns = append(l.visitors, v), append(l.turns, 0)
	}
	v.at.turn = l.turns[v.at.slot]
	l.here++
	l.expect(v.by)
	// With luck the first PDU is there, and watching can wait until it is
	// answered: what comes before that is told at once.
	l.attend(v)
	if l.visitors[v.at.slot] != v {
		return
	}
	if err := l.poll.watch(syscall.EPOLL_CTL_ADD, fd, calling, v.at); err != nil {
		v.by = longPast
		l.expect(l.now)
	}
}

// address is the address of a peer; IPv4 as IPv4, whatever the socket.
func address(peer syscall.Sockaddr) netip.Addr {
	switch a := peer.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *syscall.SockaddrInet6:
		from := netip.AddrFrom16(a.Addr).Unmap()
		if a.ZoneId != 0 && from.Is6() {
			from = from.WithZone(strconv.Itoa(int(a.ZoneId)))
		}
		return from
	}
	return netip.Addr{}
}

// event passes on what an event says.
func (l *loop) event(k key, events uint32) {
	v := l.visitors[k.slot]
	if v == nil || v.at != k {
		return // it was closed since the event was fetched
	}
	hup := events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
	if v.state.Load() != 0 {
		flags := uint32(sought)
		if hup {
			flags |= hungUp
		}
		for {
			old := v.state.Load()
			if old == 0 {
				break
			}
			if v.state.CompareAndSwap(old, old|flags) {
				return
			}
		}
	}
	v.dry = false
	v.hup = v.hup || hup
	l.attend(v)
}

// attend goes on with v, which the loop has, as far as can be.
func (l *loop) attend(v *visitor) {
	switch {
	case len(v.rest) > 0 && !l.sendRest(v):
		return
	case v.linger > 0:
		l.discard(v)
		return
	}
	if v.desk == nil {
		v.desk = desks.Get().(*desk)
		v.desk.in.Reset(v)
	}
	for {
		p, err := v.desk.in.Next()
		if err == errDry {
			break
		}
		if gone(err) {
			l.close(v)
			return
		}
		out, more := v.desk.out[:0], false
		if err != nil {
			out = v.talk.refuse(out, p.Header, err)
		} else if out, v.call, more = v.talk.take(out, p); v.call.asked {
			l.send(v)
			return
		}
		v.by = l.now.Add(v.set.IdleTimeout)
		if v.ending = !more; len(out) > 0 && !l.answered(v, v.send(out)) {
			return
		}
		if v.ending {
			l.hangUp(v)
			return
		}
	}
	v.clear()
	l.settle(v)
}

// send has v's call answered by a worker.
func (l *loop) send(v *visitor) {
	v.used = true
	state := uint32(away)
	if !l.draining.IsZero() {
		state |= sought
	}
	v.state.Store(state)
	l.calls.take(v)
}

// answer is what a worker does: it has v's call answered, and leaves v to the
// loop, which need not know unless there is something to be done.
func (l *loop) answer(ctx context.Context, v *visitor) {
	response, hr, status := l.gateway.answer(ctx, v.from, v.guest, v.call.message)
	err := v.send(v.call.reply(v.desk.out[:0], response, hr, status))
	v.call = question{}
	v.broken = err != nil
	v.by = time.Now().Add(v.set.IdleTimeout)
	v.clear()
	if v.dry && v.desk == nil && v.rest == nil && !v.broken && v.state.CompareAndSwap(away, 0) {
		return
	}
	l.mu.Lock()
	l.back = append(l.back, v)
	l.mu.Unlock()
	l.nudge()
}

// takeBack goes on with those whom workers could not simply leave.
func (l *loop) takeBack() {
	l.mu.Lock()
	back := l.back
	l.back = nil
	l.mu.Unlock()
	for _, v := range back {
		state := v.state.Swap(0)
		if state&sought != 0 {
			v.dry = false
		}
		v.hup = v.hup || state&hungUp != 0
		if v.broken {
			l.close(v)
		} else if l.answered(v, nil) {
			l.attend(v)
		}
	}
}

// answered takes the outcome of sending, and reports whether v goes on.
func (l *loop) answered(v *visitor, err error) bool {
	if err != nil {
		l.close(v)
		return false
	}
	if v.rest == nil {
		return true
	}
	v.by = l.now.Add(v.set.WriteTimeout)
	l.expect(v.by)
	if l.poll.watch(syscall.EPOLL_CTL_MOD, v.fd, calling|syscall.EPOLLOUT, v.at) != nil {
		l.close(v)
	}
	return false
}

// sendRest sends what was left of an answer, and reports whether all went.
func (l *loop) sendRest(v *visitor) bool {
	if err := v.send(v.rest); err != nil {
		l.close(v)
		return false
	}
	if v.rest != nil {
		return false
	}
	v.by, v.dry = l.now.Add(v.set.IdleTimeout), false
	if v.ending {
		l.hangUp(v)
		return false
	}
	return true
}

// hangUp is hangUp for v.
func (l *loop) hangUp(v *visitor) {
	if syscall.Shutdown(v.fd, syscall.SHUT_WR) != nil {
		l.close(v)
		return
	}
	v.linger, v.by = lingerOctets, l.now.Add(lingerTime)
	l.expect(v.by)
	l.discard(v)
}

// discard reads what a client still sends that was hung up on.
func (l *loop) discard(v *visitor) {
	var room [2048]byte
	for v.linger > 0 {
		n, err := syscall.Read(v.fd, room[:])
		if err == syscall.EAGAIN {
			return
		}
		if n <= 0 && err != syscall.EINTR {
			break
		}
		v.linger -= max(n, 0)
	}
	l.close(v)
}

// settle closes v if it is to end and has nothing under way.
func (l *loop) settle(v *visitor) {
	switch {
	case l.draining.IsZero():
	case v.used && !v.open:
		l.close(v)
	case l.draining.Before(v.by):
		v.by = l.draining
		l.expect(v.by)
	}
}

func (l *loop) close(v *visitor) {
	if v.desk != nil {
		v.desk.clear()
		v.desk = nil
	}
	slot := v.at.slot
	l.visitors[slot] = nil
	l.turns[slot]++
	l.free = append(l.free, slot)
	l.here--
	// Leave first: a client that sees the end of its connection may count on its
	// place being free.
	l.gateway.admission.leave(v.from, v.guest, l.now)
	syscall.Close(v.fd)
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
	for _, v := range l.visitors {
		if v == nil || v.state.Load() != 0 {
			continue
		}
		if !l.now.Before(v.by) {
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
	case l.reopen.IsZero():
		return l.accepts.Control(func(uintptr) {})
	case l.now.Before(l.reopen):
		l.expect(l.reopen)
		return nil
	}
	l.reopen = time.Time{}
	return l.watchDoor(syscall.EPOLLIN)
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
	for _, v := range l.visitors {
		if v == nil {
			continue
		}
		l.event(v.at, 0)
	}
}

var _ = fmt.Sprint
