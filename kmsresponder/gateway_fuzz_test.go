package kmsresponder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/pool"
)

// FuzzGateway plays whole conversations of three clients with a gateway before three hosts, all of them over sockets. An input
// is a sequence of steps: what clients say and in how many pieces, what hosts do, other configurations, the end of the gateway
// and the start of another. What comes back is compared with two models, one of the protocol (rpcModel) and one of whom a
// gateway asks and believes (ruling), and with what the hosts did. At the end of each input nothing may be left of it.
func FuzzGateway(f *testing.F) {
	for name, s := range gatewaySeeds {
		if len(s) > longestPlay {
			f.Fatalf("%s is longer than %d octets", name, longestPlay)
		}
	}
	var s *stage
	over := func() {
		if s != nil {
			s.close()
			s = nil
		}
	}
	f.Cleanup(over)
	f.Fuzz(func(t *testing.T, each bool, steps []byte) {
		if len(steps) > longestPlay {
			return
		}
		err := errStalled
		for try := 0; try < 5 && errors.Is(err, errStalled); try++ {
			if s != nil && s.each != each {
				over()
			}
			if s == nil {
				s = newStage(each)
			}
			if err = s.play(steps); errors.Is(err, errStalled) {
				over()
			}
		}
		if err != nil {
			t.Error(err)
			if s != nil {
				t.Errorf("after\n%s", strings.Join(s.steps, "\n"))
			}
			over()
		}
	})
}

// longestPlay bounds an input, which is to take milliseconds.
const longestPlay = 256

// The steps, each followed by octets of its own; what is missing is 0.
const (
	asks byte = iota // client, what, how
	binds
	controls
	talks // client, length, octets
	flips // client, where, what: in the next PDU that the client sends
	fragments
	leaves // client, how
	tells  // host, deed, how often
	configures
	drains
	asksTogether
	stepKinds
)

