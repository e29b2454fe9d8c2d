package kmsresponder

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
)

// TestUpstreamParks: connections are used again, the latest first; not when they
// are old, nor when the host is no longer at their address.
func TestUpstreamParks(t *testing.T) {
	h := startHost(t, &host{})
	address := netip.MustParseAddrPort(h.addr)
	here, u := []netip.Addr{address.Addr()}, new(upstream)
	open := func() *upstreamConn {
		t.Helper()
		c, err := dialUpstream(address, time.Now().Add(20*time.Second), own{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.conn.Close() })
		return c
	}
	closed := func(c *upstreamConn) bool { return errors.Is(c.conn.SetDeadline(time.Time{}), net.ErrClosed) }
	if u.take(here, 0, noon) != nil {
		t.Error("a connection came from nowhere")
	}
	first, second, third := open(), open(), open()
	u.park(first, noon)
	u.park(second, noon.Add(time.Second))
	if u.take(here, 0, noon) != second || u.take(here, 0, noon.Add(parkedFor-1)) != first || closed(first) || closed(second) {
		t.Error("parked connections were not used, or in another order")
	}
	for lane, c := range []*upstreamConn{first, second} {
		c.lane.Store(int32(lane + 1))
		u.park(c, noon)
	}
	if u.take(here, 1, noon) != first || u.take(here, 1, noon) != second {
		t.Error("a lane did not get its own connection, or nobody's when it had none")
	}
	u.park(first, noon)
	u.park(second, noon.Add(time.Second))
	if u.take(here, 0, noon.Add(parkedFor+time.Second)) != nil || !closed(first) || !closed(second) {
		t.Error("an old connection was used or left open")
	}
	u.park(third, noon)
	if u.take([]netip.Addr{alice}, 0, noon) != nil || !closed(third) {
		t.Error("a connection to an address that the host left was used or left open")
	}
	first, second = open(), open()
	u.park(first, noon)
	u.park(second, noon.Add(time.Second))
	if u.expire(noon) || !closed(first) || closed(second) || !u.expire(noon.Add(time.Second)) || !closed(second) {
		t.Error("what was old stayed, or what was not went")
	}
	for range maxParked + 1 {
		third = open()
		u.park(third, noon)
	}
	if !closed(third) || len(u.parked) != maxParked {
		t.Errorf("%d are parked", len(u.parked))
	}
	u.close()
	third = open()
	if u.park(third, noon); !closed(third) || len(u.parked) != 0 {
		t.Error("open after the end")
	}
}

// TestUpstreamsForget: a connection that is in use while its host is forgotten is
// closed when it is put back, since nobody would ever find it there.
func TestUpstreamsForget(t *testing.T) {
	h := startHost(t, &host{})
	all := new(upstreams)
	defer all.close()
	used := all.get(h.addr)
	c, err := dialUpstream(netip.MustParseAddrPort(h.addr), time.Now().Add(20*time.Second), own{})
	if err != nil {
		t.Fatal(err)
	}
	all.expire(noon, func(string) bool { return true })
	if all.find(h.addr) != used {
		t.Error("a host that is wanted was forgotten")
	}
	all.expire(noon, func(string) bool { return false })
	if all.find(h.addr) != nil {
		t.Error("a host that nobody wants is remembered")
	}
	if used.park(c, noon); !c.closed.Load() {
		t.Error("a connection stays open that nobody finds")
	}
	if again := all.get(h.addr); again == used {
		t.Error("a host that came back cannot keep connections")
	}
}

