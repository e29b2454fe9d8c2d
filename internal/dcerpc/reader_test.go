package dcerpc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"
)

// conversationOctets is every golden PDU in one stream.
func conversationOctets(t testing.TB) []byte {
	var stream []byte
	for _, tc := range golden {
		stream = append(stream, octets(t, tc.octets)...)
	}
	return stream
}

// TestReaderSplits reads all golden PDUs from streams that deliver differently.
func TestReaderSplits(t *testing.T) {
	stream := conversationOctets(t)
	for name, src := range map[string]io.Reader{
		"at once":            bytes.NewReader(stream),
		"octet by octet":     iotest.OneByteReader(bytes.NewReader(stream)),
		"in halves":          iotest.HalfReader(bytes.NewReader(stream)),
		"with the end early": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(src, 0)
			for _, tc := range golden {
				p, err := r.Next()
				if err != nil {
					t.Fatalf("%s: %v", tc.name, err)
				}
				want := pdu(t, octets(t, tc.octets))
				if p.Header != want.Header || !bytes.Equal(p.Body, want.Body) {
					t.Errorf("%s: got %+v", tc.name, p)
				}
				if cap(p.Body) != len(p.Body) {
					t.Errorf("%s: appending to Body would overwrite the next PDU", tc.name)
				}
			}
			for range 2 {
				if p, err := r.Next(); err != io.EOF {
					t.Fatalf("at the end: %+v, %v", p, err)
				}
			}
		})
	}
}

// TestReaderEndInside cuts a stream of two PDUs at every octet.
func TestReaderEndInside(t *testing.T) {
	one := Response{Stub: make([]byte, 9)}.Append(nil, TypeResponse, 3, 1)
	stream := append(bytes.Clone(one), one...)
	for cut := range stream {
		r := NewReader(bytes.NewReader(stream[:cut]), 0)
		whole := cut / len(one)
		for range whole {
			if _, err := r.Next(); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		_, err := r.Next()
		if cut%len(one) == 0 && err != io.EOF {
			t.Errorf("cut at %d, between PDUs: %v", cut, err)
		}
		if cut%len(one) != 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d, inside a PDU: %v", cut, err)
		}
	}
}

// TestReaderErrors: the header is judged before its body is waited for, and the
// judgement is final.
func TestReaderErrors(t *testing.T) {
	tests := []struct {
		name, octets string
		max          int
		err          error
		header       Header
	}{
		{"too long", "05 00 00 03 10000000 d116 0000 07000000", 0, ErrTooLong, Header{TypeRequest, 3, 5841, 0, 7}},
		{"too long for a small maximum", "05 00 00 03 10000000 1900 0000 07000000", 24, ErrTooLong, Header{TypeRequest, 3, 25, 0, 7}},
		{"maximum below a header", "05 00 00 03 10000000 1100 0000 07000000", 1, ErrTooLong, Header{TypeRequest, 3, 17, 0, 7}},
		{"version", "04 00 0b 03 10000000 4800 0000 07000000", 0, ErrVersion, Header{Type: TypeBind, Flags: 3, CallID: 7}},
		{"representation", "05 00 0b 03 00000000 4800 0000 07000000", 0, ErrRepresentation, Header{}},
		{"length", "05 00 0b 03 10000000 0100 0000 07000000", 0, ErrLength, Header{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			// Anything read after the header would be an error of another kind.
			src := io.MultiReader(bytes.NewReader(octets(t, tc.octets)), iotest.ErrReader(errors.New("read on")))
			r := NewReader(src, tc.max)
			for range 2 {
				if p, err := r.Next(); !errors.Is(err, tc.err) || p.Header != tc.header || p.Body != nil {
					t.Errorf("Next = %+v, %v; want %+v, %v", p, err, tc.header, tc.err)
				}
			}
			if len(r.buf) > firstBuffer {
				t.Errorf("the buffer grew to %d octets", len(r.buf))
			}
		})
	}
}

// TestReaderContinuesAfterDeadline: what arrived before a deadline is kept.
func TestReaderContinuesAfterDeadline(t *testing.T) {
	one := Response{Stub: []byte("stub")}.Append(nil, TypeResponse, 3, 1)
	deadline := iotest.ErrReader(os.ErrDeadlineExceeded)
	pieces := []io.Reader{bytes.NewReader(one[:5]), deadline, bytes.NewReader(one[5:20]), deadline, bytes.NewReader(one[20:])}
	r := NewReader(readerFunc(func(b []byte) (int, error) {
		for len(pieces) > 0 {
			n, err := pieces[0].Read(b)
			if n == 0 {
				pieces = pieces[1:]
			}
			if n > 0 || err != io.EOF {
				return n, err
			}
		}
		return 0, io.EOF
	}), 0)
	for range 2 {
		if _, err := r.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Next = %v, want the deadline's error", err)
		}
	}
	p, err := r.Next()
	if err != nil || !bytes.HasSuffix(p.Body, []byte("stub")) {
		t.Errorf("Next = %+v, %v", p, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestReaderBuffer: the buffer starts small, grows for a long PDU, and never
// beyond the maximum.
func TestReaderBuffer(t *testing.T) {
	var stream []byte
	for _, n := range []int{100, 512, 600, 100, 5840, 100} {
		stream = Response{Stub: bytes.Repeat([]byte{byte(n)}, n-24)}.Append(stream, TypeResponse, 3, uint32(n))
	}
	r := NewReader(bytes.NewReader(stream), 0)
	for _, want := range []struct{ frag, buffer int }{
		{100, 512}, {512, 512}, {600, 1024}, {100, 1024}, {5840, 5840}, {100, 5840},
	} {
		p, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		stub := p.Body[8:]
		if int(p.FragLength) != want.frag || !bytes.Equal(stub, bytes.Repeat([]byte{byte(want.frag)}, want.frag-24)) {
			t.Errorf("PDU of %d octets, want one of %d with its own stub", p.FragLength, want.frag)
		}
		if len(r.buf) != want.buffer {
			t.Errorf("after a PDU of %d octets the buffer has %d, want %d", want.frag, len(r.buf), want.buffer)
		}
	}
}

// cycle repeats the same octets for ever.
type cycle struct {
	octets []byte
	at     int
}

func (c *cycle) Read(b []byte) (int, error) {
	n := copy(b, c.octets[c.at:])
	c.at = (c.at + n) % len(c.octets)
	return n, nil
}

// TestReaderDoesNotAllocate: in a stream without errors, Next costs no memory
// once the buffer has its size.
func TestReaderDoesNotAllocate(t *testing.T) {
	r := NewReader(&cycle{octets: conversationOctets(t)}, 0)
	next := func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, next); n != 0 {
		t.Errorf("Next allocates %v times", n)
	}
}

func BenchmarkReaderNext(b *testing.B) {
	r := NewReader(&cycle{octets: conversationOctets(b)}, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