// gatewaySeeds is the committed corpus, by name; TestGatewaySeeds holds it equal.
var gatewaySeeds = map[string][]byte{
	"each-version": {binds, 0, 0, 0, asks, 0, 0, 0, asks, 0, 1, 0, asks, 0, 2, 0, asks, 0, 3, 0, asks, 0, 4, 0, asks, 0, 5, 0, asks, 0, 6, 0, asks, 0, 7, 0},
	"contexts": {binds, 0, 0b01_00_01_10, 0, asks, 0, 0, 4, asks, 0, 0, 8, asks, 0, 0, 12, binds, 0, 0b01, 128, asks, 0, 2, 0, binds, 1, 0, 4, asks, 1, 0, 4,
		binds, 2, 0b11, 0, asks, 2, 0, 16, asks, 2, 0, 32, asks, 2, 0, 64, asks, 2, 0, 128},
	"encodings": {binds, 0, 0, 0, binds, 0, 0b01, 128, asks, 0, 0, 0, binds, 0, 0, 128, asks, 0, 2, 0},
	"refused":   {binds, 0, 0, 0, binds, 0, 0, 0, binds, 1, 0, 16, binds, 2, 0, 32, binds, 0, 0, 64, asks, 1, 0, 0, binds, 2, 0, 128},
	"pieces":    {binds, 0, 0, later, asks, 0, 0b0001_1000, halfNow, binds, 1, 0, byOctets, asks, 0, 0b1000_0001, atOnce, asks, 1, 2, byOctets, asks, 1, 0b11_00_0000, 0},
	"controls":  {binds, 0, 0, 0, fragments, 0, 1, 20, controls, 0, 0, 0, fragments, 0, 1, 9, fragments, 0, 0, 9, fragments, 0, 2, 9, controls, 0, 1, 0, asks, 0, 0, 0, controls, 0, 2, 0},
	"declined": {tells, 0, byte(declinesNoKey), 255, binds, 0, 0, 0, asks, 0, 0, 0, asks, 0, 0, 0, tells, 1, byte(declinesInactive), 255,
		asks, 0, 1, 0, tells, 2, byte(declinesDisabled), 255, asks, 0, 0, 0, asks, 0, 1, 0, tells, 0, 0, 0, asks, 0, 0, 0},
	"mute": {tells, 0, byte(declinesNoKey), 255, tells, 1, byte(closes), 255, tells, 2, byte(talksHTTP), 255, binds, 0, 0, 0, asks, 0, 0, 0,
		tells, 1, byte(closes), 2, asks, 0, 0, 0, tells, 0, byte(errsClock), 255, asks, 0, 2, 0},
	"parked": {binds, 0, 0, 0, tells, 0, byte(answersAndCloses), 1, asks, 0, 0, 0, asks, 0, 0, 0, tells, 0, byte(answersTwice), 1, asks, 0, 0, 0, asks, 0, 0, 0,
		tells, 0, byte(answersAhead), 1, asks, 0, 2, 0, asks, 0, 2, 0, tells, 0, byte(resetsIt), 1, asks, 0, 0, 0, tells, 0, byte(closesHalfway), 1, asks, 0, 0, 0},
	"garbage": {binds, 0, 0, 0, tells, 0, byte(answersAnother), 1, asks, 0, 0, 0, tells, 0, byte(answersTooLong), 2, asks, 0, 0, 0,
		tells, 0, byte(answersWithoutEnd), 2, asks, 0, 0, 0, tells, 0, byte(answersNoStub), 2, asks, 0, 0, 0, tells, 0, byte(faults), 1, asks, 0, 0, 0,
		tells, 0, byte(succeedsWithoutOne), 2, asks, 0, 0, 0, tells, 0, byte(errsWithAMessage), 2, asks, 0, 0, 0, tells, 0, byte(answersAnotherCall), 2, asks, 0, 1, 0},
	"binds": {tells, 0, byte(refusesBind), 1, tells, 1, byte(acceptsNothing), 1, binds, 0, 0, 0, asks, 0, 0, 0, tells, 2, byte(talksHTTPAtBind), 255,
		tells, 0, byte(closesAtBind), 3, asks, 0, 0, 0},
	"configured": {configures, 0o101, 0, 0, 0, binds, 0, 0, 0, asks, 0, 0, 0, configures, 0o213, 0, 0b10, 1, asks, 0, 0, 0,
		configures, 0o023, 1, 1, 2, asks, 0, 0, 0, asks, 0, 0, 0, asks, 0, 0, 0, binds, 1, 0, 0, binds, 2, 0, 0, configures, 0, 0, 0, 3, leaves, 1, 0, binds, 1, 0, 0},
	"drained": {binds, 0, 0, 0, asks, 0, 0, 0, binds, 1, 0, 0, binds, 2, 0, 0, asks, 2, 0, halfNow, drains, 7, binds, 0, 0, 0, asks, 0, 0, 0},
	"left":    {binds, 0, 0, 0, asks, 0, 0, 0, leaves, 0, 1, binds, 1, 0, later, asks, 1, 0, later, leaves, 1, 0, binds, 2, 0, 0, leaves, 2, 2, leaves, 2, 0},
	"together": {asksTogether, 3, tells, 0, byte(closes), 3, asksTogether, 1, tells, 0, byte(declinesNoKey), 4, tells, 1, byte(answersAndCloses), 9, asksTogether, 2,
		asksTogether, 2},
	"http":    append([]byte{talks, 0, 18}, "GET / HTTP/1.1\r\n\r\n"...),
	"flipped": {flips, 0, 2, 7, binds, 0, 0, 0, binds, 1, 0, 0, flips, 1, 9, 1, asks, 1, 0, 0, asks, 1, 0, 0, binds, 2, 0, 0, flips, 2, 17, 255, asks, 2, 0, 0},
}

