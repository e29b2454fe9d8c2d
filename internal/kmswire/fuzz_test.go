package kmswire

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// FuzzRequest: a request that can be read becomes the same octets again.
func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := ParseRequestV4(message)
		if err != nil {
			return
		}
		if got := r.Append(nil); string(got) != string(message[:RequestV4Len]) {
			t.Errorf("\n%x becomes\n%x", message, got)
		}
		checkPrintable(t, r.MachineName)
		_ = r.ClientTime.Time().String()
	})
}

// FuzzResponse: a response that can be read says the same after it was written
// and read again. Only a host id may lose its end, if it fills its field, and
// with it the NULs that then stand at its end.
func FuzzResponse(f *testing.F) {
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := ParseResponseV4(message)
		if err != nil {
			return
		}
		again, err := ParseResponseV4(r.Append(nil))
		if lost, ok := strings.CutPrefix(r.HostID, again.HostID); ok && lost != "" {
			nuls := len(lost) - len(strings.TrimLeft(lost, "\x00"))
			if len(utf16.Encode([]rune(again.HostID)))+nuls >= maxHostID/2-2 {
				r.HostID = again.HostID
			}
		}
		if err != nil || again != r {
			t.Errorf("%+v becomes %+v, %v", r, again, err)
		}
		checkPrintable(t, r.HostID)
	})
}

// FuzzStub: what can be read of a stub says the same after it was written and
// read again, and is a part of the stub.
func FuzzStub(f *testing.F) {
	f.Fuzz(func(t *testing.T, stub []byte, ndr64 bool) {
		if m, err := ParseRequestStub(stub, ndr64); err == nil {
			again, err := ParseRequestStub(AppendRequestStub(nil, m, ndr64), ndr64)
			if err != nil || string(again) != string(m) || len(m) > min(MaxMessage, len(stub)) {
				t.Errorf("request %x becomes %x, %v", m, again, err)
			}
		}
		if m, hr, err := ParseResponseStub(stub, ndr64); err == nil {
			again, code, err := ParseResponseStub(AppendResponseStub(nil, m, hr, ndr64), ndr64)
			if err != nil || code != hr || string(again) != string(m) || len(m) > min(MaxMessage, len(stub)) {
				t.Errorf("response %x %v becomes %x %v, %v", m, hr, again, code, err)
			}
		}
	})
}

// FuzzPrintable: whatever the text, the result is harmless, and what is harmless
// stays as it is.
func FuzzPrintable(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		checkPrintable(t, text)
		if name := unescaped.FindString(text); Printable(name) != name {
			t.Errorf("%q becomes %q", name, Printable(name))
		}
	})
}

var unescaped = regexp.MustCompile(`[A-Za-z0-9._ -]{0,64}`)

func checkPrintable(t *testing.T, text string) {
	got := Printable(text)
	if len(got) > printableMax*len(`\U0010ffff`)+len("...") || !utf8.ValidString(got) || strings.ContainsRune(got, ',') {
		t.Errorf("%q becomes %q", text, got)
	}
	for _, r := range got {
		if !unicode.IsPrint(r) || unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
			t.Errorf("%q becomes %q, which has %U", text, got, r)
		}
	}
}
