//go:build interop

package test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// The settings of TestDeath, as short as they may be, and what follows from them: the bounds of the design, which are 13.5 s
// and 18 s with the defaults, scaled.
const (
	interval, timeout = 1000 * time.Millisecond, 300 * time.Millisecond
	fall, rise        = 3, 2

	pace = interval * 11 / 10 // jitter makes pauses a tenth longer; a suspect is asked no less often than that here
	busy = time.Second        // for a machine that runs all of this under the race detector

	toLastTier = pace + timeout + busy
	toGone     = pace + (fall-1)*pace + timeout + busy
	toBack     = 2*pace + (rise-1)*pace + timeout + busy // it may just have been asked once more, and be left alone for twice as long
)

// A death takes the place of a host that stopped, at its address, until undone.
type death func(t *testing.T, address string) (undo func())

// TestDeath: whichever way a host dies, it moves to the last tier, then out of the answer, in time; and back when it is back.
func TestDeath(t *testing.T) {
	ack := bindAck(kmswire.Interface)
	for name, tt := range map[string]struct {
		death   death
		outcome string // as the metric has it
		tcp     bool   // probe tcp
	}{
		"refused":          {refused, "refused", false},
		"refused-tcp":      {refused, "refused", true},
		"silent":           {silent, "timeout", false},
		"silent-tcp":       {silent, "timeout", true},
		"reset":            {impostor(reset), "closed", false},
		"closed":           {impostor(func(net.Conn) {}), "closed", false},
		"closed-on-bind":   {impostor(answering(nil, io.EOF)), "closed", false},
		"hangs":            {impostor(answering(nil, nil)), "timeout", false},
		"web-server":       {webServer, "timeout", false}, // it waits for the end of a line
		"ssh-banner":       {impostor(says("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")), "garbled", false},
		"bind-nak":         {impostor(answering(bindNak, nil)), "rejected", false},
		"another-service":  {impostor(answering(bindAck(dcerpc.Syntax{UUID: dcerpc.UUID{1}, Version: 1}), nil)), "rejected", false},
		"garbage":          {impostor(answering(func(uint32) []byte { return bytes.Repeat([]byte{0xa5}, 2000) }, nil)), "garbled", false},
		"truncated":        {impostor(answering(cut(ack), io.EOF)), "garbled", false},
		"truncated-hangs":  {impostor(answering(cut(ack), nil)), "timeout", false},
		"slow":             {impostor(slowly(ack)), "timeout", false},
		"answers-too-late": {impostor(late(ack)), "timeout", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kms1, kms2 := startHost(t), startHost(t)
			zone, kind := name+".example.org", "rpc"
			if tt.tcp {
				kind = "tcp"
			}
			s := startServer(t, `$ZONE:$PORT {
				bind 127.0.0.1
				kms {
					host kms1.$ZONE:$KMS1 weight 1 address 127.0.0.1
					host kms2.$ZONE:$KMS2 weight 2 address 127.0.0.1
					probe $KIND interval $INTERVAL timeout $TIMEOUT
				}
			}`, "$ZONE", zone, "$KMS1", kms1.number(), "$KMS2", kms2.number(), "$KIND", kind,
				"$INTERVAL", interval.String(), "$TIMEOUT", timeout.String())
			awaitUp(t, zone, 2)

			one, two := "kms1."+zone+":"+kms1.number(), "kms2."+zone+":"+kms2.number()
			well, last, gone := []string{one + " 0 1", two + " 0 2"}, []string{one + " 0 1", two + " 1 2"}, []string{one + " 0 1"}
			var seen [][]string
			is := func(want []string) func() bool {
				return func() bool {
					now := s.services(t, "_vlmcs._tcp."+zone+".")
					if len(seen) == 0 || !slices.Equal(seen[len(seen)-1], now) {
						seen = append(seen, now)
					}
					return slices.Equal(now, want)
				}
			}
			await(t, time.Second, "both hosts answered", is(well))

			kms2.die()
			undo := tt.death(t, kms2.address())
			defer func() { undo() }()
			died := time.Now()
			await(t, toLastTier, "the dying host in the last tier", is(last))
			await(t, toGone-time.Since(died), "the dead host gone", is(gone))
			undo()
			undo = func() {}
			kms2.start(t)
			await(t, toBack, "the host back", is(well))

			if want := [][]string{well, last, gone, well}; !slices.EqualFunc(seen, want, slices.Equal[[]string]) {
				t.Errorf("Got the answers\n\t%v\nwant\n\t%v", seen, want)
			}
			if metric(t, "coredns_kms_probes_total", "pool", zone, "host", two, "outcome", tt.outcome) < fall-1 {
				t.Errorf("Not counted as %s", tt.outcome)
			}
		})
	}
}

