package kmsresponder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// start serves r on a port of its own. stop ends it, fails the test unless Serve
// then returns nil, and may be called again.
func start(t *testing.T, r *Rehearsal) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, ln); close(served) }()
	stop = func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	}
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// dial connects to addr. Every wait on the connection is bounded.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn.(*net.TCPConn)
}

// What clients send. A context is written as its transfer syntaxes, its id is
// its position.
func contexts(abstract dcerpc.Syntax, transfer ...dcerpc.Syntax) []dcerpc.Context {
	var list []dcerpc.Context
	for i, s := range transfer {
		list = append(list, dcerpc.Context{ID: uint16(i), Abstract: abstract, Transfer: []dcerpc.Syntax{s}})
	}
	return list
}

func bind(call uint32, transfer ...dcerpc.Syntax) []byte {
	return dcerpc.Bind{MaxXmit: 5840, MaxRecv: 5840, Contexts: contexts(kmswire.Interface, transfer...)}.
		Append(nil, dcerpc.TypeBind, whole, call)
}

func alter(call uint32, list ...dcerpc.Context) []byte {
	return dcerpc.Bind{MaxXmit: 5840, MaxRecv: 5840, AssocGroup: 1, Contexts: list}.
		Append(nil, dcerpc.TypeAlterContext, whole, call)
}

// request carries a message that is no KMS message, so that any host has the
// same answer to it: 0x8007000D.
func request(call uint32, flags dcerpc.Flags, context, opnum uint16) []byte {
	return requestOf(call, flags, context, opnum, kmswire.AppendRequestStub(nil, []byte("none"), false))
}

func request64(call uint32, context uint16) []byte {
	return requestOf(call, whole, context, 0, kmswire.AppendRequestStub(nil, []byte("none"), true))
}

func requestOf(call uint32, flags dcerpc.Flags, context, opnum uint16, stub []byte) []byte {
	return dcerpc.Request{ContextID: context, Opnum: opnum, Stub: stub}.
		Append(nil, dcerpc.TypeRequest, flags, call)
}

func control(t dcerpc.PacketType, call uint32) []byte {
	return dcerpc.Control{}.Append(nil, t, whole, call)
}

// patched returns b with octet i set to v.
func patched(b []byte, i int, v byte) []byte {
	b[i] = v
	return b
}

// signed returns b with a verifier of 4 octets.
func signed(b []byte) []byte {
	b = append(b, 10, 2, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4)
	b[8], b[9] = byte(len(b)), byte(len(b)>>8)
	return patched(b, 10, 4)
}

// describe turns the server's PDUs on conn, to the end, into lines of text in
// which its own port is "port" and any association group but 0 is "group".
func describe(t *testing.T, conn net.Conn) []string {
	t.Helper()
	_, ownPort, _ := net.SplitHostPort(conn.RemoteAddr().String())
	in := dcerpc.NewReader(conn, 0)
	var lines []string
	for {
		p, err := in.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatalf("after %q: %v", lines, err)
		}
		text := ""
		switch p.Type {
		case dcerpc.TypeBindAck, dcerpc.TypeAlterContextResp:
			var a dcerpc.BindAck
			a, err = dcerpc.ParseBindAck(p)
			group := "no group"
			if a.AssocGroup != 0 {
				group = "group"
			}
			address := strings.Replace(a.SecondaryAddress, ownPort, "port", 1)
			text = fmt.Sprintf("%d/%d %s %q %v", a.MaxXmit, a.MaxRecv, group, address, a.Results)
		case dcerpc.TypeBindNak:
			var n dcerpc.BindNak
			n, err = dcerpc.ParseBindNak(p)
			text = fmt.Sprintf("%d %v", n.Reason, n.Versions)
		case dcerpc.TypeFault:
			var f dcerpc.Fault
			f, err = dcerpc.ParseFault(p)
			text = fmt.Sprintf("context %d %v", f.ContextID, f.Status)
		case dcerpc.TypeResponse:
			var r dcerpc.Response
			r, err = dcerpc.ParseResponse(p)
			text = fmt.Sprintf("context %d %x", r.ContextID, r.Stub)
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%v %#02x call %d: %s", p.Type, uint8(p.Flags), p.CallID, text))
	}
}

