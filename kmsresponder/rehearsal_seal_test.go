package kmsresponder

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

var versions = []kmswire.Version{kmswire.V4, kmswire.V5, kmswire.V6}

// TestSealedSizes: about 250 octets each way, as the guide says, and requests as
// long as genuine ones.
func TestSealedSizes(t *testing.T) {
	s := newSealer(nil)
	for v, want := range map[kmswire.Version]int{kmswire.V4: 252, kmswire.V5: 260, kmswire.V6: 260} {
		r := new(Rehearsal)
		r.Name = "kms1.corp.example.org"
		request := s.request(v, machine(1, config.ClientVL))
		if len(request) != want {
			t.Errorf("version %v: request of %d octets, want %d", v, len(request), want)
		}
		response, hr := r.answer(&net.TCPAddr{}, request)
		if hr != kmswire.OK || len(response) < 120 || len(response) > 260 {
			t.Errorf("version %v: %v, response of %d octets", v, hr, len(response))
		}
	}
}

// TestSealsOnTheWire compares seals with those that another implementation of
// HMAC-SHA-256, Python's, has made: sites with different releases understand each
// other.
func TestSealsOnTheWire(t *testing.T) {
	s := newSealer([]byte("a secret"))
	id := kmswire.GUID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	q := kmswire.RequestV4{CMID: id, MachineName: "pc"}
	p := kmswire.ResponseV4{HostID: "R", CMID: id, Count: 7, ActivationInterval: 120, RenewalInterval: 10_080}
	fields := q.Append(nil)[:fieldsLen]
	answer := p.Append(nil)
	answer = answer[:len(answer)-kmswire.TrailerLen]
	for _, tc := range []struct {
		what string
		got  []byte
		want string
	}{
		{"request 4", s.request(kmswire.V4, q), string(fields) + unhex("deae164062eb236cb4bd9b1190953630")},
		{"request 6", s.request(kmswire.V6, q), "\x00\x00\x06\x00" + unhex("2df29a5cbdbfa845e70c7b9f67da56f8") + string(fields) + "\x00\x00\x00\x00"},
		{"response 4", s.response(kmswire.V4, p), string(answer) + unhex("c25d1229e263391aa8189905a678b680")},
		{"response 6", s.response(kmswire.V6, p), "\x00\x00\x06\x00" + unhex("506818c41ab17801534b9bc317b5337c") + string(answer)},
	} {
		if string(tc.got) != tc.want {
			t.Errorf("%s:\n%x, want\n%x", tc.what, tc.got, tc.want)
		}
	}
}

func unhex(text string) string {
	b, _ := hex.DecodeString(text)
	return string(b)
}

// TestForeign: whatever is changed in a message, and whoever else sealed it, it
// is not taken. Genuine messages are among the latter.
func TestForeign(t *testing.T) {
	ours, theirs := newSealer(nil), newSealer([]byte("another site's"))
	refused := func(what string, message []byte) {
		t.Helper()
		answer, hr := new(Rehearsal).answer(&net.TCPAddr{}, message)
		if hr != kmswire.InvalidData || answer != nil {
			t.Errorf("%s: %v, %x; want %v", what, hr, answer, kmswire.InvalidData)
		}
	}
	q := machine(1, config.ClientVL)
	for _, v := range versions {
		request := ours.request(v, q)
		if _, hr := new(Rehearsal).answer(&net.TCPAddr{}, request); hr != kmswire.OK {
			t.Fatalf("version %v: %v", v, hr)
		}
		refused("another site", theirs.request(v, q))
		refused("too short", request[:len(request)-1])
		refused("too long", append(request[:len(request):len(request)], 0))
		refused("a version alone", request[:4])
		refused("a response", ours.response(v, kmswire.ResponseV4{}))
		for i := range request {
			changed := bytes.Clone(request)
			changed[i] ^= 0x10
			refused("changed", changed)
		}
		// Long and short ones that are well sealed.
		if v != kmswire.V4 {
			refused("sealed, short", ours.lead(ofRequest, v, request[outerLen:200]))
			refused("sealed, long", ours.lead(ofRequest, v, make([]byte, 300)))
		} else {
			refused("sealed, short", ours.trail(ofRequest, request[:200]))
			refused("sealed, long", ours.trail(ofRequest, append(bytes.Clone(request), 0)))
		}
	}
	refused("nothing", nil)
	for _, v := range []kmswire.Version{{}, {Major: 3}, {Major: 4, Minor: 1}, {Major: 7}} {
		refused("version "+v.String(), ours.lead(ofRequest, v, make([]byte, 240)))
	}
}

