package kmsresponder

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
)

// endless binds as a host does, and answers the call with fragments that do not end.
func endless(conn net.Conn) {
	in := dcerpc.NewReader(conn, 0)
	c := &conversation{iface: new(Rehearsal).iface(), port: port(conn), group: 1, calls: dcerpc.Assembler{Max: maxStub}}
	p, err := in.Next()
	if err != nil {
		return
	}
	ack, _ := c.next(context.Background(), nil, p)
	conn.Write(ack)
	if p, err = in.Next(); err != nil {
		return
	}
	for flags := dcerpc.FlagFirst; ; flags = 0 {
		part := dcerpc.Response{Stub: make([]byte, 1024)}
		if _, err := conn.Write(part.Append(nil, dcerpc.TypeResponse, flags, p.CallID)); err != nil {
			return
		}
	}
}

// TestAnswersAreBounded: of a host whose answer does not end no more is kept than an answer has, and the next is asked.
func TestAnswersAreBounded(t *testing.T) {
	long, well := startHost(t, &host{handle: endless}), startHost(t, &host{})
	w := newWatcher()
	addr, _, _ := startGateway(t, GatewayConfig{Pool: poolOf(hostAt(long.addr, 0), hostAt(well.addr, 1)), Observer: w})
	start := time.Now()
	mustCall(t, addr, messageV4(1))
	if r := w.last(); r.Host != well.addr || w.outcomes(long.addr)[0] != Garbled || time.Since(start) > usual.Budget {
		t.Errorf("%v, after %s; the endless one: %v", r, time.Since(start), w.outcomes(long.addr))
	}
}

// TestCopiesNeverWait: where hosts are slow to take copies, calls are not copied rather than kept.
func TestCopiesNeverWait(t *testing.T) {
	g := NewGateway(GatewayConfig{Pool: poolOf(hostAt("192.0.2.1:1688", 0))})
	for range copyQueue + 7 {
		g.copyCall(copyJob{message: make([]byte, 260)})
	}
	if len(g.copies) != copyQueue {
		t.Errorf("%d calls wait to be copied, want %d", len(g.copies), copyQueue)
	}
}
