package kmswire

import (
	"errors"
	"strings"
	"testing"
)

// TestHostileMessages has what the parsers of messages must refuse, or must
// take although it is odd.
func TestHostileMessages(t *testing.T) {
	req, resp := requestOctets(t), responseOctets(t)
	patch := func(b []byte, i int, v ...byte) []byte {
		b = append([]byte(nil), b...)
		copy(b[i:], v)
		return b
	}
	tests := []struct {
		name    string
		parse   func([]byte) error
		message []byte
		want    error
	}{
		{"request of nothing", parseRequest, nil, ErrTruncated},
		{"request of a version", parseRequest, req[:4], ErrTruncated},
		{"request without its last octet", parseRequest, req[:251], ErrTruncated},
		{"request with more", parseRequest, append(req[:252:252], 1), nil},
		{"request of version 4.1", parseRequest, patch(req, 0, 1), ErrVersion},
		{"request of version 6", parseRequest, patch(req, 2, 6), ErrVersion},
		{"response of nothing", parseResponseV4, nil, ErrTruncated},
		{"response of a version", parseResponseV4, resp[:4], ErrTruncated},
		{"response shorter than without an id", parseResponseV4, resp[:59], ErrTruncated},
		{"response without its last octet", parseResponseV4, resp[:157], ErrTruncated},
		{"response with more", parseResponseV4, append(resp[:158:158], 1), nil},
		{"response of version 5", parseResponseV4, patch(resp, 2, 5), ErrVersion},
		{"response with an odd id", parseResponseV4, patch(resp, 4, 97), ErrLength},
		{"response with a long id", parseResponseV4, patch(resp, 4, 130), ErrTooLong},
		{"response with an endless id", parseResponseV4, patch(resp, 4, 0xff, 0xff, 0xff, 0xff), ErrTooLong},
		{"response without an id", parseResponseV4, patch(resp[:60], 4, 0), nil},
	}
	for _, tc := range tests {
		if err := tc.parse(tc.message); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func parseRequest(b []byte) error    { _, err := ParseRequestV4(b); return err }
func parseResponseV4(b []byte) error { _, err := ParseResponseV4(b); return err }

// TestHostileStubs is the same for stubs. Every cut of a good one is truncated.
func TestHostileStubs(t *testing.T) {
	for _, ndr64 := range []bool{false, true} {
		good := AppendRequestStub(nil, []byte("a message"), ndr64)
		for n := range good {
			if _, err := ParseRequestStub(good[:n], ndr64); !errors.Is(err, ErrTruncated) {
				t.Errorf("request, NDR64 %v, %d octets: %v", ndr64, n, err)
			}
		}
		for _, hr := range []HRESULT{OK, HostUnusable} {
			good := AppendResponseStub(nil, []byte("a message"), hr, ndr64)
			if m, got, err := ParseResponseStub(append(good, 1, 2, 3), ndr64); string(m) != "a message" || got != hr || err != nil {
				t.Errorf("response, NDR64 %v: %q, %v, %v", ndr64, m, got, err)
			}
			for n := range good {
				if _, _, err := ParseResponseStub(good[:n], ndr64); !errors.Is(err, ErrTruncated) {
					t.Errorf("response, NDR64 %v, %d octets: %v", ndr64, n, err)
				}
			}
		}
	}
	tests := []struct {
		name, stub string
		ndr64      bool
		request    error
		response   error
	}{
		{"size and count differ", "05000000 04000000 0102030405", false, ErrLength, ErrLength},
		{"count beyond 32 bits", "05000000 00000000 0500000001000000 0102030405", true, ErrLength, ErrTruncated},
		{"more than the limit", "01040000 01040000", false, ErrTooLong, ErrTruncated},
		{"negative", "ffffffff ffffffff", false, ErrTooLong, ErrTruncated},
		{"size behind a null pointer", "01000000 00000000 00000000", false, ErrLength, ErrLength},
		{"response larger than the limit", "01040000 01000000 01040000", false, ErrLength, ErrTooLong},
		{"count of a response differs", "01000000 01000000 02000000", false, nil, ErrLength},
		{"padding is not zero", "00000000 ffffffff 0000000000000000 01000000", true, nil, nil},
	}
	for _, tc := range tests {
		stub := octets(t, tc.stub)
		if _, err := ParseRequestStub(stub, tc.ndr64); !errors.Is(err, tc.request) {
			t.Errorf("%s: as a request %v, want %v", tc.name, err, tc.request)
		}
		if _, _, err := ParseResponseStub(stub, tc.ndr64); !errors.Is(err, tc.response) {
			t.Errorf("%s: as a response %v, want %v", tc.name, err, tc.response)
		}
	}
	// The largest message there may be.
	most := make([]byte, MaxMessage)
	if m, err := ParseRequestStub(AppendRequestStub(nil, most, true), true); len(m) != MaxMessage || err != nil {
		t.Errorf("largest: %d octets, %v", len(m), err)
	}
	// What is appended to a message must not overwrite what follows it.
	stub := append(AppendRequestStub(nil, []byte("abc"), false), 'd')
	m, _ := ParseRequestStub(stub, false)
	if _ = append(m, 'x'); stub[len(stub)-1] != 'd' {
		t.Error("a message has the capacity of its stub")
	}
}

// TestNames: a name that comes in goes out again as the same octets, whatever
// they are, and is no longer than its field.
func TestNames(t *testing.T) {
	tests := []struct {
		name, wire, text string
	}{
		{"empty", "", ""},
		{"full", strings.Repeat("4100", 64), strings.Repeat("A", 64)},
		{"NUL inside", "4100 0000 4200", "A\x00B"},
		{"NUL in front", "0000 4200", "\x00B"},
		{"controls", "1b00 5b00 0a00", "\x1b[\n"},
		{"high surrogate alone", "00d8 4100", "\xed\xa0\x80A"},
		{"low surrogate alone", "ffdf", "\xed\xbf\xbf"},
		{"surrogates the wrong way round", "00dc 00d8", "\xed\xb0\x80\xed\xa0\x80"},
		{"surrogate at the end", strings.Repeat("4100", 63) + "00d8", strings.Repeat("A", 63) + "\xed\xa0\x80"},
		{"pair", "3dd8 00de", "\U0001f600"},
		{"replacement character", "fdff", "\ufffd"},
	}
	for _, tc := range tests {
		wire := layout(t, RequestV4Len, at{0, "00000400"}, at{108, tc.wire})
		r, err := ParseRequestV4(wire)
		if err != nil || r.MachineName != tc.text {
			t.Errorf("%s: %q, %v; want %q", tc.name, r.MachineName, err, tc.text)
		}
		if got := r.Append(nil); string(got) != string(wire) {
			t.Errorf("%s: appended %x", tc.name, got[108:236])
		}
	}
}

// TestLongTextIsCut: never inside a character, never beyond the field.
func TestLongTextIsCut(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{strings.Repeat("A", 65), strings.Repeat("A", 64)},
		{strings.Repeat("A", 63) + "\U0001f600B", strings.Repeat("A", 63)},
		{strings.Repeat("\U0001f600", 40), strings.Repeat("\U0001f600", 32)},
		{strings.Repeat("\xed\xa0\x80", 65), strings.Repeat("\xed\xa0\x80", 64)},
		{"\xff\xed\xa0", "\ufffd\ufffd\ufffd"},
	} {
		r, err := ParseRequestV4(RequestV4{MachineName: tc.text}.Append(nil))
		if err != nil || r.MachineName != tc.want {
			t.Errorf("%q: became %q, %v", tc.text, r.MachineName, err)
		}
	}
	p, err := ParseResponseV4(ResponseV4{HostID: strings.Repeat("A", 64)}.Append(nil))
	if err != nil || p.HostID != strings.Repeat("A", 63) {
		t.Errorf("host id became %q, %v", p.HostID, err)
	}
}

func TestPrintable(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"host name", "pc-17.corp.example.org", "pc-17.corp.example.org"},
		{"letters of all kinds", "Büro 東京", "Büro 東京"},
		{"line break", "a\r\n0x00000000, 25", `a\r\n0x00000000\x2c 25`},
		{"terminal escape", "\x1b]0;x\a", `\x1b]0;x\a`},
		{"C1 control", "\u009b31m", `\u009b31m`},
		{"NUL and DEL", "a\x00\x7f", `a\x00\x7f`},
		{"right to left", "a\u202eb\u2066c\u200fd", `a\u202eb\u2066c\u200fd`},
		{"zero width and BOM", "a\u200b\ufeff", `a\u200b\ufeff`},
		{"line separators", "\u2028\u2029\u0085", `\u2028\u2029\u0085`},
		{"spaces that are none", "a\u00a0\u3000", `a\u00a0\u3000`},
		{"piled marks", "e\u0301\u20dd", `e\u0301\u20dd`},
		{"quotes, backslashes, commas", `a"b\c,d`, `a\"b\\c\x2cd`},
		{"surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
		{"not UTF-8", "\xffa", `\xffa`},
		{"replacement character", "\ufffd", "\ufffd"},
		{"private use", "\ue000\U000f0000", `\ue000\U000f0000`},
		{"64", strings.Repeat("a", 64), strings.Repeat("a", 64)},
		{"65", strings.Repeat("a", 65), strings.Repeat("a", 64) + "..."},
		{"65 that are long", strings.Repeat("ü", 65), strings.Repeat("ü", 64) + "..."},
	} {
		if got := Printable(tc.text); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