// TestSealedResponses: a client believes nobody but the host of its site.
func TestSealedResponses(t *testing.T) {
	ours, theirs := newSealer(nil), newSealer([]byte("another site's"))
	p := kmswire.ResponseV4{HostID: "REHEARSAL-ONLY", Count: 50}
	for _, v := range versions {
		got, version, err := ours.openResponse(ours.response(v, p))
		got.Trailer = p.Trailer
		if err != nil || version != v || got != p {
			t.Errorf("version %v: %+v of %v, %v", v, got, version, err)
		}
		for what, message := range map[string][]byte{
			"another site": theirs.response(v, p),
			"a request":    ours.request(v, kmswire.RequestV4{}),
			"zeros":        v.Append(nil),
		} {
			if _, _, err := ours.openResponse(message); err == nil {
				t.Errorf("version %v: %s is believed", v, what)
			}
		}
	}
	if _, _, err := ours.openResponse(theirs.response(kmswire.V4, p)); !errors.Is(err, errForeign) {
		t.Errorf("%v, want %v", err, errForeign)
	}
}

// TestVersionsOverSockets: each version gets through, over the encodings of
// both generations of hosts, and the second request of a connection as the
// first.
func TestVersionsOverSockets(t *testing.T) {
	for _, ndr64 := range []bool{false, true} {
		host := &Rehearsal{NDR64: ndr64}
		addr, _ := start(t, host)
		for i, v := range versions {
			s, err := openSession(dial(t, addr))
			if err != nil {
				t.Fatal(err)
			}
			for n := range 3 {
				q := machine(i, config.ServerA)
				message, hr, err := s.request(newSealer(nil).request(v, q))
				if err != nil || hr != kmswire.OK {
					t.Fatalf("version %v, request %d: %v, %v", v, n, hr, err)
				}
				a, _, err := newSealer(nil).openResponse(message)
				if err != nil || a.CMID != q.CMID || a.Count != uint32(i+1) {
					t.Errorf("version %v, request %d: %+v, %v", v, n, a, err)
				}
			}
			if _, hr, err := s.request([]byte("foreign")); hr != kmswire.InvalidData || err != nil {
				t.Errorf("foreign: %v, %v", hr, err)
			}
		}
	}
}

// TestEncodings: what is spoken after the binds of a 64-bit Windows client.
func TestEncodings(t *testing.T) {
	for _, ndr64 := range []bool{false, true} {
		addr, _ := start(t, &Rehearsal{NDR64: ndr64})
		s, err := openSession(dial(t, addr))
		if err != nil {
			t.Fatal(err)
		}
		later, call := "NDR32", uint32(2)
		if ndr64 {
			later, call = "NDR64", 3
		}
		if s.next.transfer.String() != "NDR32" || s.later.transfer.String() != later || s.call != call {
			t.Errorf("NDR64 %v: first request %v, later ones %v, last call %d", ndr64, s.next, s.later, s.call)
		}
	}
}

// FuzzRehearsal: whatever arrives, the host answers it or refuses it, and never
// takes what it has not sealed.
func FuzzRehearsal(f *testing.F) {
	r := &Rehearsal{Log: func(string) {}}
	call := r.caller(&net.TCPAddr{})
	f.Fuzz(func(t *testing.T, message []byte) {
		answer, hr, fault := call(context.Background(), dcerpc.NDR32, message)
		if fault != 0 || (hr == kmswire.OK) != (answer != nil) || len(answer) > kmswire.MaxMessage {
			t.Errorf("%x: %x, %v, %v", message, answer, hr, fault)
		}
		if hr == kmswire.OK || hr == kmswire.ClockSkew {
			if _, _, err := newSealer(nil).openRequest(message); err != nil {
				t.Errorf("%x was taken: %v", message, err)
			}
		}
	})
}