// TestGatewaySeeds holds the committed corpus equal to the list above; KMS_SEEDS=write makes it so.
func TestGatewaySeeds(t *testing.T) {
	for name, steps := range gatewaySeeds {
		for suffix, each := range map[string]bool{"": false, "-each": true} {
			path := filepath.Join("testdata", "fuzz", "FuzzGateway", name+suffix)
			want := fmt.Sprintf("go test fuzz v1\nbool(%v)\n[]byte(%q)\n", each, steps)
			if os.Getenv("KMS_SEEDS") == "write" {
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(want), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != want {
				t.Errorf("%s is not as it should be (%v): KMS_SEEDS=write go test -run TestGatewaySeeds", path, err)
			}
		}
	}
}

// stage is where inputs are played, one after the other: the hosts and the gateway are made once.
type stage struct {
	each   bool
	actors []*actor
	gone   []string // where hosts would be that are not there
	diary  diary
	plays  int // for addresses that nobody has had lately

	gateway *Gateway
	addr    string
	stop    context.CancelFunc
	served  chan error

	// Of the input that is played:
	steps   []string
	tape    []byte
	clients [3]*fuzzClient
	ruling  ruling
	told    *told
	limits  Limits
	allow   bool
	entered map[string]int       // connections by the client's address
	turned  [RefusedLoop + 1]int // clients that had to be turned away, by reason
	serial  int                  // of requests
	drains  int
	ending  bool // the gateway is, and clients leave by themselves
}

func newStage(each bool) *stage {
	s := &stage{each: each}
	for i := range 3 {
		a := &actor{host: &host{addr: fmt.Sprintf("127.0.7.%d:0", i+1), ndr64: i == 1, took: make(map[kmswire.GUID]int)}, diary: &s.diary}
		a.host.handle = a.handle
		if err := a.start(); err != nil {
			panic(err)
		}
		s.actors = append(s.actors, a)
		absent := &host{addr: fmt.Sprintf("127.0.8.%d:0", i+1)}
		if err := absent.start(); err != nil {
			panic(err)
		}
		absent.stop()
		s.gone = append(s.gone, absent.addr)
	}
	s.open()
	return s
}

// open starts a gateway.
func (s *stage) open() {
	ln, err := ListenGateway(context.Background(), "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s.addr = ln.Addr().String()
	if s.each {
		ln = unknownListener{ln.(*net.TCPListener)}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.gateway, s.stop, s.served = NewGateway(GatewayConfig{Pool: poolOf()}), cancel, make(chan error, 1)
	go func() { s.served <- s.gateway.Serve(ctx, ln) }()
}

// close ends everything, in whatever state it is.
func (s *stage) close() {
	s.hangUp()
	s.stop()
	<-s.served
	for _, a := range s.actors {
		a.stop()
	}
}

// hangUp closes what clients have open.
func (s *stage) hangUp() {
	for _, c := range s.clients {
		if c != nil && c.conn != nil {
			c.conn.Close()
			c.conn = nil
		}
	}
}

// until waits until is is true.
func until(what string, is func() bool) error {
	for end := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(end) {
			return fmt.Errorf("waited in vain for: %s", what)
		}
		runtime.Gosched()
	}
	return nil
}

func (s *stage) note(format string, args ...any) {
	s.steps = append(s.steps, fmt.Sprintf(format, args...))
}

// next is the next octet of the input.
func (s *stage) next() (b byte) {
	if len(s.tape) > 0 {
		b, s.tape = s.tape[0], s.tape[1:]
	}
	return b
}

func (s *stage) play(input []byte) error {
	s.plays++
	s.steps, s.tape, s.told, s.serial, s.drains = nil, input, &told{}, 0, 0
	s.entered, s.turned = make(map[string]int), [RefusedLoop + 1]int{}
	s.ruling = ruling{declined: make(map[refused]bool), taken: make(map[string]float64)}
	for i := range s.clients {
		// The second and the third come from one address.
		s.clients[i] = &fuzzClient{number: i, address: netip.AddrFrom4([4]byte{127, 1, byte(s.plays), byte(1 + min(i, 1))}), call: 1}
	}
	for _, a := range s.actors {
		a.will(serves, 0)
	}
	s.configure(0, 0, 0)
	for len(s.tape) > 0 {
		if err := s.step(); err != nil {
			return err
		}
	}
	return s.finish()
}

func (s *stage) step() error {
	kind := s.next() % stepKinds
	switch kind {
	case tells:
		a, d, times := s.actors[s.next()%3], deed(s.next())%deeds, int(int8(s.next()))
		s.note("%s does %d, %d times", a.addr, d, times)
		a.will(d, times)
		return nil
	case configures:
		s.configure(int(s.next())|int(s.next())<<8, s.next(), s.next())
		return nil
	case drains:
		return s.drain(s.next())
	case asksTogether:
		return s.askTogether(1 + int(s.next()%4))
	}
	c := s.clients[s.next()%3]
	switch kind {
	case flips:
		c.flip = []byte{s.next(), s.next()}
		s.note("client %d: octet %d of the next PDU ^ %#x", c.number, c.flip[0], c.flip[1])
		return nil
	case leaves:
		return s.leave(c, s.next())
	case talks:
		n := min(int(s.next()%64), len(s.tape))
		c.unsent = append(c.unsent, s.tape[:n]...)
		s.note("client %d: octets %q", c.number, s.tape[:n])
		s.tape = s.tape[n:]
		return s.send(c, atOnce)
	}
	what, how := s.next(), s.next()
	s.note("client %d: step %d, %#x, %#x", c.number, kind, what, how)
	switch kind {
	case asks:
		s.ask(c, what, how)
	case binds:
		c.bind(what, how)
	case controls:
		t := []dcerpc.PacketType{dcerpc.TypeOrphaned, dcerpc.TypeCancel, dcerpc.TypeShutdown, dcerpc.TypeAuth3, dcerpc.TypeResponse, 77}[what%6]
		c.say(control(t, c.call-uint32(what/6%2)))
	case fragments:
		if what&1 != 0 {
			c.call++
		}
		c.say(requestOf(c.call, dcerpc.Flags(what&3), c.latest(), 0, make([]byte, int(how/4)*25)))
	}
	return s.send(c, how)
}

// ask has c say requests: what of, in how many PDUs, in which context.
func (s *stage) ask(c *fuzzClient, what, how byte) {
	for range []int{1, 2, 5, 20}[what>>6] {
		c.call++
		message := s.message(c, what)
		in := c.latest()
		if other := how >> 2 & 3; other > 0 {
			in = uint16(other - 1)
		}
		flags, ndr64 := whole, what&32 != 0
		if i := c.model.context(in); i >= 0 {
			ndr64 = ndr64 != (c.model.contexts[i].transfer == dcerpc.NDR64)
		}
		if how&128 != 0 {
			flags |= dcerpc.FlagMaybe
		}
		stub, opnum := kmswire.AppendRequestStub(nil, message, ndr64), uint16(how>>4&1)
		if parts := 1 + int(what>>3&3); parts > 1 {
			size := (len(stub) + parts - 1) / parts
			for i := 0; i < len(stub); i += size {
				part := flags &^ whole
				if i == 0 {
					part |= dcerpc.FlagFirst
				}
				if i+size >= len(stub) {
					part |= dcerpc.FlagLast
				}
				c.say(requestOf(c.call, part, in, opnum, stub[i:min(i+size, len(stub))]))
			}
			continue
		}
		pdu := requestOf(c.call, flags, in, opnum, stub)
		if how&32 != 0 {
			pdu = signed(pdu)
		}
		c.say(pdu)
	}
}

// message is that of another request of c.
func (s *stage) message(c *fuzzClient, what byte) []byte {
	s.serial++
	q := kmswire.RequestV4{AppID: kmswire.Windows, Required: 25, ClientTime: kmswire.Filetime(s.serial), CMID: kmswire.GUID{0x5e, byte(c.number)}}
	switch what & 7 {
	case 1:
		return opaque(kmswire.V5, s.serial)
	case 2:
		return opaque(kmswire.V6, s.serial)
	case 3:
		return opaque(kmswire.Version{Major: 7, Minor: 1}, s.serial)[:4+s.serial%200]
	case 4:
		return q.Append(nil)[:251]
	case 5:
		return []byte("KMS")[:s.serial%4]
	case 6:
		q.CMID = kmswire.GUID{}
		return append(q.Append(nil), "and more"...)
	case 7:
		m := make([]byte, kmswire.MaxMessage+s.serial%2)             // of version 0.0, or too long
		m[len(m)-1], m[len(m)-2] = byte(s.serial), byte(s.serial>>8) // no two requests are alike
		return m
	}
	return q.Append(nil)
}

// latest is the id of the context that c was given last.
func (c *fuzzClient) latest() uint16 {
	if n := len(c.model.contexts); n > 0 {
		return c.model.contexts[n-1].id
	}
	return 0
}

// bind has c say a bind, or an alter_context.
func (c *fuzzClient) bind(what, how byte) {
	c.call++
	b := dcerpc.Bind{MaxXmit: 5840, MaxRecv: 1000 + 200*uint16(what)}
	for i := range 1 + what>>6%3 {
		one := propose(uint16(i), dcerpc.NDR32)
		switch what >> (2 * i) & 3 {
		case 1:
			one = propose(uint16(i), dcerpc.NDR64)
		case 2:
			one = propose(uint16(i), dcerpc.FeatureNegotiation(uint64(what)))
		case 3:
			one.Transfer = append([]dcerpc.Syntax{dcerpc.NDR64}, one.Transfer...)
		}
		b.Contexts = append(b.Contexts, one)
	}
	if how&4 != 0 {
		b.Contexts[0].Abstract.UUID[0]++
	}
	if how&8 != 0 {
		b.Contexts[0].Abstract.Version += 1 << 16
	}
	if how&64 != 0 {
		b.Contexts = slices.Repeat(b.Contexts[:1], 17)
	}
	t := dcerpc.TypeBind
	if how&128 != 0 {
		t = dcerpc.TypeAlterContext
	}
	pdu := b.Append(nil, t, whole|dcerpc.Flags(what&1)<<4, c.call)
	if how&16 != 0 {
		pdu = signed(pdu)
	}
	if how&32 != 0 {
		pdu[0] = 4
	}
	c.say(pdu)
}

// connect opens a connection for c, if it has none. It is one for the gateway with the first octet.
func (s *stage) connect(c *fuzzClient) error {
	if c.conn != nil {
		return nil
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.address, 0))}
	conn, err := d.Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	c.conn, c.in, c.model, c.heard = conn.(*net.TCPConn), dcerpc.NewReader(conn, 0), rpcModel{}, false
	c.refused = true
	switch {
	case !s.allow:
		s.turned[RefusedNetwork]++
	case s.limits.Connections >= 0 && s.here() >= s.limits.Connections:
		s.turned[RefusedConnections]++
	case s.limits.Client >= 0 && s.entered[c.address.String()] >= s.limits.Client:
		s.turned[RefusedClient]++
	default:
		s.entered[c.address.String()]++
		c.refused = false
	}
	return nil
}