// refused: nothing listens.
func refused(*testing.T, string) (undo func()) { return func() {} }

// silent answers no SYN: a listener that nobody accepts from, its queue full, drops them as a host does that is off.
func silent(t *testing.T, address string) (undo func()) {
	t.Helper()
	to, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("No socket: %v", err)
	}
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}),
		syscall.Listen(fd, 0))
	if err != nil {
		t.Fatalf("Cannot listen: %v", err)
	}
	var queued []net.Conn
	for {
		conn, err := net.DialTimeout("tcp", address, timeout)
		if errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err) {
			break
		}
		if err != nil || len(queued) > 10 {
			t.Fatalf("The queue does not fill: %d connections, %v", len(queued), err)
		}
		queued = append(queued, conn)
	}
	return func() {
		for _, conn := range queued {
			conn.Close()
		}
		syscall.Close(fd)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// impostor serves each connection to the host's address with serve.
func impostor(serve func(net.Conn)) death {
	return func(t *testing.T, address string) (undo func()) {
		t.Helper()
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("Cannot take the host's place: %v", err)
		}
		var (
			serving sync.WaitGroup
			lock    sync.Mutex
			open    []net.Conn
		)
		serving.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				lock.Lock()
				open = append(open, conn)
				lock.Unlock()
				serving.Go(func() {
					defer conn.Close()
					serve(conn)
				})
			}
		})
		return func() {
			ln.Close()
			lock.Lock()
			for _, conn := range open {
				conn.Close()
			}
			lock.Unlock()
			serving.Wait()
		}
	}
}

// reset drops the connection with a RST.
func reset(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }

// answering reads a bind, answers it with what make returns for its call, and holds the connection until the other end
// closes it; with io.EOF it closes first.
func answering(make func(call uint32) []byte, then error) func(net.Conn) {
	return func(conn net.Conn) {
		pdu, err := dcerpc.NewReader(conn, dcerpc.DefaultMaxFrag).Next()
		if err != nil {
			return
		}
		if make != nil {
			conn.Write(make(pdu.Header.CallID))
		}
		if then == nil {
			io.Copy(io.Discard, conn)
		}
	}
}

// says speaks first, as many protocols do.
func says(greeting string) func(net.Conn) {
	return func(conn net.Conn) {
		io.WriteString(conn, greeting)
		io.Copy(io.Discard, conn)
	}
}

const whole = dcerpc.FlagFirst | dcerpc.FlagLast

// bindAck is a host's answer to the bind of a probe when it offers what.
func bindAck(what dcerpc.Syntax) func(call uint32) []byte {
	iface := dcerpc.Interface{Abstract: what, Transfer: []dcerpc.Syntax{dcerpc.NDR32}}
	offered := []dcerpc.Context{
		{ID: 0, Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{dcerpc.NDR32}},
		{ID: 1, Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{dcerpc.NDR64}},
		{ID: 2, Abstract: kmswire.Interface, Transfer: []dcerpc.Syntax{dcerpc.FeatureNegotiation(0)}},
	}
	ack := dcerpc.BindAck{MaxXmit: 5840, MaxRecv: 5840, AssocGroup: 1, SecondaryAddress: "1688", Results: iface.Accept(offered)}
	return func(call uint32) []byte { return ack.Append(nil, dcerpc.TypeBindAck, whole, call) }
}

func bindNak(call uint32) []byte {
	return dcerpc.BindNak{Reason: dcerpc.NakLocalLimit}.Append(nil, dcerpc.TypeBindNak, whole, call)
}

// cut leaves the last octets of an answer out.
func cut(make func(call uint32) []byte) func(call uint32) []byte {
	return func(call uint32) []byte {
		whole := make(call)
		return whole[:len(whole)-7]
	}
}

// slowly sends a good answer one octet every 100 ms: each is progress, and the whole is no host to be sent to.
func slowly(make func(call uint32) []byte) func(net.Conn) {
	return func(conn net.Conn) {
		pdu, err := dcerpc.NewReader(conn, dcerpc.DefaultMaxFrag).Next()
		if err != nil {
			return
		}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for _, octet := range make(pdu.Header.CallID) {
			if _, err := conn.Write([]byte{octet}); err != nil {
				return
			}
			<-tick.C
		}
	}
}

// late sends a good answer after the probe has lost its patience.
func late(make func(call uint32) []byte) func(net.Conn) {
	return func(conn net.Conn) {
		pdu, err := dcerpc.NewReader(conn, dcerpc.DefaultMaxFrag).Next()
		if err != nil {
			return
		}
		<-time.After(2 * timeout)
		conn.Write(make(pdu.Header.CallID))
	}
}

// webServer is a real one.
func webServer(t *testing.T, address string) (undo func()) {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("Cannot take the host's place: %v", err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	return func() {
		server.Close()
		<-served
	}
}
