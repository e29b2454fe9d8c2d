package kmsresponder

import (
	"sync"
	"syscall"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// event takes what an event says of v.
func (l *loop) event(v *visitor, events uint32) {
	flags := uint32(sought)
	if over(events) {
		flags |= hungUp
	}
	for old := v.state.Load(); old != 0; old = v.state.Load() {
		if v.state.CompareAndSwap(old, old|flags) {
			return // it comes back
		}
	}
	v.ready(events)
	if v.line == nil {
		l.attend(v)
	}
}

// attend goes on with v, which the loop has, as far as can be.
func (l *loop) attend(v *visitor) {
	switch {
	case v.lost && (v.rest != nil || v.linger > 0):
		l.close(v)
		return
	case v.rest != nil && !l.sendRest(v):
		return
	case v.linger > 0:
		l.discard(v)
		return
	}
	if v.desk == nil {
		v.desk = desks.Get().(*desk)
		v.desk.in.Reset(v)
	}
	for range attendMost {
		p, err := v.desk.in.Next()
		if err == errDry {
			v.clear()
			l.settle(v)
			return
		}
		if gone(err) || l.late() {
			l.close(v)
			return
		}
		out, more := v.desk.out[:0], false
		if err != nil {
			out = v.talk.refuse(out, p.Header, err)
		} else if out, v.asked, more = v.talk.take(out, p); v.asked.asked {
			if l.begin(v) {
				continue
			}
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
	// However many events come until then: each place there is a turn.
	if !v.waits {
		v.waits = true
		l.later = append(l.later, v.at)
	}
}

// attendMost is how many PDUs of one client are taken before it is the turn of
// others. Two are a call.
const attendMost = 16

// goOn has those continue who were interrupted.
func (l *loop) goOn() {
	later := l.later
	l.later = nil
	for _, k := range later {
		if v := l.visitors.get(k); v != nil {
			v.waits = false
			l.event(v, 0)
		}
	}
}

// late reports whether it is too late for another PDU.
func (l *loop) late() bool { return !l.draining.IsZero() && l.now.After(l.draining) }

// begin has v's call answered, and reports whether it is already, and v goes on.
func (l *loop) begin(v *visitor) bool {
	v.used = true
	v.call = gatewayCalls.Get().(*gatewayCall)
	hr, fault, goes := v.call.begin(l.working, l.gateway, v.from, v.guest, v.asked.message, l.now)
	if !goes {
		return l.sent(v, nil, hr, fault)
	}
	if !l.start(v) {
		l.handOver(v)
	}
	return false
}

// gatewayCalls are those that are over.
var gatewayCalls = sync.Pool{New: func() any { return new(gatewayCall) }}

// answer sends what a call came to, which is the end of it.
func (v *visitor) answer(response []byte, hr kmswire.HRESULT, fault dcerpc.Status) error {
	err := v.send(v.asked.reply(v.desk.out[:0], response, hr, fault))
	*v.call = gatewayCall{}
	gatewayCalls.Put(v.call)
	v.asked, v.call = question{}, nil
	return err
}

// sent answers v's call, and reports whether v goes on.
func (l *loop) sent(v *visitor, response []byte, hr kmswire.HRESULT, fault dcerpc.Status) bool {
	v.by = l.now.Add(v.set.IdleTimeout)
	return l.answered(v, v.answer(response, hr, fault))
}

// handOver gives v to a worker.
func (l *loop) handOver(v *visitor) {
	state := uint32(away)
	if !l.draining.IsZero() {
		state |= sought
	}
	v.state.Store(state)
	l.workers.take(v)
}

// work is what a worker does: it has v's call answered, and leaves v to the loop,
// which need not know unless there is something to be done.
func (l *loop) work(v *visitor) {
	v.broken = v.answer(v.call.verdict(v.call.forward())) != nil
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
	l.watch(v, calling|syscall.EPOLLOUT)
	return false
}

// watch has events of v told. Without them it is of no use, and closed as soon as
// nothing is under way.
func (l *loop) watch(v *visitor, events uint32) {
	if v.events == events {
		return
	}
	op := syscall.EPOLL_CTL_MOD
	if v.events == 0 {
		op = syscall.EPOLL_CTL_ADD
	}
	v.events = events
	if l.poll.watch(op, v.fd, events, v.at) != nil {
		v.lost = true
		l.event(v, 0)
	}
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
		n, err := socketRead(v.fd, room[:])
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
	case v.lost:
		l.close(v)
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
	l.visitors.drop(v.at)
	// Leave first: a client that sees the end of its connection may count on its
	// place being free.
	l.gateway.admission.leave(v.from, v.guest, l.now)
	socketClose(v.fd)
	if len(l.spare) < spareVisitors {
		contexts := v.talk.contexts[:0]
		*v = visitor{}
		v.talk.contexts = contexts
		l.spare = append(l.spare, v)
	}
}