// send sends what c has to say, and checks what it is answered.
func (s *stage) send(c *fuzzClient, how byte) error {
	if how%4 == later || len(c.unsent) == 0 || how%4 == halfNow && len(c.unsent) == 1 {
		return nil
	}
	if err := s.connect(c); err != nil {
		return err
	}
	all, err := c.send(how)
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := s.hear(c, d); err != nil {
			return err
		}
	}
	if c.refused || c.model.over {
		return s.end(c)
	}
	// A client that is not answered has to be let in all the same before anything else happens.
	return until("a client that is let in", func() bool { return c.heard || s.ending || s.gateway.Connections() >= s.here() })
}

// hear takes the answer that is due to c.
func (s *stage) hear(c *fuzzClient, d due) error {
	p, err := c.receive()
	if err != nil {
		return fmt.Errorf("client %d was not answered %v of call %d: %w", c.number, d.kind, d.call, err)
	}
	c.heard = true
	if d.kind != dcerpc.TypeRequest {
		return d.check(p)
	}
	if !s.ruling.admits(c.address.String()) {
		d.kind, d.status = dcerpc.TypeFault, dcerpc.StatusServerTooBusy
		return d.check(p)
	}
	r, ok := s.told.take(func(r CallRecord) bool { return r.From == c.address })
	switch {
	case !ok:
		return fmt.Errorf("client %d was answered %+v, and nobody was told of its call", c.number, p.Header)
	case stalled(r):
		return errStalled
	}
	return errors.Join(s.ruling.judge(r, d.message), s.diary.witness(r, d.message, s.gone), d.answered(p, r))
}

