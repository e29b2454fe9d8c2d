package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/kmsresponder"

	"github.com/miekg/dns"
)

const (
	questionsASecond = 100
	callsASecond     = 60
	patience         = 5 * time.Second // for an answer
	clients          = 500             // each with an address of its own
	busiest          = 400             // calls and questions under way at most; what would be more is not made
)

// zones are the names that are asked for, by zone.
var zones = [...]string{"_vlmcs._tcp.chaos.test.", "_vlmcs._tcp.direct.chaos.test."}

// traffic is the clients of a run.
type traffic struct {
	world  *world
	server netip.Addr
	places chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	skipped int // not made, since too much was under way
}

func newTraffic(w *world, server netip.Addr) *traffic {
	return &traffic{world: w, server: server, places: make(chan struct{}, busiest)}
}

// run asks and calls until ctx is done, and returns when the last has ended.
func (t *traffic) run(ctx context.Context, seed uint64) {
	defer t.wg.Wait()
	var streams sync.WaitGroup
	defer streams.Wait()
	streams.Go(func() {
		t.steadily(ctx, questionsASecond, func(i int) {
			over := "udp"
			if i%5 == 0 {
				over = "tcp"
			}
			t.ask(i/2%2, over, i)
		})
	})
	var fleet []*caller
	for i := range clients {
		fleet = append(fleet, t.newCaller(i, seed))
	}
	streams.Go(func() {
		t.steadily(ctx, callsASecond, func(i int) { fleet[i%len(fleet)].call(t) })
	})
}

// steadily begins f perSecond times a second, whether or not those before have ended.
func (t *traffic) steadily(ctx context.Context, perSecond int, f func(i int)) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case t.places <- struct{}{}:
		default:
			t.mu.Lock()
			t.skipped++
			t.mu.Unlock()
			continue
		}
		t.wg.Go(func() {
			defer func() { <-t.places }()
			f(i)
		})
	}
}

// from is a dialer of client number i.
func from(network string, i int) *net.Dialer {
	b := clientNetwork.Addr().As4()
	b[2] += byte(i >> 8)
	b[3] = byte(i)
	d := &net.Dialer{Timeout: patience}
	if network == "udp" {
		d.LocalAddr = &net.UDPAddr{IP: b[:]}
	} else {
		d.LocalAddr = &net.TCPAddr{IP: b[:]}
	}
	return d
}

// A reply is what came back to a question, and whether it was written as octets: the owners of its records are pointers.
type reply struct {
	*dns.Msg
	octets bool
	way    way // in which it should have been made
}

// exchange puts one question: a third of them without EDNS, a third with it, a third with DO.
func (t *traffic) exchange(zone int, over string, i int) (reply, error) {
	m := new(dns.Msg)
	m.SetQuestion(zones[zone], dns.TypeSRV)
	if i%3 > 0 {
		m.SetEdns0(1232, i%3 == 2)
	}
	conn, err := from(over, 1+i%clients).Dial(over, netip.AddrPortFrom(t.server, 53).String())
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	r, err := ask(&dns.Conn{Conn: conn, UDPSize: 1232}, m)
	if err == nil && r.Truncated && over == "udp" {
		return t.exchange(zone, "tcp", i)
	}
	r.way = wayOf(zone, over, i)
	return r, err
}

// wayOf is how the server makes the answer to question i: see the text of the Corefile. One with DO is never octets; in 512
// octets one of records may need to be compressed too.
func wayOf(zone int, over string, i int) way {
	switch {
	case zone == direct && i%3 < 2:
		return byOctets
	case zone == direct || over == "tcp" || i%3 > 0:
		return byRecords
	}
	return anyWay
}

// ask sends a question over a connection and takes the answer to it.
func ask(conn *dns.Conn, m *dns.Msg) (reply, error) {
	if err := conn.WriteMsg(m); err != nil {
		return reply{}, err
	}
	for {
		p, err := conn.ReadMsgHeader(nil)
		if err != nil {
			return reply{}, err
		}
		r := reply{Msg: new(dns.Msg), octets: compressed(p)}
		if err := r.Unpack(p); err != nil {
			return reply{}, err
		}
		if r.Id == m.Id {
			return r, nil
		}
	}
}

// compressed is whether the first record of a message with one question has a pointer for its owner.
func compressed(p []byte) bool {
	const header, typeAndClass, pointer = 12, 4, 0xc0
	_, at, err := dns.UnpackDomainName(p, header)
	return err == nil && at+typeAndClass < len(p) && p[at+typeAndClass]&pointer == pointer
}

// ask puts one question and has the answer judged.
func (t *traffic) ask(zone int, over string, i int) {
	asked := time.Now()
	reply, err := t.exchange(zone, over, i)
	t.world.set(func(time.Time) {
		t.world.tally.Questions++
	})
	if err != nil {
		t.world.unanswered(zone, over, asked, err)
		return
	}
	t.world.judge(read(reply, zone, over, asked))
}