const (
	noTransfer = "rejected: proposed transfer syntaxes not supported"
	noAbstract = "rejected: abstract syntax not supported"

	ackNDR32 = `bind_ack 0x03 call 2: 5840/5840 group "port" [accepted with NDR32]`

	invalid   = "00000000" + "00000000" + "0d000780" // no message, a null pointer, 0x8007000D
	invalid64 = "00000000" + "00000000" + "0000000000000000" + "0d000780"
	badStub   = "0x000006F7 bad stub data"
	opRange   = "0x1C010002 nca_op_rng_error: no such operation"
	unknownIf = "0x1C010003 nca_unk_if: unknown interface"
	protocol  = "0x1C01000B nca_proto_error: protocol error"
	denied    = "0x00000005 access denied"
)

// TestConversations has what a client sends, in one go, and all that it hears
// until the server has ended the connection too. Where a connection must not
// go on, the client sends one more request, which must stay unanswered.
func TestConversations(t *testing.T) {
	ndr32, ndr64, features := dcerpc.NDR32, dcerpc.NDR64, dcerpc.FeatureNegotiation(3)
	another := dcerpc.Syntax{UUID: dcerpc.MustUUID("00112233-4455-6677-8899-aabbccddeeff"), Version: 1}
	more := request(99, whole, 0, 0)
	stub := kmswire.AppendRequestStub(nil, []byte("none"), false)
	fragment := func(call uint32, flags dcerpc.Flags, part ...byte) []byte { return requestOf(call, flags, 0, 0, part) }

	tests := []struct {
		name  string
		ndr64 bool
		send  [][]byte
		want  []string
	}{
		{"older host, 64-bit client", false, [][]byte{bind(2, ndr32, ndr64, features)}, []string{
			`bind_ack 0x03 call 2: 5840/5840 group "port" [accepted with NDR32 ` + noTransfer + ` features 0x3 agreed]`}},
		{"newer host, 64-bit client", true,
			[][]byte{bind(2, ndr32, ndr64, features), alter(3, contexts(kmswire.Interface, ndr32)...), request(4, whole, 0, 0), request64(5, 1)}, []string{
				`bind_ack 0x03 call 2: 5840/5840 group "port" [` + noTransfer + ` accepted with NDR64 features 0x3 agreed]`,
				`alter_context_resp 0x03 call 3: 5840/5840 group "" [accepted with NDR32]`,
				`response 0x03 call 4: context 0 ` + invalid,
				`response 0x03 call 5: context 1 ` + invalid64}},
		{"newer host, 32-bit client", true, [][]byte{bind(2, ndr32, features)}, []string{
			`bind_ack 0x03 call 2: 5840/5840 group "port" [accepted with NDR32 features 0x3 agreed]`}},
		{"older host, nothing it speaks", false, [][]byte{bind(2, ndr64), request(3, whole, 0, 0), alter(4, contexts(kmswire.Interface, ndr32)...)}, []string{
			`bind_ack 0x03 call 2: 5840/5840 group "port" [` + noTransfer + `]`,
			`fault 0x23 call 3: context 0 ` + unknownIf,
			`alter_context_resp 0x03 call 4: 5840/5840 group "" [accepted with NDR32]`}},
		{"features that nobody knows", false, [][]byte{bind(2, dcerpc.FeatureNegotiation(0xfffffffffffffffe))}, []string{
			`bind_ack 0x03 call 2: 5840/5840 group "port" [features 0x2 agreed]`}},
		{"another interface", false,
			[][]byte{alterAsBind(alter(2, append(contexts(another, ndr32), contexts(kmswire.Interface, ndr64, ndr32)[1])...)), request(3, whole, 1, 0)}, []string{
				`bind_ack 0x03 call 2: 5840/5840 group "port" [` + noAbstract + ` accepted with NDR32]`,
				`response 0x03 call 3: context 1 ` + invalid}},

		{"call id and multiplexing are mirrored", false, [][]byte{patched(bind(0xfffffffe, ndr32), 3, 0x17)}, []string{
			`bind_ack 0x13 call 4294967294: 5840/5840 group "port" [accepted with NDR32]`}},
		{"the smaller fragment size", false, [][]byte{fragSizes(4280, 2048)}, []string{
			`bind_ack 0x03 call 2: 2048/2048 group "port" [accepted with NDR32]`}},
		{"fragment sizes too small", false, [][]byte{fragSizes(1, 0)}, []string{
			`bind_ack 0x03 call 2: 1432/1432 group "port" [accepted with NDR32]`}},
		{"fragment sizes too large", false, [][]byte{fragSizes(65535, 65535)}, []string{ackNDR32}},
		{"an association group from elsewhere", false, [][]byte{alterAsBind(alter(2, contexts(kmswire.Interface, ndr32)...))}, []string{ackNDR32}},
		{"minor version 1", false, [][]byte{patched(bind(2, ndr32), 1, 1)}, []string{ackNDR32}},

		{"bind with authentication", false, [][]byte{signed(bind(2, ndr32)), more}, []string{`bind_nak 0x03 call 2: 8 [[5 0]]`}},
		{"bind of version 4", false, [][]byte{patched(bind(2, ndr32), 0, 4), more}, []string{`bind_nak 0x03 call 2: 4 [[5 0]]`}},
		{"request of version 4", false, [][]byte{bind(2, ndr32), patched(request(3, whole, 0, 0), 0, 4), more}, []string{ackNDR32}},
		{"bind of version 4 after a bind", false, [][]byte{bind(2, ndr32), patched(bind(3, ndr32), 0, 4), more}, []string{ackNDR32}},
		{"big-endian bind", false, [][]byte{patched(bind(2, ndr32), 4, 0), more}, nil},
		{"second bind", false, [][]byte{bind(2, ndr32), bind(3, ndr32), more}, []string{ackNDR32, `bind_nak 0x03 call 3: 0 [[5 0]]`}},
		{"bind that contradicts itself", false, [][]byte{patched(bind(2, ndr32), 24, 2), more}, []string{`bind_nak 0x03 call 2: 0 [[5 0]]`}},
		{"bind with 17 contexts", false, [][]byte{bind(2, make([]dcerpc.Syntax, 17)...), more}, []string{`bind_nak 0x03 call 2: 2 [[5 0]]`}},
		{"PDU too long", false, [][]byte{bind(2, ndr32), patched(request(3, whole, 0, 0), 9, 0xff), more}, []string{ackNDR32}},

		{"alter_context before bind", false, [][]byte{alter(2, contexts(kmswire.Interface, ndr32)...), more}, []string{`fault 0x23 call 2: context 0 ` + protocol}},
		{"alter_context with authentication", false, [][]byte{bind(2, ndr32), signed(alter(3)), more}, []string{ackNDR32,
			`fault 0x23 call 3: context 0 ` + denied, `response 0x03 call 99: context 0 ` + invalid}},
		{"alter_context that contradicts itself", false, [][]byte{bind(2, ndr32), patched(alter(3), 24, 1), more}, []string{ackNDR32,
			`fault 0x23 call 3: context 0 ` + protocol}},

		{"request before bind", false, [][]byte{request(2, whole, 0, 0), more}, []string{`fault 0x23 call 2: context 0 ` + protocol}},
		{"request after a refused bind", false, [][]byte{patched(bind(2, ndr32), 28+4, 0), more}, []string{
			`bind_ack 0x03 call 2: 5840/5840 group "port" [` + noAbstract + `]`, `fault 0x23 call 99: context 0 ` + unknownIf}},
		{"unknown context", false, [][]byte{bind(2, ndr32), request(3, whole, 7, 0), more}, []string{ackNDR32,
			`fault 0x23 call 3: context 7 ` + unknownIf, `response 0x03 call 99: context 0 ` + invalid}},
		{"unknown operation", false, [][]byte{bind(2, ndr32), request(3, whole, 0, 1), request(4, whole, 0, 0xffff), more}, []string{ackNDR32,
			`fault 0x23 call 3: context 0 ` + opRange, `fault 0x23 call 4: context 0 ` + opRange, `response 0x03 call 99: context 0 ` + invalid}},
		{"request that wants no answer", false, [][]byte{bind(2, ndr32), request(3, whole|dcerpc.FlagMaybe, 0, 0), more}, []string{ackNDR32,
			`response 0x03 call 99: context 0 ` + invalid}},
		{"signed request", false, [][]byte{bind(2, ndr32), signed(request(3, whole, 0, 0)), more}, []string{ackNDR32,
			`fault 0x23 call 3: context 0 ` + denied, `response 0x03 call 99: context 0 ` + invalid}},
		{"request without an opnum", false, [][]byte{bind(2, ndr32), control(dcerpc.TypeRequest, 3), more}, []string{ackNDR32,
			`fault 0x23 call 3: context 0 ` + protocol}},
		{"stub that is none", false, [][]byte{bind(2, ndr32), fragment(3, whole, stub[:7]...), more}, []string{ackNDR32,
			`fault 0x23 call 3: context 0 ` + badStub, `response 0x03 call 99: context 0 ` + invalid}},
		{"stub in the other encoding", true, [][]byte{bind(2, ndr32, ndr64), request(3, whole, 1, 0), request64(4, 1)}, []string{
			`bind_ack 0x03 call 2: 5840/5840 group "port" [` + noTransfer + ` accepted with NDR64]`,
			`fault 0x23 call 3: context 1 ` + badStub, `response 0x03 call 4: context 1 ` + invalid64}},
		{"context whose encoding changes", true, [][]byte{bind(2, ndr64), request64(3, 0), alter(4, contexts(kmswire.Interface, ndr32)...), request(5, whole, 0, 0)}, []string{
			`bind_ack 0x03 call 2: 5840/5840 group "port" [accepted with NDR64]`,
			`response 0x03 call 3: context 0 ` + invalid64,
			`alter_context_resp 0x03 call 4: 5840/5840 group "" [accepted with NDR32]`,
			`response 0x03 call 5: context 0 ` + invalid}},
		{"request in three fragments", false,
			[][]byte{bind(2, ndr32), fragment(3, dcerpc.FlagFirst, stub[:1]...), fragment(3, 0, stub[1:9]...), fragment(3, dcerpc.FlagLast, stub[9:]...), more}, []string{ackNDR32,
				`response 0x03 call 3: context 0 ` + invalid, `response 0x03 call 99: context 0 ` + invalid}},
		{"fragment of nothing", false, [][]byte{bind(2, ndr32), fragment(3, dcerpc.FlagLast), more}, []string{ackNDR32,
			`fault 0x23 call 3: context 0 ` + protocol}},

		{"cancel and orphaned", false, [][]byte{control(dcerpc.TypeOrphaned, 1), bind(2, ndr32), control(dcerpc.TypeCancel, 3), control(dcerpc.TypeOrphaned, 3), more}, []string{ackNDR32,
			`response 0x03 call 99: context 0 ` + invalid}},
		{"a call given up half way", false, [][]byte{bind(2, ndr32), fragment(3, dcerpc.FlagFirst), control(dcerpc.TypeOrphaned, 3), more}, []string{ackNDR32,
			`response 0x03 call 99: context 0 ` + invalid}},
		{"auth3", false, [][]byte{bind(2, ndr32), control(dcerpc.TypeAuth3, 3), more}, []string{ackNDR32}},
		{"a server's PDU", false, [][]byte{bind(2, ndr32), control(dcerpc.TypeBindAck, 3), more}, []string{ackNDR32}},
		{"no type at all", false, [][]byte{control(77, 2), more}, nil},
		{"HTTP", false, [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, nil},
		{"nothing", false, nil, nil},
		{"half a bind", false, [][]byte{bind(2, ndr32)[:40]}, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			addr, _ := start(t, &Rehearsal{NDR64: tc.ndr64})
			conn := dial(t, addr)
			if _, err := conn.Write(bytes.Join(tc.send, nil)); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Logf("the server was faster: %v", err)
			}
			got := describe(t, conn)
			if g, w := strings.Join(got, "\n"), strings.Join(tc.want, "\n"); g != w {
				t.Errorf("heard\n%s\nwant\n%s", g, w)
			}
		})
	}
}