// end sees that the gateway ends c's connection, and ends it.
func (s *stage) end(c *fuzzClient) error {
	if err := c.ended(); err != nil {
		return err
	}
	c.conn.Close()
	return s.left(c)
}

// left waits until c has left.
func (s *stage) left(c *fuzzClient) error {
	if !c.refused {
		s.entered[c.address.String()]--
	}
	c.conn, c.model, c.unsent = nil, rpcModel{}, nil
	n := s.here()
	// There may be fewer, if the gateway is to end.
	return until(fmt.Sprintf("%d connections", n), func() bool { return s.gateway.Connections() <= n })
}

// here is how many connections the gateway has taken in, of which nobody has seen the end.
func (s *stage) here() (n int) {
	for entered := range maps.Values(s.entered) {
		n += entered
	}
	return n
}

// leave has c end its connection: its own side, all of it at once, or that with a call under way.
func (s *stage) leave(c *fuzzClient, how byte) error {
	s.note("client %d leaves, %d", c.number, how%3)
	if how%3 == 2 && s.ruling.rate < 0 {
		return s.vanish(c)
	}
	if c.conn == nil {
		return nil
	}
	if how%3 == 1 && c.heard {
		c.conn.SetLinger(0)
		c.conn.Close()
		return s.left(c)
	}
	if err := s.send(c, atOnce); err != nil || c.conn == nil {
		return err
	}
	c.conn.CloseWrite()
	return s.end(c)
}

