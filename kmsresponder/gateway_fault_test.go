package kmsresponder

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"

	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// The stages of a call with a host, and what a host may do at each.
const (
	atConnect  = "connect"
	atBind     = "bind"
	atRequest  = "request half sent"
	atResponse = "response half received"
	between    = "between calls"

	dies    = "dies"
	hangs   = "hangs"
	resets  = "resets"
	garbage = "answers garbage"
	wrong   = "answers the wrong client"
	late    = "answers late"
)

// sickHost does right on each connection until stage, and then what ails it.
type sickHost struct {
	*host
	stage, ails string

	gaveUp   chan struct{} // closed when the gateway no longer waits for a late answer
	answered chan struct{} // closed when the first answer has arrived
	quit     chan struct{} // closed at the end

}

// strange is a message of a client that is none of ours.
var strange = messageV4(1 << 40)

func (h *sickHost) handle(conn net.Conn) {
	if h.stage == atConnect {
		h.strike(conn, nil, nil)
		return
	}
	in := dcerpc.NewReader(conn, 0)
	c := &conversation{iface: new(Rehearsal).iface(), port: port(conn), group: 1, calls: dcerpc.Assembler{Max: maxStub}}
	call := func(p dcerpc.PDU, message []byte) []byte {
		c.call = h.answerTo(message)
		out, _ := c.next(context.Background(), nil, p)
		return out
	}
	p, err := in.Next()
	if err != nil {
		return
	}
	ack := call(p, nil)
	if h.stage == atBind {
		h.strike(conn, ack, patched(slices.Clone(ack), 12, 77)) // of call 77
		return
	}
	conn.Write(ack)
	for n := 0; ; n++ {
		if h.stage == atRequest {
			half := make([]byte, 100)
			io.ReadFull(conn, half)
			p := dcerpc.PDU{Header: dcerpc.Header{Type: dcerpc.TypeRequest, Flags: whole, CallID: 3}, Body: requestOf(3, whole, 0, 0, kmswire.AppendRequestStub(nil, strange, false))[16:]}
			h.strike(conn, nil, call(p, strange))
			return
		}
		p, err := in.Next()
		if err != nil {
			return
		}
		right, other := call(p, nil), call(p, strange)
		switch {
		case h.stage == atResponse:
			conn.Write(right[:len(right)/2])
			h.strike(conn, right[len(right)/2:], other[len(other)/2:])
			return
		case h.stage == between && h.ails == hangs && n == 1:
			<-h.quit
			return
		}
		conn.Write(right)
		if h.stage == between && h.ails != hangs {
			// The answer of a call that was not made yet, or was answered before;
			// not together with the first, or the connection would not be kept.
			select {
			case <-h.answered:
			case <-h.quit:
			}
			p.CallID++
			h.strike(conn, right, call(p, strange))
			return
		}
	}
}

// answerTo answers message, or whatever is asked if that is nil.
func (h *sickHost) answerTo(message []byte) callFunc {
	return func(_ context.Context, _ dcerpc.Syntax, asked []byte) ([]byte, kmswire.HRESULT, dcerpc.Status) {
		if message == nil {
			message = asked
		}
		return h.answer(message), 0, 0
	}
}

// strike does what is wrong. rest is what would have been sent, and other the
// same for another client.
func (h *sickHost) strike(conn net.Conn, rest, other []byte) {
	switch h.ails {
	case dies:
		h.ln.Close()
		fallthrough
	case resets:
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
		return
	case garbage:
		conn.Write(bytes.Repeat([]byte("HTTP/1.1 400 Bad Request\r\n"), 40))
	case wrong:
		conn.Write(other)
	case late:
		select {
		case <-h.gaveUp:
		case <-h.quit:
		}
		conn.Write(rest)
	}
	<-h.quit
}

// TestGatewayFaults: whatever a host does, and whenever, its client is answered
// by the next one, within the same call, and rightly.
func TestGatewayFaults(t *testing.T) {
	tests := []struct {
		stage string
		want  map[string]Outcome // of the first time that the sick host was asked for the sick call
	}{
		{atConnect, map[string]Outcome{dies: Dead, hangs: Silent, resets: Dead, garbage: Garbled, late: Silent}},
		{atBind, map[string]Outcome{dies: Dead, hangs: Silent, resets: Dead, garbage: Garbled, wrong: Garbled, late: Silent}},
		{atRequest, map[string]Outcome{dies: Dead, hangs: Silent, resets: Dead, garbage: Garbled, wrong: Mismatched, late: Silent}},
		{atResponse, map[string]Outcome{dies: Dead, hangs: Silent, resets: Dead, garbage: Garbled, wrong: Mismatched, late: Silent}},
		// A host that merely ended or soiled a connection between two calls, or
		// behind a firewall that forgot it, is connected to once more, and not
		// blamed.
		{between, map[string]Outcome{dies: Dead, hangs: Answered, resets: Answered, garbage: Answered, wrong: Mismatched, late: Answered}},
	}
	for _, tc := range tests {
		for ails, want := range tc.want {
			t.Run(fmt.Sprintf("%s/%s", tc.stage, ails), func(t *testing.T) {
				t.Parallel()
				testFault(t, tc.stage, ails, want)
			})
		}
	}
}

func testFault(t *testing.T, stage, ails string, want Outcome) {
	sick := &sickHost{host: &host{}, stage: stage, ails: ails,
		gaveUp: make(chan struct{}), answered: make(chan struct{}), quit: make(chan struct{})}
	sick.host.handle = sick.handle
	startHost(t, sick.host)
	t.Cleanup(func() { close(sick.quit) })
	well := startHost(t, &host{})
	w := newWatcher()
	addr, _, stop := startGateway(t, GatewayConfig{
		Pool: poolOf(hostAt(sick.addr, 0), hostAt(well.addr, 1)), Observer: w, Budget: 2 * time.Second,
	})
	sickCall := 0
	if stage == between {
		mustCall(t, addr, messageV4(1))
		close(sick.answered)
		if got := w.outcomes(sick.addr); !slices.Equal(got, []Outcome{Answered}) {
			t.Fatalf("first call: the sick host was %v", got)
		}
		if ails == late {
			close(sick.gaveUp)
		}
		sickCall = 1
	}
	mustCall(t, addr, messageV4(2))
	got := w.outcomes(sick.addr)
	if len(got) <= sickCall || got[sickCall] != want {
		t.Fatalf("the sick host was %v, want %v", got, want)
	}
	r := w.last()
	if stage == between && r.Retries == 0 && ails != wrong {
		t.Errorf("nothing was replaced: %v", r)
	}
	if (want == Answered) != (r.Host == sick.addr) || (want == Answered) != (r.Failovers == 0) {
		t.Errorf("record %v", r)
	}
	if ails == late && stage != between {
		close(sick.gaveUp)
	}
	// What is left of the sick call must not reach anybody else.
	for n := range 3 {
		mustCall(t, addr, messageV4(3+n))
	}
	stop()
}
