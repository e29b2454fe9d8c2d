package tuning

import (
	"testing"
	"unsafe"

	"github.com/miekg/dns"
)

// TestGrowStacks: beneath Run, a goroutine that has accepted a message keeps its stack where it is, as deep as an answer goes. One
// that has turned a message away has not grown it; nor has any without Run, or there would be nothing to gain.
func TestGrowStacks(t *testing.T) {
	original := dns.DefaultMsgAcceptFunc
	defer func() { dns.DefaultMsgAcceptFunc = original }()
	query, response := dns.Header{Qdcount: 1}, dns.Header{Qdcount: 1, Bits: 1 << 15}
	if !moves(query) {
		t.Error("A stack does not move without Run")
	}
	Run(func() {
		if moves(query) {
			t.Error("The stack of an answer moves")
		}
		if !moves(response) {
			t.Error("The stack of what is turned away has grown")
		}
	})
}

// moves is whether a new goroutine's stack moves beneath it after it has looked at a message with that header.
func moves(h dns.Header) bool {
	moved := make(chan bool)
	go func() {
		dns.DefaultMsgAcceptFunc(h)
		var here byte
		before := uintptr(unsafe.Pointer(&here))
		descend(answerFrames)
		moved <- uintptr(unsafe.Pointer(&here)) != before
	}()
	return <-moved
}

// answerFrames frames of descend are some 5 KiB, as an answer's are.
const answerFrames = 20

//go:noinline
func descend(frames int) byte {
	var frame [200]byte
	frame[frames] = 1
	if frames == 0 {
		return frame[0]
	}
	return descend(frames-1) + frame[frames]
}

// TestGrowStacksDecidesNothing: each message is accepted, ignored or refused as before.
func TestGrowStacksDecidesNothing(t *testing.T) {
	original := dns.DefaultMsgAcceptFunc
	defer func() { dns.DefaultMsgAcceptFunc = original }()
	growStacks()
	for _, h := range []dns.Header{
		{Qdcount: 1}, // a query
		{Qdcount: 2},
		{Qdcount: 1, Bits: 1 << 15}, // a response
		{Qdcount: 1, Bits: dns.OpcodeNotify << 11}, // with no answer
		{Qdcount: 1, Bits: dns.OpcodeUpdate << 11}, // a plugin may have it accepted
		{Qdcount: 1, Arcount: 3},
	} {
		if got, want := dns.DefaultMsgAcceptFunc(h), original(h); got != want {
			t.Errorf("%+v: got %v, want %v", h, got, want)
		}
	}
}

// BenchmarkGrowStacks compares goroutines that go as deep as an answer does.
func BenchmarkGrowStacks(b *testing.B) {
	for _, bc := range []struct {
		name  string
		begin func()
	}{
		{"twice", func() {}},
		{"once", func() { large(false) }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			done := make(chan byte)
			for b.Loop() {
				go func() {
					bc.begin()
					done <- descend(answerFrames)
				}()
				<-done
			}
		})
	}
}
