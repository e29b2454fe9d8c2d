package kmsresponder

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// deed is what a host of FuzzGateway does when it is asked.
type deed uint8

const (
	serves deed = iota
	answersInFragments
	answersByOctets
	answersAndCloses
	answersTwice  // the second one belongs to nobody
	answersAhead  // the call that nobody made yet, with another client's answer
	declinesNoKey // 0xC004F042, and so on
	declinesInactive
	declinesDisabled
	errsClock // an error for the client
	errsWithAMessage
	succeedsWithoutOne
	closes
	closesHalfway
	resetsIt
	talksHTTP
	answersAnother // client
	answersAnotherCall
	answersTooLong
	answersWithoutEnd
	answersNoStub
	answersABind
	faults
	refusesBind // from here on what it does when it is bound to; asked on a connection that is, it closes that first
	acceptsNothing
	closesAtBind
	talksHTTPAtBind
	deeds // how many there are
)

// outcome is what a gateway has to make of d.
func (d deed) outcome() Outcome {
	switch d {
	case serves, answersInFragments, answersByOctets, answersAndCloses, answersTwice, answersAhead:
		return Answered
	case declinesNoKey, declinesInactive, declinesDisabled:
		return Declined
	case errsClock:
		return Errored
	case closes, closesHalfway, resetsIt, closesAtBind:
		return Dead
	case answersAnother:
		return Mismatched
	case faults, refusesBind, acceptsNothing:
		return Faulted
	}
	return Garbled
}

// hresult is what a host that does d says of a request.
func (d deed) hresult() kmswire.HRESULT {
	switch d {
	case declinesNoKey, errsWithAMessage:
		return kmswire.HostUnusable
	case declinesInactive:
		return kmswire.NotActivated
	case declinesDisabled:
		return kmswire.NotEnabled
	case errsClock:
		return kmswire.ClockSkew
	}
	return kmswire.OK
}

// deedDone is one that was done.
type deedDone struct {
	host    string
	deed    deed
	message string // that it was asked; empty if it was bound to
	parked  bool   // on a connection that had answered before
}

// diary is what hosts did, in order.
type diary struct {
	mu    sync.Mutex
	deeds []deedDone
}

func (d *diary) add(done deedDone) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deeds = append(d.deeds, done)
}

// take removes the first deed of a host, and returns it if it is one that is wanted.
func (d *diary) take(host string, wanted func(deedDone) bool) (done deedDone, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.deeds, func(done deedDone) bool { return done.host == host })
	if i < 0 || !wanted(d.deeds[i]) {
		return deedDone{}, false
	}
	done = d.deeds[i]
	d.deeds = slices.Delete(d.deeds, i, i+1)
	return done, true
}

// forget drops what is left.
func (d *diary) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deeds = nil
}

// of is what was done about message.
func (d *diary) of(message string) (all []deedDone) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, done := range d.deeds {
		if done.message == message {
			all = append(all, done)
		}
	}
	return all
}

// actor is a host that does as it is told.
type actor struct {
	*host
	diary *diary

	mu    sync.Mutex
	plan  deed
	times int // for how many requests; then it answers; negative: for all
	open  int // connections
}

// will has a do d when it is asked the next times, or always if that is negative.
func (a *actor) will(d deed, times int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.plan, a.times = d, times
}

// next is what a does now, when it is bound to or asked.
func (a *actor) next(bound bool) deed {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := a.plan
	switch {
	case a.times == 0:
		return serves
	case bound && d >= refusesBind:
		return closes // and does it when the gateway comes again
	case !bound && d < refusesBind:
		return serves // the bind
	}
	a.times = max(a.times-1, -1)
	return d
}

func (a *actor) connections() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

func (a *actor) count(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open += n
}

func (a *actor) handle(conn net.Conn) {
	a.count(1)
	defer a.count(-1)
	in := dcerpc.NewReader(conn, 0)
	c := &conversation{iface: (&Rehearsal{NDR64: a.ndr64}).iface(), port: port(conn), group: 1, calls: dcerpc.Assembler{Max: maxStub}}
	p, err := in.Next()
	if err != nil {
		return
	}
	ack, _ := c.next(context.Background(), nil, p)
	if d := a.next(false); d != serves {
		a.diary.add(deedDone{host: a.addr, deed: d})
		a.beBound(conn, d, p.CallID)
		return
	}
	conn.Write(ack)
	for spoilt, parked := false, false; ; parked = true {
		p, err := in.Next()
		if err != nil {
			return
		}
		_, q, _ := c.take(nil, p)
		if spoilt {
			continue // the gateway has seen that, or is about to
		}
		d := a.next(true)
		a.diary.add(deedDone{a.addr, d, string(q.message), parked})
		if spoilt = d == answersTwice || d == answersAhead; !a.beAsked(conn, d, q) {
			return
		}
	}
}

