package dcerpc

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"
)

// kinds are the sentinels of which every error of this package wraps one.
var kinds = []error{ErrVersion, ErrRepresentation, ErrLength, ErrTooLong, ErrTruncated, ErrTooMany, ErrType, ErrSequence}

func classified(err error) bool {
	n := 0
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			n++
		}
	}
	return n == 1
}

// FuzzReader: whatever the stream and however it is delivered, the PDUs are the
// stream, each as long as its header says and none above the maximum; the rest
// is refused for a stated reason.
func FuzzReader(f *testing.F) {
	f.Fuzz(func(t *testing.T, stream []byte, max uint16) {
		r := NewReader(bytes.NewReader(stream), int(max))
		slow := NewReader(iotest.OneByteReader(bytes.NewReader(stream)), int(max))
		rest := stream
		for {
			p, err := r.Next()
			q, slowErr := slow.Next()
			if (err == nil) != (slowErr == nil) || p.Header != q.Header || !bytes.Equal(p.Body, q.Body) {
				t.Fatalf("at once %+v, %v; octet by octet %+v, %v", p, err, q, slowErr)
			}
			if len(r.buf) > r.max {
				t.Fatalf("buffer of %d octets, maximum %d", len(r.buf), r.max)
			}
			if err == io.EOF && len(rest) != 0 {
				t.Fatalf("%d octets lost", len(rest))
			}
			if err != nil {
				if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) && !classified(err) {
					t.Fatalf("unclassified: %v", err)
				}
				return
			}
			n := int(p.FragLength)
			if n > r.max || n != HeaderLen+len(p.Body) || !bytes.Equal(p.Body, rest[HeaderLen:n]) {
				t.Fatalf("PDU %+v is not the start of %x", p, rest)
			}
			rest = rest[n:]
		}
	})
}

// FuzzParse: every parser takes every body, with a verifier or without; what it
// understands is the same after being sent and parsed again.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, typ, flags uint8, auth uint16, body []byte) {
		p := PDU{Header{Type: PacketType(typ), Flags: Flags(flags), AuthLength: auth, CallID: 7}, body}
		if len(body) > DefaultMaxFrag-HeaderLen {
			return // a reader does not deliver it
		}
		contents, err := parse(p)
		if err != nil {
			if !classified(err) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		sent := contents.Append(nil, p.Type, p.Flags, p.CallID)
		received, err := NewReader(bytes.NewReader(sent), 0xffff).Next()
		if err != nil {
			t.Fatalf("%+v was sent as %x: %v", contents, sent, err)
		}
		if received.Type != p.Type || received.Flags&^FlagObject != p.Flags&^FlagObject || received.CallID != 7 {
			t.Fatalf("header %+v became %+v", p.Header, received.Header)
		}
		again, err := parse(received)
		if err != nil || !reflect.DeepEqual(again, contents) {
			t.Fatalf("%+v became %+v, %v", contents, again, err)
		}
		if resent := again.Append(nil, p.Type, received.Flags, p.CallID); !bytes.Equal(resent, sent) {
			t.Fatalf("%x became %x", sent, resent)
		}
		if b, ok := contents.(Bind); ok {
			checkAccept(t, b.Contexts)
		}
	})
}

// checkAccept: one result for each context and at most one acceptance, of an
// encoding that was proposed there.
func checkAccept(t *testing.T, contexts []Context) {
	server := Interface{Abstract: service, Transfer: []Syntax{NDR64, NDR32}, Features: 3}
	results := server.Accept(contexts)
	if len(results) != len(contexts) {
		t.Fatalf("%d results for %d contexts", len(results), len(contexts))
	}
	accepted := 0
	for i, r := range results {
		if r.Result != Acceptance {
			if r.Transfer != (Syntax{}) {
				t.Fatalf("%v with a syntax", r)
			}
			continue
		}
		accepted++
		offered := false
		for _, s := range contexts[i].Transfer {
			offered = offered || s == r.Transfer
		}
		if !offered || !server.covers(contexts[i].Abstract) {
			t.Fatalf("%v of %+v", r, contexts[i])
		}
	}
	if accepted > 1 {
		t.Fatalf("%d contexts accepted", accepted)
	}
}

// FuzzAssembler: whatever the fragments, a stub is the concatenation of what
// was taken since the first, the cap holds for what is kept, and what is refused
// does not continue the call, or is too long.
func FuzzAssembler(f *testing.F) {
	f.Fuzz(func(t *testing.T, script []byte) {
		a := Assembler{Max: 64}
		var taken []byte
		open, of := false, uint32(0)
		for len(script) >= 3 {
			flags, id, n := Flags(script[0]), uint32(script[1]&1), min(int(script[2]), len(script)-3)
			if script[1]&2 != 0 {
				a.Abandon(id)
				open = open && id != of
			}
			stub := script[3 : 3+n]
			script = script[3+n:]
			first, last := flags&FlagFirst != 0, flags&FlagLast != 0
			if first {
				taken = nil
			}
			taken = append(taken, stub...)
			want := error(nil)
			switch {
			case first == open || !first && id != of:
				want = ErrSequence
			case !(first && last) && len(taken) > a.Max:
				want = ErrTooLong
			}
			whole, complete, err := a.Request(Header{Flags: flags, CallID: id}, Request{Stub: stub})
			if !errors.Is(err, want) || want != nil && !classified(err) {
				t.Fatalf("%v, want %v", err, want)
			}
			if err != nil {
				return
			}
			open, of = !last, id
			if len(a.stub) > a.Max || !open && a.stub != nil {
				t.Fatalf("%d octets kept", len(a.stub))
			}
			if complete != last || complete && !bytes.Equal(whole.Stub, taken) {
				t.Fatalf("complete %v with %x, want %x", complete, whole.Stub, taken)
			}
		}
	})
}