// read takes an answer apart.
func read(reply reply, zone int, over string, asked time.Time) answer {
	a := answer{zone: zone, asked: asked, come: time.Now(), over: over, octets: reply.octets, way: reply.way}
	switch {
	case reply.Rcode != dns.RcodeSuccess:
		a.problem = "it is " + dns.RcodeToString[reply.Rcode]
	case !reply.Authoritative:
		a.problem = "it is not authoritative"
	case reply.Truncated:
		a.problem = "it is cut, over TCP"
	case len(reply.Question) != 1 || reply.Question[0].Name != zones[zone]:
		a.problem = fmt.Sprintf("it is to another question, %v", reply.Question)
	}
	addresses := make(map[string][]netip.Addr)
	for _, rr := range reply.Extra {
		if rr, ok := rr.(*dns.A); ok {
			if ip, ok := netip.AddrFromSlice(rr.A); ok {
				addresses[rr.Hdr.Name] = append(addresses[rr.Hdr.Name], ip.Unmap())
			}
		}
	}
	for i, rr := range reply.Answer {
		srv, ok := rr.(*dns.SRV)
		if !ok || srv.Hdr.Name != zones[zone] || srv.Hdr.Class != dns.ClassINET || i > 0 && srv.Hdr.Ttl != a.ttl {
			a.problem = "it has the record " + rr.String()
			continue
		}
		a.ttl = srv.Hdr.Ttl
		a.entries = append(a.entries, entry{srv.Target, srv.Port, srv.Priority, srv.Weight, addresses[srv.Target]})
	}
	return a
}

// A caller is one client, which finds whom to call in one way for all of its life.
type caller struct {
	client kmsresponder.RehearsalClient
	way    string
	zone   int
	mu     sync.Mutex // one attempt at a time
}

// newCaller is client number i: half know the responder, the others ask DNS as Windows does, half of those where there is
// no responder.
func (t *traffic) newCaller(i int, seed uint64) *caller {
	c := &caller{way: "the responder alone", zone: -1, client: kmsresponder.RehearsalClient{
		Name: fmt.Sprintf("CHAOS%04d", i), Version: []kmswire.Version{kmswire.V4, kmswire.V5, kmswire.V6}[i%3],
		Suffixes: []string{"chaos.test"}, Dial: from("tcp", 1+i).DialContext,
		Rand: rand.New(rand.NewPCG(seed, uint64(i))),
		Discover: func(context.Context, string) ([]kmsresponder.SRV, error) {
			return []kmsresponder.SRV{{Target: responderName, Port: port, Addresses: []netip.Addr{t.server}}}, nil
		},
	}}
	if i%2 == 0 {
		return c
	}
	c.way, c.zone = "SRV, the responder first", viaResponder
	if i%4 == 3 {
		c.way, c.zone, c.client.Suffixes = "SRV, hosts alone", direct, []string{"direct.chaos.test"}
	}
	c.client.AnyOrder = i%20 == 3 // as Vista
	c.client.NoCache = i%8 < 4
	c.client.Discover = func(context.Context, string) ([]kmsresponder.SRV, error) { return t.discover(c.zone, i) }
	if c.zone == direct {
		c.client.Timeout = 3 * time.Second // a host is at most 200 ms slow
	}
	return c
}

// discover looks hosts up.
func (t *traffic) discover(zone, i int) ([]kmsresponder.SRV, error) {
	var (
		reply reply
		err   error
		asked time.Time
	)
	for range 3 { // as resolvers do
		asked = time.Now()
		if reply, err = t.exchange(zone, "udp", i); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	var all []kmsresponder.SRV
	for _, e := range read(reply, zone, "udp", asked).entries {
		s := kmsresponder.SRV{Target: e.target, Port: e.port, Priority: e.priority, Weight: e.weight, Addresses: e.addresses}
		if len(s.Addresses) == 0 {
			s.Addresses = t.addressOf(e.target)
		}
		all = append(all, s)
	}
	return all, nil
}

// addressOf is what the zone says of a name that the answer brought no address of.
func (t *traffic) addressOf(name string) []netip.Addr {
	if name == responderName {
		return []netip.Addr{t.server}
	}
	for _, h := range t.world.hosts {
		if h.name == name {
			return []netip.Addr{h.address}
		}
	}
	return nil
}

// call makes one attempt and has it judged.
func (c *caller) call(t *traffic) {
	if !c.mu.TryLock() {
		t.world.set(func(time.Time) { t.world.tally.Busy++ })
		return
	}
	defer c.mu.Unlock()
	began := time.Now()
	a := c.client.Activate(context.Background())
	var said []string
	for _, try := range a.Tries {
		said = append(said, fmt.Sprintf("%s in %s: %v", try.Host, try.Took.Round(time.Millisecond), errors.Join(try.Err, hresult(try.HRESULT))))
	}
	if a.Err != nil {
		said = append(said, a.Err.Error())
	}
	done := call{way: c.way, zone: c.zone, began: began, end: time.Now(), failure: strings.Join(said, "; ")}
	if a.Host != "" {
		done.by = a.HostID
	}
	t.world.called(done)
}

func hresult(hr kmswire.HRESULT) error {
	if hr == kmswire.OK {
		return nil
	}
	return fmt.Errorf("%v", hr)
}