// alterAsBind makes a bind of an alter_context.
func alterAsBind(b []byte) []byte { return patched(b, 2, byte(dcerpc.TypeBind)) }

// fragSizes is a bind with these sizes.
func fragSizes(xmit, recv uint16) []byte {
	return dcerpc.Bind{MaxXmit: xmit, MaxRecv: recv, Contexts: contexts(kmswire.Interface, dcerpc.NDR32)}.
		Append(nil, dcerpc.TypeBind, whole, 2)
}

// TestBindAckOctets compares one whole answer with octets worked out by hand,
// so that it does not depend on our own codec.
func TestBindAckOctets(t *testing.T) {
	c := conversation{iface: new(Rehearsal).iface(), port: "1688", group: 0x1063}
	p := parse(t, bind(2, dcerpc.NDR32, dcerpc.NDR64, dcerpc.FeatureNegotiation(3)))
	out, more := c.next(t.Context(), nil, p)
	want := "\x05\x00\x0c\x03\x10\x00\x00\x00\x6c\x00\x00\x00\x02\x00\x00\x00" + // 108 octets, call 2
		"\xd0\x16\xd0\x16\x63\x10\x00\x00\x05\x001688\x00\x00" + // 5840, 5840, group, port, alignment
		"\x03\x00\x00\x00" +
		"\x00\x00\x00\x00" + "\x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\x00\x2b\x10\x48\x60" + "\x02\x00\x00\x00" +
		"\x02\x00\x02\x00" + strings.Repeat("\x00", 20) +
		"\x03\x00\x03\x00" + strings.Repeat("\x00", 20)
	if string(out) != want || !more {
		t.Errorf("answer %x, %v\nwant   %x, true", out, more, want)
	}
}

