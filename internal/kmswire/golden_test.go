package kmswire

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// octets makes octets of hexadecimal text with blanks in it.
func octets(t testing.TB, text ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(strings.Join(text, "")))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// at is a field at its published offset.
type at struct {
	offset int
	field  string
}

// layout makes a message of n octets of fields, all else 0.
func layout(t testing.TB, n int, fields ...at) []byte {
	t.Helper()
	message := make([]byte, n)
	for _, f := range fields {
		copy(message[f.offset:], octets(t, f.field))
	}
	return message
}

const trailerText = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"

// requestOctets has every field at the offset at which the "Volume Activation
// 2.0 Operations Guide" has it, written by hand.
func requestOctets(t testing.TB) []byte {
	return layout(t, 252,
		at{0, "0000 0400"},
		at{4, "01000000"},
		at{8, "02000000"},
		at{12, "20a30000"},
		at{16, "3427c955 82d6 714d 983e d6ec3f16059f"},
		at{32, "03020100 0504 0706 0809 0a0b0c0d0e0f"},
		at{48, "13121110 1514 1716 1819 1a1b1c1d1e1f"},
		at{64, "23222120 2524 2726 2829 2a2b2c2d2e2f"},
		at{80, "19000000"},
		at{84, "00803ed5deb19d01"}, // 116444736000000000: 1970
		at{92, "33323130 3534 3736 3839 3a3b3c3d3e3f"},
		at{108, "50004300 2d00 dc00 3dd8 00de"},
		at{236, trailerText},
	)
}

// request is what requestOctets says.
func request(t testing.TB) RequestV4 {
	return RequestV4{
		ClientVM:      1,
		LicenseStatus: 2,
		Expiration:    41760,
		AppID:         Windows,
		ActID:         MustGUID("00010203-0405-0607-0809-0a0b0c0d0e0f"),
		KMSID:         MustGUID("10111213-1415-1617-1819-1a1b1c1d1e1f"),
		CMID:          MustGUID("20212223-2425-2627-2829-2a2b2c2d2e2f"),
		Required:      25,
		ClientTime:    FiletimeOf(time.Unix(0, 0)),
		PreviousCMID:  MustGUID("30313233-3435-3637-3839-3a3b3c3d3e3f"),
		MachineName:   "PC-Ü\U0001f600",
		Trailer:       [16]byte(octets(t, trailerText)),
	}
}

func TestRequestOnTheWire(t *testing.T) {
	wire, want := requestOctets(t), request(t)
	got, err := ParseRequestV4(wire)
	if err != nil || got != want {
		t.Errorf("parsed\n%+v, %v\nwant\n%+v", got, err, want)
	}
	if b := want.Append([]byte("before")); string(b) != "before"+string(wire) {
		t.Errorf("appended\n%x\nwant\n%x", b[6:], wire)
	}
}

// responseOctets has a host id of 98 octets, the length that is usual.
func responseOctets(t testing.TB) []byte {
	id := make([]byte, 98)
	for i := range 48 {
		id[2*i] = 'x'
	}
	b := octets(t, "0000 0400", "62000000")
	b = append(b, id...)
	return append(b, octets(t, "23222120 2524 2726 2829 2a2b2c2d2e2f", "00803ed5deb19d01",
		"0c000000", "78000000", "60270000", trailerText)...)
}

func response(t testing.TB) ResponseV4 {
	return ResponseV4{
		HostID:             strings.Repeat("x", 48),
		CMID:               request(t).CMID,
		ClientTime:         request(t).ClientTime,
		Count:              12,
		ActivationInterval: 120,
		RenewalInterval:    10080,
		Trailer:            request(t).Trailer,
	}
}

func TestResponseOnTheWire(t *testing.T) {
	wire, want := responseOctets(t), response(t)
	if len(wire) != 158 {
		t.Fatalf("the golden response has %d octets, want 158", len(wire))
	}
	got, err := ParseResponseV4(wire)
	if err != nil || got != want {
		t.Errorf("parsed\n%+v, %v\nwant\n%+v", got, err, want)
	}
	if b := response(t).Append([]byte("before")); len(b) != 6+158 || string(b[6+8:]) != string(wire[8:]) {
		t.Errorf("appended\n%x\nwant\n%x", b[6:], wire)
	}
}

// TestStubsOnTheWire compares stubs with octets worked out from C706 chapter 14
// and [MS-RPCE] 2.2.5.
func TestStubsOnTheWire(t *testing.T) {
	message := octets(t, "0102030405")
	tests := []struct {
		name  string
		ndr64 bool
		got   []byte
		want  string
	}{
		{"request", false, AppendRequestStub(nil, message, false), "05000000 05000000 0102030405"},
		{"request", true, AppendRequestStub(nil, message, true), "05000000 00000000 0500000000000000 0102030405"},
		{"response", false, AppendResponseStub(nil, message, OK, false),
			"05000000 00000200 05000000 0102030405 000000 00000000"},
		{"response", true, AppendResponseStub(nil, message, OK, true),
			"05000000 00000000 0000020000000000 0500000000000000 0102030405 000000 00000000"},
		{"error", false, AppendResponseStub(nil, nil, HostUnusable, false), "00000000 00000000 42f004c0"},
		{"error", true, AppendResponseStub(nil, nil, HostUnusable, true), "00000000 00000000 0000000000000000 42f004c0"},
	}
	for _, tc := range tests {
		if want := octets(t, tc.want); string(tc.got) != string(want) {
			t.Errorf("%s, NDR64 %v: %x, want %x", tc.name, tc.ndr64, tc.got, want)
		}
	}
}