// vanish has c make a call and be gone before the answer. The gateway may have heard of it or not, but leaves nothing undone.
func (s *stage) vanish(c *fuzzClient) error {
	if !c.model.bound {
		c.bind(0, 0)
	}
	if err := s.send(c, atOnce); err != nil || c.conn == nil || !c.heard {
		return err
	}
	s.ask(c, 0, 0)
	all, err := c.send(atOnce)
	if err != nil {
		return err
	}
	c.conn.SetLinger(0)
	c.conn.Close()
	if err := s.left(c); err != nil {
		return err
	}
	for _, d := range all {
		if d.kind != dcerpc.TypeRequest {
			continue
		}
		r, ok := s.told.take(func(r CallRecord) bool { return r.From == c.address })
		if !ok {
			break
		}
		if stalled(r) {
			return errStalled
		}
		if err := errors.Join(s.ruling.judge(r, d.message), s.diary.witness(r, d.message, s.gone)); err != nil {
			return err
		}
	}
	return nil
}

// askTogether has all clients make n calls each at the same time.
func (s *stage) askTogether(n int) error {
	if s.ruling.rate >= 0 {
		return nil // who comes too late is nobody's business
	}
	s.note("all ask %d times", n)
	var speaking []*fuzzClient
	dues := make(map[*fuzzClient][]due)
	for _, c := range s.clients {
		if !c.model.bound {
			c.bind(0, 0)
		}
		if err := s.send(c, atOnce); err != nil {
			return err
		}
		if c.conn == nil || !c.model.bound {
			continue
		}
		c.flip = nil // by what they say they are told apart
		for range n {
			s.ask(c, 0, 0)
		}
		speaking = append(speaking, c)
	}
	for _, c := range speaking {
		var err error
		if dues[c], err = c.send(atOnce); err != nil {
			return err
		}
	}
	for _, c := range speaking {
		for _, d := range dues[c] {
			if err := s.hearAmongOthers(c, d); err != nil {
				return err
			}
		}
		if c.model.over {
			if err := s.end(c); err != nil {
				return err
			}
		}
	}
	s.diary.forget()
	return nil
}

// isOf is whether r may be of a call with message. What is no request of version 4 is not in it: a client may have had one unsent.
func isOf(r CallRecord, message string) bool {
	q, err := kmswire.ParseRequestV4([]byte(message))
	if v, unknown := kmswire.ParseVersion([]byte(message)); err != nil || unknown != nil || v != kmswire.V4 {
		return r.Request == nil
	}
	return r.Request != nil && *r.Request == q
}