// parse makes a PDU of octets that hold exactly one.
func parse(t *testing.T, b []byte) dcerpc.PDU {
	t.Helper()
	p, err := dcerpc.NewReader(bytes.NewReader(b), 0).Next()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestContextsAreBounded: the table of a connection does not grow for ever, and
// one that is full still knows what it has.
func TestContextsAreBounded(t *testing.T) {
	c := conversation{iface: new(Rehearsal).iface(), port: "1688", group: 1, bound: true}
	alterWith := func(id uint16) dcerpc.ContextResult {
		p := parse(t, alter(2, dcerpc.Context{ID: id, Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{dcerpc.NDR32}}))
		out, more := c.next(t.Context(), nil, p)
		a, err := dcerpc.ParseBindAck(parse(t, out))
		if err != nil || !more || len(a.Results) != 1 {
			t.Fatalf("alter_context %d: %+v, %v, %v", id, a, more, err)
		}
		return a.Results[0]
	}
	for id := range uint16(maxContexts) {
		if r := alterWith(id); r.Result != dcerpc.Acceptance {
			t.Fatalf("context %d: %v", id, r)
		}
	}
	if r, want := alterWith(maxContexts), (dcerpc.ContextResult{Result: dcerpc.ProviderRejection, Reason: dcerpc.ReasonLocalLimit}); r != want {
		t.Errorf("one more: %v", r)
	}
	if r := alterWith(0); r.Result != dcerpc.Acceptance {
		t.Errorf("one that exists: %v", r)
	}
}

// TestFragmentsAreBounded: a request that exceeds the cap ends the connection.
func TestFragmentsAreBounded(t *testing.T) {
	c := conversation{iface: new(Rehearsal).iface(), bound: true, calls: dcerpc.Assembler{Max: maxStub}}
	part := dcerpc.Request{Stub: make([]byte, maxStub)}
	if out, more := c.next(t.Context(), nil, parse(t, part.Append(nil, dcerpc.TypeRequest, dcerpc.FlagFirst, 2))); len(out) != 0 || !more {
		t.Fatalf("first fragment: %x, %v", out, more)
	}
	out, more := c.next(t.Context(), nil, parse(t, request(2, dcerpc.FlagLast, 0, 0)))
	f, err := dcerpc.ParseFault(parse(t, out))
	if err != nil || f.Status != dcerpc.StatusProtoError || more {
		t.Errorf("second fragment: %+v, %v, %v", f, more, err)
	}
}