// TestSizes: the sizes that are seen on networks, of whole PDUs with their 24
// octets before the stub.
func TestSizes(t *testing.T) {
	const head = 24
	v4, v6, answer := requestOctets(t), make([]byte, 260), responseOctets(t)
	sizes := []struct {
		what       string
		stub       []byte
		ndr64      bool
		wantOctets int
	}{
		{"v4 request", AppendRequestStub(nil, v4, false), false, 284},
		{"v4 request", AppendRequestStub(nil, v4, true), true, 292},
		{"v6 request", AppendRequestStub(nil, v6, false), false, 292},
		{"v6 request", AppendRequestStub(nil, v6, true), true, 300},
		{"v4 response", AppendResponseStub(nil, answer, OK, false), false, 200},
		{"v4 response", AppendResponseStub(nil, answer, OK, true), true, 212},
		{"error", AppendResponseStub(nil, nil, InvalidData, false), false, 36},
		{"error", AppendResponseStub(nil, nil, InvalidData, true), true, 44},
	}
	for _, s := range sizes {
		if got := head + len(s.stub); got != s.wantOctets {
			t.Errorf("%s, NDR64 %v: %d octets, want %d", s.what, s.ndr64, got, s.wantOctets)
		}
	}
}

// TestStubsStandAnywhere: alignment is from the start of the stub, whatever is
// in front of it in the slice.
func TestStubsStandAnywhere(t *testing.T) {
	for _, ndr64 := range []bool{false, true} {
		alone := AppendResponseStub(nil, []byte("odd"), OK, ndr64)
		behind := AppendResponseStub([]byte("x"), []byte("odd"), OK, ndr64)
		if string(behind[1:]) != string(alone) {
			t.Errorf("NDR64 %v: %x, want %x", ndr64, behind[1:], alone)
		}
	}
}

// TestFiletime has dates that other sources give too.
func TestFiletime(t *testing.T) {
	for units, want := range map[Filetime]time.Time{
		0:                  time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC),
		116444736000000000: time.Unix(0, 0),
		128166372000000000: time.Date(2007, 2, 22, 17, 0, 0, 0, time.UTC),
		1:                  time.Date(1601, 1, 1, 0, 0, 0, 100, time.UTC),
	} {
		if got := units.Time(); !got.Equal(want) {
			t.Errorf("%d is %v, want %v", units, got, want)
		}
		if got := FiletimeOf(want.Add(99)); got != units {
			t.Errorf("%v is %d, want %d", want, got, units)
		}
	}
	if got := FiletimeOf(time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)); got != 0 {
		t.Errorf("before 1601: %d, want 0", got)
	}
	if got := Filetime(1<<64 - 1).Time().Year(); got != 60056 {
		t.Errorf("the last time is in %d, want 60056", got)
	}
	last := Filetime(1<<64 - 1)
	if got := FiletimeOf(last.Time()); got != last {
		t.Errorf("the last time becomes %d", got)
	}
}

func TestVersion(t *testing.T) {
	v := Version{Major: 0x0102, Minor: 0x0304}
	if got := v.Append(nil); string(got) != "\x04\x03\x02\x01" {
		t.Errorf("appended %x", got)
	}
	got, err := ParseVersion([]byte("\x04\x03\x02\x01and more"))
	if err != nil || got != v || v.String() != "258.772" {
		t.Errorf("parsed %v, %v", got, err)
	}
	for v, want := range map[Version]bool{V4: true, V5: true, V6: true, {7, 0}: false, {4, 1}: false, {0, 4}: false} {
		if v.Known() != want {
			t.Errorf("%v: known %v", v, v.Known())
		}
	}
	if minor := binary.LittleEndian.Uint16(requestOctets(t)); minor != 0 {
		t.Errorf("golden minor %d", minor)
	}
}

func TestWords(t *testing.T) {
	for _, tc := range [][2]string{
		{OK.String(), "0x00000000 answered"},
		{HostUnusable.String(), "0xC004F042 host has no key for that product"},
		{HRESULT(0x80070005).String(), "0x80070005"},
		{LicenseStatusWord(0), "unlicensed"},
		{LicenseStatusWord(6), "extended grace"},
		{LicenseStatusWord(7), "status 7"},
		{LicenseStatusWord(1<<32 - 1), "status 4294967295"},
	} {
		if tc[0] != tc[1] {
			t.Errorf("%q, want %q", tc[0], tc[1])
		}
	}
	for _, h := range []HRESULT{InvalidData, NotActivated, NotEnabled, ClockSkew, NotEnoughCount, NoHost, NoSuffix, NoRecord} {
		if h.words() == "" {
			t.Errorf("%v has no words", h)
		}
	}
}
