package dcerpc

import (
	"bytes"
	"errors"
	"testing"
)

const (
	first = FlagFirst
	last  = FlagLast
)

// fragment is one step of a conversation with an Assembler, and what it says:
// nothing yet, a whole stub, or an error.
type fragment struct {
	flags   Flags
	id      uint32
	context uint16
	opnum   uint16
	stub    string

	whole    string
	complete bool
	err      error
}

var assemblies = []struct {
	name      string
	fragments []fragment
}{
	{"one fragment", []fragment{
		{first | last, 1, 0, 0, "abc", "abc", true, nil},
		{first | last, 2, 5, 6, "", "", true, nil},
	}},
	{"one fragment may exceed the cap", []fragment{
		{first | last, 1, 0, 0, "0123456789", "0123456789", true, nil},
	}},
	{"three fragments, twice", []fragment{
		{first, 1, 0, 0, "ab", "", false, nil},
		{0, 1, 0, 0, "cd", "", false, nil},
		{last, 1, 0, 0, "ef", "abcdef", true, nil},
		{first, 2, 0, 0, "gh", "", false, nil},
		{last, 2, 0, 0, "", "gh", true, nil},
	}},
	{"exactly the cap", []fragment{
		{first, 1, 0, 0, "01234567", "", false, nil},
		{last, 1, 0, 0, "", "01234567", true, nil},
	}},
	{"other flags do not matter", []fragment{
		{first | FlagPendingCancel, 1, 0, 0, "a", "", false, nil},
		{last | FlagConcMPX, 1, 0, 0, "b", "ab", true, nil},
	}},
	{"begins in the middle", []fragment{{0, 1, 0, 0, "a", "", false, ErrSequence}}},
	{"begins at the end", []fragment{{last, 1, 0, 0, "a", "", false, ErrSequence}}},
	{"continues after the end", []fragment{
		{first | last, 1, 0, 0, "a", "a", true, nil},
		{last, 1, 0, 0, "b", "", false, ErrSequence},
	}},
	{"starts again", []fragment{
		{first, 1, 0, 0, "a", "", false, nil},
		{first, 1, 0, 0, "a", "", false, ErrSequence},
	}},
	{"another call in one fragment inside", []fragment{
		{first, 1, 0, 0, "a", "", false, nil},
		{first | last, 2, 0, 0, "b", "", false, ErrSequence},
	}},
	{"call id changes", []fragment{
		{first, 1, 0, 0, "a", "", false, nil},
		{last, 2, 0, 0, "b", "", false, ErrSequence},
	}},
	{"context changes", []fragment{
		{first, 1, 0, 0, "a", "", false, nil},
		{last, 1, 1, 0, "b", "", false, ErrSequence},
	}},
	{"first fragment beyond the cap", []fragment{{first, 1, 0, 0, "012345678", "", false, ErrTooLong}}},
	{"beyond the cap in all", []fragment{
		{first, 1, 0, 0, "01234567", "", false, nil},
		{0, 1, 0, 0, "8", "", false, ErrTooLong},
	}},
}

func TestAssembler(t *testing.T) {
	for _, tc := range assemblies {
		t.Run("request: "+tc.name, func(t *testing.T) {
			a := Assembler{Max: 8}
			for i, f := range tc.fragments {
				in := Request{ContextID: f.context, Opnum: f.opnum, Stub: []byte(f.stub)}
				got, complete, err := a.Request(Header{Flags: f.flags, CallID: f.id}, in)
				check(t, i, f, got.Stub, complete, err)
				if complete && (got.ContextID != f.context || got.Opnum != f.opnum) {
					t.Errorf("fragment %d: context %d, opnum %d", i, got.ContextID, got.Opnum)
				}
			}
		})
		t.Run("response: "+tc.name, func(t *testing.T) {
			a := Assembler{Max: 8}
			for i, f := range tc.fragments {
				got, complete, err := a.Response(Header{Flags: f.flags, CallID: f.id}, Response{ContextID: f.context, Stub: []byte(f.stub)})
				check(t, i, f, got.Stub, complete, err)
				if complete && got.ContextID != f.context {
					t.Errorf("fragment %d: context %d", i, got.ContextID)
				}
			}
		})
	}
}

func check(t *testing.T, i int, f fragment, stub []byte, complete bool, err error) {
	t.Helper()
	if string(stub) != f.whole || complete != f.complete || !errors.Is(err, f.err) {
		t.Errorf("fragment %d: %q, %v, %v; want %q, %v, %v", i, stub, complete, err, f.whole, f.complete, f.err)
	}
}

func TestAssemblerOpnumChanges(t *testing.T) {
	a := Assembler{Max: 8}
	a.Request(Header{Flags: first}, Request{Opnum: 1})
	if _, _, err := a.Request(Header{Flags: last}, Request{Opnum: 2}); !errors.Is(err, ErrSequence) {
		t.Errorf("err = %v, want ErrSequence", err)
	}
}

func TestAssemblerMixesNoDirections(t *testing.T) {
	a := Assembler{Max: 8}
	a.Request(Header{Flags: first}, Request{})
	if _, _, err := a.Response(Header{Flags: last}, Response{}); !errors.Is(err, ErrSequence) {
		t.Errorf("err = %v, want ErrSequence", err)
	}
}

// TestAssemblerCopies: fragments arrive in one buffer that is overwritten, and
// the whole belongs to the caller.
func TestAssemblerCopies(t *testing.T) {
	a := Assembler{Max: 8}
	buffer := []byte("ab")
	a.Request(Header{Flags: first}, Request{Stub: buffer})
	copy(buffer, "cd")
	whole, _, _ := a.Request(Header{Flags: last}, Request{Stub: buffer})
	copy(buffer, "xx")
	a.Request(Header{Flags: first}, Request{Stub: buffer})
	if !bytes.Equal(whole.Stub, []byte("abcd")) {
		t.Errorf("stub = %q, want abcd", whole.Stub)
	}
}

func TestAssemblerAbandon(t *testing.T) {
	a := Assembler{Max: 8}
	a.Request(Header{Flags: first, CallID: 1}, Request{Stub: []byte("a")})
	a.Abandon(2) // not this one
	whole, complete, err := a.Request(Header{Flags: last, CallID: 1}, Request{Stub: []byte("b")})
	if !complete || string(whole.Stub) != "ab" || err != nil {
		t.Fatalf("after another call was abandoned: %q, %v, %v", whole.Stub, complete, err)
	}
	a.Request(Header{Flags: first, CallID: 3}, Request{Stub: []byte("c")})
	a.Abandon(3)
	if _, _, err := a.Request(Header{Flags: last, CallID: 3}, Request{}); !errors.Is(err, ErrSequence) {
		t.Errorf("the abandoned call was continued: %v", err)
	}
	whole, complete, err = a.Request(Header{Flags: first | last, CallID: 4}, Request{Stub: []byte("d")})
	if !complete || string(whole.Stub) != "d" || err != nil {
		t.Errorf("the next call: %q, %v, %v", whole.Stub, complete, err)
	}
}

// TestAssemblerIgnoresAllocHint: four gigabytes announced cost nothing.
func TestAssemblerIgnoresAllocHint(t *testing.T) {
	a := Assembler{Max: 8}
	a.Request(Header{Flags: first}, Request{AllocHint: 0xffffffff, Stub: []byte("a")})
	if cap(a.stub) > 64 {
		t.Errorf("%d octets allocated for one", cap(a.stub))
	}
}