// hearAmongOthers is hear where others make calls too: what hosts did can be told by the request only.
func (s *stage) hearAmongOthers(c *fuzzClient, d due) error {
	if d.kind != dcerpc.TypeRequest {
		return s.hear(c, d)
	}
	p, err := c.receive()
	if err != nil {
		return fmt.Errorf("client %d was not answered call %d: %w", c.number, d.call, err)
	}
	r, ok := s.told.take(func(r CallRecord) bool { return r.From == c.address && isOf(r, d.message) })
	switch {
	case !ok:
		return fmt.Errorf("client %d was answered %+v, and nobody was told of its call", c.number, p.Header)
	case stalled(r):
		return errStalled
	}
	last := faults
	if all := s.diary.of(d.message); len(all) > 0 {
		last = all[len(all)-1].deed
	}
	if good := last.outcome() == Answered; good != (r.Result == ForwardedOK) {
		return fmt.Errorf("the last host that was asked did %v: %v", last, r)
	}
	return errors.Join(s.ruling.judge(r, d.message), d.answered(p, r))
}

// configure gives the gateway other hosts, another policy, other limits. hosts has three bits for each.
func (s *stage) configure(hosts int, how, limits byte) {
	s.note("configuration %#o, %#x, %d", hosts, how, limits%8)
	var (
		all  []config.Host
		down []string
		was  = make(map[string]pool.Memory)
	)
	for i, a := range s.actors {
		h := hostAt(a.addr, uint16(how>>(2*i)&3))
		switch hosts >> (3 * i) & 7 {
		case 1: // believed down
			health, _ := pool.Health{}.Next(pool.Fail, pool.Thresholds{Rise: 1, Fall: 1})
			was[h.Endpoint()] = pool.Memory{Kind: config.ProbeRPC, Health: health, At: time.Now()}
			down = append(down, h.Endpoint())
		case 2:
			was[h.Endpoint()] = pool.Memory{Drainage: &pool.Drainage{}}
		case 3:
			h = hostAt(s.gone[i], h.Priority)
		case 4:
			h = config.Host{Name: fmt.Sprintf("kms%d.example.org.", i), Port: 1688, Priority: h.Priority}
		case 5:
			continue
		}
		all = append(all, h)
	}
	// More calls than an input can make are no reason to believe a host.
	p := pool.New(all, config.Probe{Kind: config.ProbeRPC, Interval: time.Hour, Timeout: time.Minute, Rise: 10_000, Fall: 10_000}, pool.Means{
		Observer: silentPool{}, Jitter: func() float64 { return 0 },
	}, was)
	s.ruling.hosts, s.ruling.down = p.Snapshot(), nil
	for _, endpoint := range down {
		if !slices.ContainsFunc(s.ruling.hosts.Records, func(r pool.Record) bool { return r.Endpoint == endpoint }) {
			s.ruling.down = append(s.ruling.down, endpoint)
		}
	}
	s.ruling.policy = []config.Policy{config.Concentrate, config.Spread}[how>>6&1]
	s.limits = []Limits{{-1, -1, -1}, {-1, -1, 2}, {-1, 1, 3}, {2, -1, -1}}[limits&3]
	s.allow, s.ruling.rate = limits&4 == 0, s.limits.Rate
	c := GatewayConfig{Pool: p, Policy: s.ruling.policy, Observer: s.told, Limits: s.limits, Budget: time.Minute}
	if !s.allow {
		c.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	}
	set := prepare(c)
	set.again = time.Microsecond
	s.gateway.settings.Store(set)
}

// drain ends the gateway and starts another. Clients between calls see the end, all others can still make a call.
func (s *stage) drain(how byte) error {
	if s.drains++; s.drains > 2 {
		return nil
	}
	s.note("the gateway ends, %#x", how)
	s.stop()
	s.ending = true
	defer func() { s.ending = false }()
	for i, c := range s.clients {
		if c.conn == nil {
			continue
		}
		if err := s.dismiss(c, how>>i&1 != 0); err != nil {
			return err
		}
	}
	if err := s.idle(); err != nil {
		return err
	}
	select {
	case err := <-s.served:
		if err != nil {
			return fmt.Errorf("Serve = %w", err)
		}
	case <-time.After(20 * time.Second):
		s.served <- nil // for close
		return errors.New("the gateway does not end")
	}
	if err := errors.Join(s.settled(), until("no goroutine of the gateway", func() bool { return !working() })); err != nil {
		s.served <- nil
		return err
	}
	clear(s.ruling.declined)
	clear(s.ruling.taken)
	set := s.gateway.settings.Load()
	s.open()
	s.gateway.settings.Store(set)
	return nil
}