// beBound is what a does instead of accepting a bind.
func (a *actor) beBound(conn net.Conn, d deed, call uint32) {
	switch d {
	case refusesBind:
		out, _ := nak(nil, dcerpc.Header{CallID: call}, dcerpc.NakLocalLimit)
		conn.Write(out)
	case acceptsNothing:
		rejected := dcerpc.ContextResult{Result: dcerpc.ProviderRejection, Reason: dcerpc.ReasonAbstractSyntax}
		ack := dcerpc.BindAck{MaxXmit: 5840, MaxRecv: 5840, AssocGroup: 1, Results: []dcerpc.ContextResult{rejected, rejected}}
		conn.Write(ack.Append(nil, dcerpc.TypeBindAck, whole, call))
	case talksHTTPAtBind:
		conn.Write(httpError)
	}
}

var httpError = bytes.Repeat([]byte("HTTP/1.1 400 Bad Request\r\n"), 40)

// beAsked is what a does about q. It reports whether the connection goes on.
func (a *actor) beAsked(conn net.Conn, d deed, q question) (more bool) {
	right := q.reply(nil, a.answer(q.message), d.hresult(), 0)
	respond := func(flags dcerpc.Flags, stub []byte) {
		conn.Write(dcerpc.Response{ContextID: q.context, Stub: stub}.Append(nil, dcerpc.TypeResponse, flags, q.callID))
	}
	switch d {
	case serves, errsWithAMessage:
		conn.Write(right)
	case answersInFragments:
		stub := right[dcerpc.HeaderLen+8:]
		respond(dcerpc.FlagFirst, stub[:20])
		respond(0, nil)
		respond(dcerpc.FlagLast, stub[20:])
	case answersByOctets:
		for i := range right {
			conn.Write(right[i : i+1])
		}
	case answersAndCloses:
		conn.Write(right)
		return false
	case answersTwice:
		conn.Write(slices.Concat(right, right))
	case answersAhead:
		q.callID++
		conn.Write(append(right, q.reply(nil, a.answer(strange), 0, 0)...))
	case declinesNoKey, declinesInactive, declinesDisabled, errsClock, succeedsWithoutOne:
		conn.Write(q.reply(nil, nil, d.hresult(), 0))
	case closesHalfway:
		conn.Write(right[:len(right)/2])
		return false
	case resetsIt:
		conn.(*net.TCPConn).SetLinger(0)
		return false
	case talksHTTP:
		conn.Write(httpError)
	case answersAnother:
		conn.Write(q.reply(nil, a.answer(strange), 0, 0))
	case answersAnotherCall:
		q.callID += 7
		conn.Write(q.reply(nil, a.answer(q.message), 0, 0))
	case answersTooLong:
		respond(whole, kmswire.AppendResponseStub(nil, make([]byte, kmswire.MaxMessage+1), 0, q.transfer == dcerpc.NDR64))
	case answersWithoutEnd:
		for flags := dcerpc.FlagFirst; a.sent(conn, q, flags); flags = 0 {
		}
	case answersNoStub:
		respond(whole, []byte{1, 2, 3})
	case answersABind:
		conn.Write(dcerpc.BindAck{MaxXmit: 5840, MaxRecv: 5840, AssocGroup: 1}.Append(nil, dcerpc.TypeBindAck, whole, q.callID))
	case faults:
		conn.Write(fault(nil, dcerpc.Header{CallID: q.callID}, q.context, dcerpc.StatusServerTooBusy))
	default:
		return false
	}
	return true
}

// sent sends one more fragment of an answer without end, and reports whether the gateway still listens.
func (a *actor) sent(conn net.Conn, q question, flags dcerpc.Flags) bool {
	part := dcerpc.Response{ContextID: q.context, Stub: make([]byte, 600)}
	_, err := conn.Write(part.Append(nil, dcerpc.TypeResponse, flags, q.callID))
	return err == nil
}