// TestUpstreamAddresses: each address of a host is tried, and the one that
// worked comes first the next time.
func TestUpstreamAddresses(t *testing.T) {
	h := startHost(t, &host{addr: "127.0.0.7:0"})
	address := netip.MustParseAddrPort(h.addr)
	addresses := []netip.Addr{netip.MustParseAddr("127.0.0.8"), address.Addr()}
	u := new(upstreams).get(h.addr)
	for range 2 {
		c, err := u.dial(addresses, address.Port(), time.Now().Add(20*time.Second))
		if err != nil || c.address != address {
			t.Fatalf("%v", err)
		}
		c.conn.Close()
	}
	if u.answered.Load() == nil || *u.answered.Load() != address || addresses[0] == address.Addr() {
		t.Error("not remembered, or the caller's list was changed")
	}
	if _, err := u.dial(addresses[:1], address.Port(), time.Now().Add(20*time.Second)); classify(err) != Dead {
		t.Errorf("%v", err)
	}
}

func TestUpstreams(t *testing.T) {
	var all upstreams
	if all.find("a") != nil {
		t.Error("found before")
	}
	a := all.get("a")
	if all.get("a") != a || all.find("a") != a || all.get("b") == a {
		t.Error("hosts are mixed up")
	}
	all.expire(noon, func(endpoint string) bool { return endpoint == "b" })
	if all.find("a") != nil || all.find("b") == nil {
		t.Error("a host that nobody wants was kept, or one that is wanted was not")
	}
	all.close()
	if !all.get("c").closed || !all.find("b").closed {
		t.Error("open after the end")
	}
}

func TestUpstreamSilence(t *testing.T) {
	u, now := new(upstream), time.Now()
	if u.wasSilent(now) {
		t.Error("silent before it was asked")
	}
	u.note(Silent, now)
	u.note(Dead, now)
	if !u.wasSilent(now.Add(silentFor-time.Second)) || u.wasSilent(now.Add(silentFor+time.Minute)) {
		t.Error("not silent for as long as it should be")
	}
	u.note(Declined, now)
	if u.wasSilent(now) {
		t.Error("silent although it answered")
	}
}

// clockSet is t as time.Now gives it if somebody set the clock by d: another time of day, and the same reading of the monotonic
// clock. Only the package time can make one, so it is made of the octets of one (wall, ext and loc, since Go 1.9).
func clockSet(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	set := at.Add(d)
	*(*int64)(unsafe.Add(unsafe.Pointer(&set), unsafe.Sizeof(uint64(0)))) -= int64(d)
	if set.Sub(at) != 0 || set.UnixNano()-at.UnixNano() != int64(d) {
		t.Fatalf("Go keeps its times in another way by now: %v and %v", at, set)
	}
	return set
}

// TestUpstreamSilenceAndTheClock: it lasts for as long as ever, whatever is done to the clock meanwhile.
func TestUpstreamSilenceAndTheClock(t *testing.T) {
	for _, d := range []time.Duration{-24 * time.Hour, -silentFor, silentFor, 24 * time.Hour} {
		u, now := new(upstream), time.Now()
		u.note(Silent, now)
		if !u.wasSilent(clockSet(t, now.Add(silentFor-1), d)) || u.wasSilent(clockSet(t, now.Add(silentFor), d)) {
			t.Errorf("not silent for %s after the clock was set by %s", silentFor, d)
		}
	}
}

func TestClassify(t *testing.T) {
	operation := func(err error) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)} }
	for _, tc := range []struct {
		err  error
		want Outcome
	}{
		{hostFault{dcerpc.StatusServerTooBusy}, Faulted},
		{hostRefuse{"bind_nak"}, Faulted},
		{hostStray{"response for call 3"}, Garbled},
		{fmt.Errorf("dcerpc: %w", dcerpc.ErrVersion), Garbled},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, Silent},
		{operation(syscall.ETIMEDOUT), Silent},
		{operation(syscall.ECONNREFUSED), Dead},
		{operation(syscall.ECONNRESET), Dead},
		{operation(syscall.EHOSTUNREACH), Dead},
		{io.EOF, Dead},
		{fmt.Errorf("dcerpc: %w", io.ErrUnexpectedEOF), Dead},
		{operation(syscall.EMFILE), Local},
		{operation(syscall.EADDRNOTAVAIL), Local},
	} {
		if got := classify(tc.err); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}