// dismiss sees the end of c's connection with a gateway that is to end. One that has something under way, or made no call yet, may
// still make one.
func (s *stage) dismiss(c *fuzzClient, last bool) error {
	rest := c.model.rest()
	switch {
	case c.model.called && c.model.quiet:
		return s.end(c)
	case c.model.called && !c.model.begun, rest > len(c.unsent):
		// What came together with a call, and is no call itself, makes no difference to when the connection ends, or does.
		last = false
	case rest > 0:
		c.unsent = c.unsent[:rest]
	case last:
		c.unsent, c.flip = nil, nil
		if !c.model.bound {
			c.bind(0, 0)
		}
		s.ask(c, 0, 0)
	}
	if last {
		if err := s.send(c, atOnce); err != nil || c.conn == nil {
			return err
		}
	}
	if !c.model.called || !c.model.quiet {
		c.conn.CloseWrite()
	}
	return s.end(c)
}

// idle checks that the gateway has no client any more.
func (s *stage) idle() error {
	g := s.gateway
	g.mu.Lock()
	guests := len(g.guests)
	g.mu.Unlock()
	g.admission.sweep(time.Now().Add(2 * time.Minute))
	g.admission.mu.Lock()
	known := len(g.admission.guests)
	g.admission.mu.Unlock()
	if open := g.Connections(); open != 0 || guests+known > 0 {
		return fmt.Errorf("%d connections, %d guests and %d addresses are left", open, guests, known)
	}
	return nil
}

// working reports whether a goroutine of a gateway is left in this process.
func working() bool {
	room := make([]byte, 1<<20)
	stacks := string(room[:runtime.Stack(room, true)])
	return slices.ContainsFunc([]string{"(*Gateway)", "(*loop)", ".(*hands["}, func(code string) bool { return strings.Contains(stacks, code) })
}

// settled checks that hosts have no connection any more.
func (s *stage) settled() error {
	return until("no connection to a host", func() bool {
		return !slices.ContainsFunc(s.actors, func(a *actor) bool { return a.connections() > 0 })
	})
}

// finish ends the input and checks that nothing is left of it.
func (s *stage) finish() error {
	for _, c := range s.clients {
		if err := s.leave(c, 0); err != nil {
			return err
		}
	}
	if err := s.idle(); err != nil {
		return err
	}
	g := s.gateway
	g.upstreams.expire(time.Now().Add(time.Hour), func(string) bool { return false })
	if left := *orEmpty(g.upstreams.all.Load()); len(left) > 0 {
		return fmt.Errorf("connections are left to %v", slices.Collect(maps.Keys(left)))
	}
	if err := s.settled(); err != nil {
		return err
	}
	s.diary.forget()
	g.underWay.mu.Lock()
	left := len(g.underWay.passes)
	g.underWay.mu.Unlock()
	if left > 0 {
		return fmt.Errorf("%d messages are under way for ever", left)
	}
	t := s.told
	t.mu.Lock()
	defer t.mu.Unlock()
	s.turned[RefusedRate] = s.ruling.busy
	if len(t.called) > 0 || t.asked != s.ruling.asked || t.refused != s.turned {
		return fmt.Errorf("told of %v, of %d asks and refusals %v; there were %d and %v", t.called, t.asked, t.refused, s.ruling.asked, s.turned)
	}
	m := &g.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.by) != len(s.ruling.declined) {
		return fmt.Errorf("remembers %v, want %v", slices.Collect(maps.Keys(m.by)), s.ruling.declined)
	}
	for r := range s.ruling.declined {
		if m.by[r] == nil {
			return fmt.Errorf("does not remember %v", r)
		}
		m.drop(m.by[r])
	}
	return nil
}

func orEmpty(m *map[string]*upstream) *map[string]*upstream {
	if m == nil {
		return new(map[string]*upstream)
	}
	return m
}
