//go:build interop

package kmsresponder

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/probe"
	"github.com/coredns-kms/coredns-kms/test/pcap"
)

// wire is where everything is written down that servers say and hear. Their
// connections appear in the capture with ports of the client that say whose they
// are: the first server's are base, base+1 and so on, the second's begin perServer
// later.
type wire struct {
	*pcap.Capture
	ends []func()
	next uint16
}

const (
	base      = 10_000
	perServer = 1000
)

func newWire() *wire { return &wire{Capture: pcap.New(), next: base} }

// serve has s serve a port of its own.
func (w *wire) serve(t *testing.T, s interface {
	Serve(context.Context, net.Listener) error
}) (addr string) {
	t.Helper()
	ln, err := ListenGateway(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	tapped := &tappedListener{TCPListener: ln.(*net.TCPListener), wire: w, next: w.next}
	serving.Go(func() {
		if err := s.Serve(ctx, tapped); err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	w.next += perServer
	stop := func() { cancel(); serving.Wait() }
	t.Cleanup(stop)
	w.ends = append(w.ends, stop)
	return ln.Addr().String()
}

// end ends the servers, the last first: it may be the client of one before. Then
// all that they had to say is in w.
func (w *wire) end() {
	for _, stop := range slices.Backward(w.ends) {
		stop()
	}
}

// tappedListener and tappedConn write down what passes.
type tappedListener struct {
	*net.TCPListener
	wire *wire
	next uint16
}

func (l *tappedListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	l.next++
	return &tappedConn{TCPConn: conn, stream: l.wire.Open(l.next - 1)}, nil
}

type tappedConn struct {
	*net.TCPConn
	stream *pcap.Stream
	closed sync.Once
}

func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 {
		c.stream.Send(false, b[:n])
	}
	return n, err
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.stream.Send(true, b)
	return c.TCPConn.Write(b)
}

func (c *tappedConn) Close() error {
	c.closed.Do(c.stream.Close)
	return c.TCPConn.Close()
}

// heard is the PDUs that Wireshark sees in each conversation of w, by the client's
// port: their types, those of faults with the status, of bind_nak with the reason,
// of bind_ack and alter_context_resp with the result for each context.
func (w *wire) heard(t *testing.T) map[uint16][]string {
	t.Helper()
	heard := make(map[uint16][]string)
	for _, line := range w.Read(t, "-Y", "dcerpc", "-T", "fields", "-E", "separator=|",
		"-e", "tcp.port", "-e", "dcerpc.pkt_type", "-e", "dcerpc.cn_status", "-e", "dcerpc.cn_reject_reason", "-e", "dcerpc.cn_ack_result") {
		f := strings.Split(line, "|")
		ports, types, statuses := strings.Split(f[0], ","), strings.Split(f[1], ","), strings.Split(f[2], ",")
		client := ports[0]
		if client == strconv.Itoa(pcap.Port) {
			client = ports[1]
		}
		port, err := strconv.ParseUint(client, 10, 16)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		for _, text := range types {
			n, err := strconv.ParseUint(text, 10, 8)
			if err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			word := dcerpc.PacketType(n).String()
			switch dcerpc.PacketType(n) {
			case dcerpc.TypeFault:
				word += " " + statuses[0]
				statuses = statuses[1:]
			case dcerpc.TypeBindNak:
				word += " " + f[3]
			case dcerpc.TypeBindAck, dcerpc.TypeAlterContextResp:
				word += " " + f[4]
			}
			heard[uint16(port)] = append(heard[uint16(port)], word)
		}
	}
	return heard
}

// expect fails the test unless Wireshark sees in w what is in want and nothing
// else, and has nothing to complain of but refused binds.
func (w *wire) expect(t *testing.T, want map[uint16][]string, naks int) {
	t.Helper()
	got := w.heard(t)
	for port, words := range want {
		if !slices.Equal(got[port], words) {
			t.Errorf("conversation %d:\n got %q\nwant %q", port, got[port], words)
		}
	}
	for port := range got {
		if want[port] == nil {
			t.Errorf("conversation %d, which nobody was to have: %q", port, got[port])
		}
	}
	w.quiet(t, naks)
}

// quiet fails the test if Wireshark has more to complain of in w than that so many
// binds were refused.
func (w *wire) quiet(t *testing.T, naks int) {
	t.Helper()
	if got := w.Complaints(t); !slices.Equal(got, slices.Repeat([]string{"Bind not acknowledged"}, naks)) {
		t.Errorf(`Wireshark complains: %q; want only %d times "Bind not acknowledged"`, got, naks)
	}
}

// A kind of server, and how to have one on a wire.
type kind struct {
	name    string
	refuses bool   // NDR64
	both    string // what it answers to NDR32, NDR64 and features at once
	host    string // what the host behind it answers to NDR32 and NDR64
	serve   func(*testing.T, *wire) (addr string)
}

// servers are hosts of both generations and gateways in front of them. The hosts
// have a key for clients only.
func servers() []kind {
	serveHost := func(ndr64 bool) func(t *testing.T, w *wire) string {
		return func(t *testing.T, w *wire) string {
			return w.serve(t, &Rehearsal{NDR64: ndr64, Key: config.ClientVL})
		}
	}
	behind := func(host func(*testing.T, *wire) string) func(t *testing.T, w *wire) string {
		return func(t *testing.T, w *wire) string {
			return w.serve(t, NewGateway(GatewayConfig{Pool: poolOf(hostAt(host(t, w), 0))}))
		}
	}
	return []kind{
		{"host that takes NDR32", true, "bind_ack 0,2,3", "", serveHost(false)},
		{"host that prefers NDR64", false, "bind_ack 2,0,3", "", serveHost(true)},
		{"gateway to NDR32", false, "bind_ack 0,2,3", "bind_ack 0,2", behind(serveHost(false))},
		{"gateway to NDR64", false, "bind_ack 0,2,3", "bind_ack 2,0", behind(serveHost(true))},
	}
}

// order is what impacket is told to do, and what it should say then.
type order struct {
	command string
	check   func(said string) error
}

// tell expects an answer literally.
func tell(command, want string) order {
	return order{command, func(said string) error {
		if said != want {
			return fmt.Errorf("want %q", want)
		}
		return nil
	}}
}

// activate has impacket write the stub of a request of the nth client and read
// that of the answer, which must be sealed, the client's own, and say count.
func activate(v kmswire.Version, n int, count uint32) order {
	q := machine(n, config.ClientVL)
	return order{"activate " + hex.EncodeToString(newSealer(nil).request(v, q)), func(said string) error {
		text, ok := strings.CutPrefix(said, "0x00000000 ")
		message, err := hex.DecodeString(text)
		if !ok || err != nil {
			return errors.New("want 0x00000000 and a message")
		}
		return sealed(message, v, q, count)
	}}
}

// call is activate with stubs of our own.
func call(ndr64 bool, n int, count uint32) order {
	q := machine(n, config.ClientVL)
	stub := kmswire.AppendRequestStub(nil, newSealer(nil).request(kmswire.V4, q), ndr64)
	return order{"call 0 " + hex.EncodeToString(stub), func(said string) error {
		text, ok := strings.CutPrefix(said, "stub ")
		stub, err := hex.DecodeString(text)
		if !ok || err != nil {
			return errors.New("want a stub")
		}
		message, hr, err := kmswire.ParseResponseStub(stub, ndr64)
		if err != nil || hr != kmswire.OK {
			return fmt.Errorf("%v, %v", hr, err)
		}
		return sealed(message, kmswire.V4, q, count)
	}}
}

// sealed reports what is wrong with the answer to q.
func sealed(message []byte, v kmswire.Version, q kmswire.RequestV4, count uint32) error {
	r, version, err := newSealer(nil).openResponse(message)
	if err != nil {
		return err
	}
	if version != v || r.CMID != q.CMID || r.ClientTime != q.ClientTime || r.Count != count {
		return fmt.Errorf("answer %+v of version %v, want count %d for %v at %v of version %v", r, version, count, q.CMID, q.ClientTime, v)
	}
	return nil
}

// impacket has an RPC client that is not ours carry out orders at addr.
func impacket(t *testing.T, addr string, orders ...order) {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	orders = append([]order{tell("connect "+port, "connected")}, orders...)
	var script strings.Builder
	for _, o := range orders {
		fmt.Fprintln(&script, o.command)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// Debian's own Python: another one does not have Debian's impacket.
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", "testdata/impacket_client.py")
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = strings.NewReader(script.String()), &stderr
	out, err := cmd.Output()
	said := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if err != nil || len(said) != len(orders) {
		t.Fatalf("impacket (python3-impacket), which this test needs: %v after %q\n%s", err, said, stderr.String())
	}
	for i, o := range orders {
		if err := o.check(said[i]); err != nil {
			t.Errorf("%.60s: impacket says %q: %v", o.command, said[i], err)
		}
	}
}

const (
	textKMS     = "51c82175-844e-4750-b0d8-ec255555bc06"
	textForeign = "00112233-4455-6677-8899-aabbccddeeff"

	// How impacket puts it.
	saysNoTransfer = "refused: Bind context %d rejected: provider_rejection; proposed_transfer_syntaxes_not_supported"
	saysNoAbstract = "refused: Bind context %d rejected: provider_rejection; abstract_syntax_not_supported" +
		" (this usually means the interface isn't listening on the given endpoint)"
)

// TestImpacket: a client that shares no code with us, not of RPC and not of NDR, is
// answered by hosts and through gateways, in both encodings; and Wireshark has
// nothing to say against it.
func TestImpacket(t *testing.T) {
	for _, server := range servers() {
		for _, ndr64 := range []bool{false, true} {
			syntax, other := "ndr32", "ndr64"
			if ndr64 {
				syntax, other = other, syntax
			}
			t.Run(server.name+", "+syntax, func(t *testing.T) {
				// The true interface comes third, after two that nobody has.
				orders := []order{tell("bind "+textKMS+" "+syntax+" 2", "bound")}
				if ndr64 && server.refuses {
					orders = []order{
						tell("bind "+textKMS+" ndr64 2", fmt.Sprintf(saysNoTransfer, 3)),
						tell("alter "+textKMS+" ndr32", "bound"),
					}
				}
				alter := tell("alter "+textKMS+" "+other, "bound")
				if other == "ndr64" && server.refuses {
					alter = tell("alter "+textKMS+" ndr64", fmt.Sprintf(saysNoTransfer, 1))
				}
				v4, v6 := kmswire.V4, kmswire.V6
				orders = append(orders,
					call(ndr64 && !server.refuses, 1, 1), activate(v4, 1, 1), activate(v4, 2, 2), activate(v6, 3, 3),
					// Answers that have an outcome and no message.
					tell("activate 000004", "0x8007000D"),
					tell("activate "+hex.EncodeToString(newSealer(nil).request(v4, machine(4, config.ServerC))), "0xC004F042"),
					// Faults, after which the connection is as good as before.
					tell("call 1", "refused: nca_s_op_rng_error"),
					tell("call 65535 00", "refused: nca_s_op_rng_error"),
					tell("call 0 000102", "refused: rpc_x_bad_stub_data"),
					activate(v4, 5, 4),
					// In three fragments.
					tell("fragment 100", "ready"), activate(v4, 6, 5), activate(v4, 1, 5), tell("fragment 0", "ready"),
					// Contexts that are added.
					alter, activate(v4, 7, 6),
					tell("alter "+textForeign+" ndr32", fmt.Sprintf(saysNoAbstract, 1)), activate(v4, 7, 6),
				)
				w := newWire()
				impacket(t, server.serve(t, w), orders...)
				w.end()
				w.quiet(t, 0)
				requests := 2 * 2 // the second and the third fragments
				for _, o := range orders {
					if name, _, _ := strings.Cut(o.command, " "); name == "call" || name == "activate" {
						requests++
					}
				}
				heard := w.heard(t)[w.next-perServer]
				if n := len(slices.DeleteFunc(heard, func(word string) bool { return word != "request" })); n != requests {
					t.Errorf("%d PDUs of requests, want %d", n, requests)
				}
			})
		}
	}
}

// TestImpacketIsRefused: what no server takes, and what none can answer.
func TestImpacketIsRefused(t *testing.T) {
	for _, server := range servers() {
		t.Run(server.name, func(t *testing.T) {
			w := newWire()
			addr := server.serve(t, w)
			impacket(t, addr, tell("bind "+textForeign+" ndr32", fmt.Sprintf(saysNoAbstract, 1)),
				tell("alter "+textKMS+" ndr32", "bound"), activate(kmswire.V4, 1, 1))
			impacket(t, addr, tell("bind "+textForeign+" ndr64 3", fmt.Sprintf(saysNoAbstract, 4)))
			impacket(t, addr, tell("login", "ready"),
				tell("bind "+textKMS+" ndr32", "refused: DCERPC Runtime Error: code: 0x8 - Authentication type not recognized"))
			w.end()
			w.quiet(t, 1)
		})
	}
	t.Run("gateway without a host", func(t *testing.T) {
		w := newWire()
		addr := w.serve(t, NewGateway(GatewayConfig{Pool: poolOf()}))
		busy := activate(kmswire.V4, 1, 0)
		busy = tell(busy.command, "refused: nca_s_server_too_busy")
		impacket(t, addr, tell("bind "+textKMS+" ndr32", "bound"), busy, busy)
		impacket(t, addr, tell("bind "+textKMS+" ndr64", "bound"), busy, busy)
		w.end()
		w.quiet(t, 0)
	})
}

// step is a PDU that a client sends, what Wireshark should see in it, and in the
// server's answer. "" is nothing.
type step struct {
	send         []byte
	said, answer string
}

const (
	ack     = "bind_ack 0"
	altered = "alter_context_resp 0"

	faultDenied   = "fault 0x00000005"
	faultBadStub  = "fault 0x000006f7"
	faultOpRange  = "fault 0x1c010002"
	faultUnknown  = "fault 0x1c010003"
	faultProtocol = "fault 0x1c01000b"
	faultTooBusy  = "fault 0x1c010014"
)

// chats are conversations in which a server emits every PDU that it can. Each ends
// where the server ends it, or when the client has nothing more to say. The number
// is of the requests that a host is needed for.
func chats(server kind) (list [][]step, forwarded int) {
	ndr32, ndr64, features := dcerpc.NDR32, dcerpc.NDR64, dcerpc.FeatureNegotiation(3)
	another := dcerpc.Syntax{UUID: dcerpc.MustUUID(textForeign), Version: 1}
	message := func(v kmswire.Version, group config.Key) []byte { return newSealer(nil).request(v, machine(1, group)) }
	stub := func(v kmswire.Version) []byte {
		forwarded++
		return kmswire.AppendRequestStub(nil, message(v, config.ClientVL), false)
	}
	// Of a kind that Wireshark does not know: it would complain of the contents.
	verified := func(b []byte) []byte { b = signed(b); return patched(b, len(b)-12, 0xee) }

	parts := stub(kmswire.V4)
	in64 := kmswire.AppendRequestStub(nil, message(kmswire.V4, config.ClientVL), true)
	only64, altered64, answer64 := "bind_ack 0,3", altered, "response"
	if server.refuses {
		only64, altered64, answer64 = "bind_ack 2,3", "alter_context_resp 2", faultUnknown
	}
	forwarded++    // in64; the gateway takes it, whatever the host does
	forwarded += 2 // serverC, and a message that may be of a version to come
	serverC := kmswire.AppendRequestStub(nil, message(kmswire.V4, config.ServerC), false)
	bound := step{bind(2, ndr32), "bind", ack}
	list = [][]step{
		{
			{bind(2, ndr32, ndr64, features), "bind", server.both},
			{alter(3, contexts(kmswire.Interface, ndr32)...), "alter_context", altered},
			{requestOf(4, whole, 0, 0, stub(kmswire.V4)), "request", "response"},
			{requestOf(5, whole, 0, 0, stub(kmswire.V6)), "request", "response"},
			{requestOf(6, dcerpc.FlagFirst, 0, 0, parts[:100]), "request", ""},
			{requestOf(6, 0, 0, 0, parts[100:101]), "request", ""},
			{requestOf(6, dcerpc.FlagLast, 0, 0, parts[101:]), "request", "response"},
			{requestOf(7, whole, 0, 0, serverC), "request", "response"}, // 0xC004F042
			{request(8, whole, 0, 0), "request", "response"},            // 0x8007000D
			{requestOf(9, dcerpc.FlagFirst, 0, 0, parts[:100]), "request", ""},
			{control(dcerpc.TypeOrphaned, 9), "orphaned", ""},
			{alter(10, dcerpc.Context{ID: 1, Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{ndr64}}), "alter_context", altered64},
			{requestOf(11, whole, 1, 0, in64), "request", answer64},
			{requestOf(12, whole, 0, 0, stub(kmswire.V5)), "request", "response"},
		},
		{{bind(2, ndr64, features), "bind", only64}},
		{{alterAsBind(alter(2, contexts(another, ndr32, ndr64)...)), "bind", "bind_ack 2,2"}, {request(3, whole, 1, 0), "request", faultUnknown}},
		{
			bound,
			{request(3, whole, 0, 1), "request", faultOpRange},
			{requestOf(4, whole, 0, 0, parts[:7]), "request", faultBadStub},
			{requestOf(5, whole, 0, 0, nil), "request", faultBadStub},
			{request(6, whole, 7, 0), "request", faultUnknown},
			{verified(alter(7)), "alter_context", faultDenied},
			{verified(request(8, whole, 0, 0)), "request", faultDenied},
			{requestOf(9, whole, 0, 0, stub(kmswire.V4)), "request", "response"},
			{requestOf(10, dcerpc.FlagLast, 0, 0, nil), "request", faultProtocol},
		},
		{{alter(2, contexts(kmswire.Interface, ndr32)...), "alter_context", faultProtocol}},
		{{request(2, whole, 0, 0), "request", faultProtocol}},
		// Wireshark does not read version 4.
		{{patched(bind(2, ndr32), 0, 4), "", "bind_nak 4"}},
		{{verified(bind(2, ndr32)), "bind", "bind_nak 8"}},
		{{bind(2, slices.Repeat([]dcerpc.Syntax{ndr32}, 17)...), "bind", "bind_nak 2"}},
		{bound, {bind(3, ndr32), "bind", "bind_nak 0"}},
		// Multiplexing, and fragments of the smallest and the largest size.
		{{patched(bind(2, ndr32), 3, 0x13), "bind", ack}, {requestOf(3, whole, 0, 0, stub(kmswire.V4)), "request", "response"}},
		{{fragSizes(1, 0), "bind", ack}, {requestOf(3, whole, 0, 0, stub(kmswire.V4)), "request", "response"}},
	}
	return list, forwarded
}

// hold has the conversations at addr, one after the other, and leaves in want what
// Wireshark should see of them, from port on. It returns the port after the last,
// and how many binds were refused.
func hold(t *testing.T, addr string, list [][]step, want map[uint16][]string, port uint16) (next uint16, naks int) {
	t.Helper()
	for _, steps := range list {
		conn := dial(t, addr)
		in := dcerpc.NewReader(conn, 0)
		for i, s := range steps {
			if _, err := conn.Write(s.send); err != nil {
				t.Fatalf("conversation %d, step %d: %v", port, i, err)
			}
			if s.answer != "" {
				if _, err := in.Next(); err != nil {
					t.Fatalf("conversation %d, step %d, instead of a %s: %v", port, i, s.answer, err)
				}
			}
			for _, word := range []string{s.said, s.answer} {
				if word != "" {
					want[port] = append(want[port], word)
				}
				if strings.HasPrefix(word, "bind_nak") {
					naks++
				}
			}
		}
		conn.Close()
		port++
	}
	return port, naks
}

// TestWiresharkHears: every PDU that a server emits, and those of the gateway, the
// rehearsal's client and the probe as clients. Wireshark sees in each conversation
// just what it should, and no fault in any.
func TestWiresharkHears(t *testing.T) {
	for _, server := range servers() {
		t.Run(server.name, func(t *testing.T) {
			w, want := newWire(), make(map[uint16][]string)
			addr := server.serve(t, w)
			list, forwarded := chats(server)
			port, naks := hold(t, addr, list, want, w.next-perServer)

			// Clients of ours.
			client := &RehearsalClient{Name: "pc.example.org", Discover: found(addr), Suffixes: []string{"example.org"}}
			if a := client.Activate(t.Context()); a.Count == 0 {
				t.Errorf("attempt %+v", a)
			}
			forwarded++
			want[port] = []string{"bind", server.both, "request", "response"}
			if server.both == "bind_ack 2,0,3" {
				want[port] = []string{"bind", server.both, "alter_context", altered, "request", "response"}
			}
			at := netip.MustParseAddrPort(addr)
			if r := (probe.Prober{Timeout: 5 * time.Second}).Probe(t.Context(), []netip.Addr{at.Addr()}, at.Port()); r.Outcome != probe.Passed {
				t.Errorf("probe: %v", r)
			}
			want[port+1] = []string{"bind", server.both}

			// A gateway has said all to its host on one connection.
			if server.host != "" {
				want[base] = append([]string{"bind", server.host}, slices.Repeat([]string{"request", "response"}, forwarded)...)
			}
			w.end()
			w.expect(t, want, naks)
		})
	}
	t.Run("gateway without a host", func(t *testing.T) {
		w, want := newWire(), make(map[uint16][]string)
		addr := w.serve(t, NewGateway(GatewayConfig{Pool: poolOf()}))
		stub := kmswire.AppendRequestStub(nil, messageV4(1), false)
		hold(t, addr, [][]step{{
			{bind(2, dcerpc.NDR32), "bind", ack},
			{requestOf(3, whole, 0, 0, stub), "request", faultTooBusy},
			{requestOf(4, whole, 0, 0, stub), "request", faultTooBusy},
		}}, want, base)
		w.end()
		w.expect(t, want, 0)
	})
}
