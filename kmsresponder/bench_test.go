package kmsresponder

import (
	"context"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// BenchmarkIdleConnection reports what a bound, idle connection costs in heap
// and stack, both ends of it: the client's is a bare socket. Connections are
// never closed while it counts, or stacks that were given back would hide what
// new ones cost.
func BenchmarkIdleConnection(b *testing.B) {
	const conns = 200 // both ends fit into a common limit of 1024 descriptors
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { new(Rehearsal).Serve(ctx, ln) })
	ask, answer := bind(2, dcerpc.NDR32, dcerpc.NDR64, dcerpc.FeatureNegotiation(3)), make([]byte, 128)

	var open [conns]net.Conn
	before := inUse()
	for i := range open {
		if open[i], err = net.Dial("tcp", ln.Addr().String()); err != nil {
			b.Fatal(err)
		}
		defer open[i].Close()
		if _, err = open[i].Write(ask); err != nil {
			b.Fatal(err)
		}
		if _, err = open[i].Read(answer); err != nil {
			b.Fatal(err)
		}
	}
	after := inUse()
	for b.Loop() {
		// The measurement is of memory, and made once.
	}
	b.ReportMetric(float64(after-before)/conns, "B/conn")
	b.ReportMetric(0, "ns/op")
}

// inUse returns the octets of live heap and of stacks.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkBind is one client's whole conversation without the network.
func BenchmarkBind(b *testing.B) {
	ask := bind(2, dcerpc.NDR32, dcerpc.NDR64, dcerpc.FeatureNegotiation(3))
	h, err := dcerpc.ParseHeader(ask)
	if err != nil {
		b.Fatal(err)
	}
	p := dcerpc.PDU{Header: h, Body: ask[dcerpc.HeaderLen:]}
	iface := new(Rehearsal).iface()
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		c := conversation{iface: iface, port: "1688", group: 1}
		out, _ = c.next(b.Context(), out[:0], p)
	}
}

// BenchmarkCall is one request to a rehearsal host without the network.
func BenchmarkCall(b *testing.B) {
	stub := kmswire.AppendRequestStub(nil, newSealer(nil).request(kmswire.V4, machine(1, config.ClientVL)), false)
	ask := requestOf(3, whole, 0, kmswire.OpRequestActivation, stub)
	h, err := dcerpc.ParseHeader(ask)
	if err != nil {
		b.Fatal(err)
	}
	p := dcerpc.PDU{Header: h, Body: ask[dcerpc.HeaderLen:]}
	r := new(Rehearsal)
	c := conversation{bound: true, contexts: []presentation{{0, dcerpc.NDR32}}, call: r.caller(&net.TCPAddr{})}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out, _ = c.next(b.Context(), out[:0], p)
	}
	if len(out) < 100 {
		b.Fatalf("answer %x", out)
	}
}
