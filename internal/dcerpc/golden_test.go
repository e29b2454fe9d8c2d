package dcerpc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// service is the interface that the tests bind to.
var service = Syntax{UUID: MustUUID("51c82175-844e-4750-b0d8-ec255555bc06"), Version: 1}

// Syntaxes on the wire, written out by hand: fields 1 to 3 of the UUID
// little-endian, 4 and 5 as they are, the version as u16 major, u16 minor.
const (
	wireService  = "7521c851 4e84 5047 b0d8 ec255555bc06 0100 0000"
	wireNDR32    = "045d888a eb1c c911 9fe8 08002b104860 0200 0000"
	wireNDR64    = "33057171 babe 3749 8319 b5dbef9ccc36 0100 0000"
	wireFeatures = "2c1cb76c 1298 4045 0300000000000000 0100 0000"
	wireNoSyntax = "00000000 0000 0000 0000 000000000000 0000 0000"
)

var threeContexts = []Context{
	{ID: 0, Abstract: service, Transfer: []Syntax{NDR32}},
	{ID: 1, Abstract: service, Transfer: []Syntax{NDR64}},
	{ID: 2, Abstract: service, Transfer: []Syntax{FeatureNegotiation(3)}},
}

var rejectedTransfer = ContextResult{Result: ProviderRejection, Reason: ReasonTransferSyntax}

// appender is the shape that the contents of every PDU have.
type appender interface {
	Append(dst []byte, t PacketType, flags Flags, callID uint32) []byte
}

// golden has one PDU of every kind and form, as octets worked out from
// C706 12.6 and as values. size is what the layout's arithmetic gives.
var golden = []struct {
	name     string
	typ      PacketType
	flags    Flags
	callID   uint32
	size     int
	contents appender
	octets   string
}{
	{
		"bind, one context", TypeBind, 0x03, 2, 72,
		Bind{5840, 5840, 0, threeContexts[:1]},
		"05 00 0b 03 10000000 4800 0000 02000000" + // 72 octets, call 2
			"d016 d016 00000000 01 00 0000" + // 5840, 5840, new group, 1 context
			"0000 01 00" + wireService + wireNDR32,
	}, {
		"bind, two contexts, header signing", TypeBind, 0x07, 2, 116,
		Bind{5840, 5840, 0, threeContexts[:2]},
		"05 00 0b 07 10000000 7400 0000 02000000" +
			"d016 d016 00000000 02 00 0000" +
			"0000 01 00" + wireService + wireNDR32 +
			"0100 01 00" + wireService + wireNDR64,
	}, {
		"bind, three contexts, multiplexing", TypeBind, 0x13, 2, 160,
		Bind{5840, 5840, 0, threeContexts},
		"05 00 0b 13 10000000 a000 0000 02000000" +
			"d016 d016 00000000 03 00 0000" +
			"0000 01 00" + wireService + wireNDR32 +
			"0100 01 00" + wireService + wireNDR64 +
			"0200 01 00" + wireService + wireFeatures,
	}, {
		"bind, two syntaxes in one context", TypeBind, 0x03, 0x01020304, 92,
		Bind{1432, 4280, 0xcafe, []Context{{ID: 0x0a0b, Abstract: service, Transfer: []Syntax{NDR32, NDR64}}}},
		"05 00 0b 03 10000000 5c00 0000 04030201" +
			"9805 b810 feca0000 01 00 0000" +
			"0b0a 02 00" + wireService + wireNDR32 + wireNDR64,
	}, {
		"bind_ack of an older host", TypeBindAck, 0x13, 2, 108,
		BindAck{5840, 5840, 0x1063, "1688", []ContextResult{
			{Result: Acceptance, Transfer: NDR32},
			rejectedTransfer,
			{Result: NegotiateAck, Reason: 3},
		}},
		"05 00 0c 13 10000000 6c00 0000 02000000" +
			"d016 d016 63100000 0500 3136383800 00" + // "1688", NUL, 1 to align
			"03 00 0000" +
			"0000 0000" + wireNDR32 +
			"0200 0200" + wireNoSyntax +
			"0300 0300" + wireNoSyntax,
	}, {
		"bind_ack of a newer host, two contexts", TypeBindAck, 0x03, 2, 84,
		BindAck{5840, 5840, 0x1063, "1688", []ContextResult{
			rejectedTransfer,
			{Result: Acceptance, Transfer: NDR64},
		}},
		"05 00 0c 03 10000000 5400 0000 02000000" +
			"d016 d016 63100000 0500 3136383800 00" +
			"02 00 0000" +
			"0200 0200" + wireNoSyntax +
			"0000 0000" + wireNDR64,
	}, {
		"bind_ack, address that needs no alignment", TypeBindAck, 0x03, 2, 60,
		BindAck{1432, 1432, 1, "65535", []ContextResult{{Result: ProviderRejection, Reason: ReasonAbstractSyntax}}},
		"05 00 0c 03 10000000 3c00 0000 02000000" +
			"9805 9805 01000000 0600 363535333500" +
			"01 00 0000" +
			"0200 0100" + wireNoSyntax,
	}, {
		"bind_nak, version", TypeBindNak, 0x03, 2, 21,
		BindNak{NakProtocolVersion, [][2]uint8{{5, 0}}},
		"05 00 0d 03 10000000 1500 0000 02000000" + "0400 01 0500",
	}, {
		"bind_nak, two versions", TypeBindNak, 0x03, 2, 23,
		BindNak{NakAuthType, [][2]uint8{{5, 0}, {5, 1}}},
		"05 00 0d 03 10000000 1700 0000 02000000" + "0800 02 0500 0501",
	}, {
		"alter_context", TypeAlterContext, 0x03, 3, 72,
		Bind{5840, 5840, 0x1063, threeContexts[:1]},
		"05 00 0e 03 10000000 4800 0000 03000000" +
			"d016 d016 63100000 01 00 0000" +
			"0000 01 00" + wireService + wireNDR32,
	}, {
		"alter_context_resp", TypeAlterContextResp, 0x03, 3, 56,
		BindAck{5840, 5840, 0x1063, "", []ContextResult{{Result: Acceptance, Transfer: NDR32}}},
		"05 00 0f 03 10000000 3800 0000 03000000" +
			"d016 d016 63100000 0000 0000" + // no address, 2 to align
			"01 00 0000" +
			"0000 0000" + wireNDR32,
	}, {
		"request", TypeRequest, 0x03, 4, 28,
		Request{AllocHint: 4, ContextID: 1, Opnum: 0x0203, Stub: []byte{0xde, 0xad, 0xbe, 0xef}},
		"05 00 00 03 10000000 1c00 0000 04000000" + "04000000 0100 0302 deadbeef",
	}, {
		"request with an object", TypeRequest, 0x83, 4, 41,
		Request{AllocHint: 1, Object: &service.UUID, Stub: []byte{0x2a}},
		"05 00 00 83 10000000 2900 0000 04000000" + "01000000 0000 0000" +
			"7521c851 4e84 5047 b0d8 ec255555bc06" + "2a",
	}, {
		"response", TypeResponse, 0x03, 4, 27,
		Response{AllocHint: 3, ContextID: 1, CancelCount: 7, Stub: []byte{1, 2, 3}},
		"05 00 02 03 10000000 1b00 0000 04000000" + "03000000 0100 07 00 010203",
	}, {
		"fault", TypeFault, 0x23, 4, 32,
		Fault{ContextID: 1, Status: StatusServerTooBusy},
		"05 00 03 23 10000000 2000 0000 04000000" + "00000000 0100 00 00 1400011c 00000000",
	}, {
		"cancel", TypeCancel, 0x03, 4, 16, Control{}, "05 00 12 03 10000000 1000 0000 04000000",
	}, {
		"orphaned", TypeOrphaned, 0x03, 4, 16, Control{}, "05 00 13 03 10000000 1000 0000 04000000",
	}, {
		"shutdown", TypeShutdown, 0x03, 0, 16, Control{}, "05 00 11 03 10000000 1000 0000 00000000",
	},
}

// octets turns hexadecimal with spaces into octets.
func octets(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return b
}

// pdu makes a PDU of octets that hold exactly one.
func pdu(t testing.TB, b []byte) PDU {
	t.Helper()
	h, err := ParseHeader(b)
	if err != nil {
		t.Fatalf("ParseHeader(%x): %v", b, err)
	}
	if int(h.FragLength) != len(b) {
		t.Fatalf("frag_length %d of %d octets", h.FragLength, len(b))
	}
	return PDU{Header: h, Body: b[HeaderLen:]}
}

// parse reads p with the parser for its type.
func parse(p PDU) (appender, error) {
	switch p.Type {
	case TypeBind, TypeAlterContext:
		return ParseBind(p)
	case TypeBindAck, TypeAlterContextResp:
		return ParseBindAck(p)
	case TypeBindNak:
		return ParseBindNak(p)
	case TypeRequest:
		return ParseRequest(p)
	case TypeResponse:
		return ParseResponse(p)
	case TypeFault:
		return ParseFault(p)
	}
	return Control{}, nil
}

func TestAppendGolden(t *testing.T) {
	for _, tc := range golden {
		t.Run(tc.name, func(t *testing.T) {
			want := octets(t, tc.octets)
			if len(want) != tc.size {
				t.Fatalf("the golden octets are %d, want %d", len(want), tc.size)
			}
			if got := tc.contents.Append(nil, tc.typ, tc.flags, tc.callID); !bytes.Equal(got, want) {
				t.Errorf("Append\n got %x\nwant %x", got, want)
			}
			// Alignment and frag_length count from the PDU's start, not from
			// that of the slice.
			before := []byte{1, 2, 3}
			got := tc.contents.Append(bytes.Clone(before), tc.typ, tc.flags, tc.callID)
			if !bytes.Equal(got, append(before, want...)) {
				t.Errorf("Append after 3 octets\n got %x\nwant 010203%x", got, want)
			}
		})
	}
}

func TestParseGolden(t *testing.T) {
	for _, tc := range golden {
		t.Run(tc.name, func(t *testing.T) {
			p := pdu(t, octets(t, tc.octets))
			want := Header{Type: tc.typ, Flags: tc.flags, FragLength: uint16(tc.size), CallID: tc.callID}
			if p.Header != want {
				t.Errorf("header = %+v, want %+v", p.Header, want)
			}
			got, err := parse(p)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.contents) {
				t.Errorf("contents = %+v, want %+v", got, tc.contents)
			}
		})
	}
}

// TestObjectDecidesItsFlag: a flag without an object would make the receiver
// take 16 octets of stub for one.
func TestObjectDecidesItsFlag(t *testing.T) {
	b := Request{Stub: make([]byte, 16)}.Append(nil, TypeRequest, 0xff, 1)
	if got := Flags(b[offFlags]); got != 0xff&^FlagObject {
		t.Errorf("flags without an object = %#x", got)
	}
	b = Request{Object: &UUID{}}.Append(nil, TypeRequest, 0, 1)
	if got := Flags(b[offFlags]); got != FlagObject {
		t.Errorf("flags with an object = %#x", got)
	}
}

// TestEachParserRefusesOtherTypes gives every parser every golden PDU.
func TestEachParserRefusesOtherTypes(t *testing.T) {
	parsers := []struct {
		types []PacketType
		parse func(PDU) error
	}{
		{[]PacketType{TypeBind, TypeAlterContext}, func(p PDU) error { _, err := ParseBind(p); return err }},
		{[]PacketType{TypeBindAck, TypeAlterContextResp}, func(p PDU) error { _, err := ParseBindAck(p); return err }},
		{[]PacketType{TypeBindNak}, func(p PDU) error { _, err := ParseBindNak(p); return err }},
		{[]PacketType{TypeRequest}, func(p PDU) error { _, err := ParseRequest(p); return err }},
		{[]PacketType{TypeResponse}, func(p PDU) error { _, err := ParseResponse(p); return err }},
		{[]PacketType{TypeFault}, func(p PDU) error { _, err := ParseFault(p); return err }},
	}
	for _, parser := range parsers {
		for _, tc := range golden {
			err := parser.parse(pdu(t, octets(t, tc.octets)))
			mine := false
			for _, typ := range parser.types {
				mine = mine || typ == tc.typ
			}
			if mine != (err == nil) || (!mine && !errors.Is(err, ErrType)) {
				t.Errorf("parser of %v: %s: %v", parser.types[0], tc.name, err)
			}
		}
	}
}

// TestOversizedPanics: what cannot be expressed is never sent with a wrong
// length or count.
func TestOversizedPanics(t *testing.T) {
	for name, contents := range map[string]appender{
		"stub":      Response{Stub: make([]byte, 65536-24)},
		"contexts":  Bind{Contexts: make([]Context, 256)},
		"transfers": Bind{Contexts: []Context{{Transfer: make([]Syntax, 256)}}},
		"results":   BindAck{Results: make([]ContextResult, 256)},
		"address":   BindAck{SecondaryAddress: strings.Repeat("1", 65535)},
		"versions":  BindNak{Versions: make([][2]uint8, 256)},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			contents.Append(nil, TypeRequest, 0, 0)
		})
	}
	// One octet less is fine.
	if b := (Response{Stub: make([]byte, 65535-24)}).Append(nil, TypeResponse, 0, 0); len(b) != 65535 {
		t.Errorf("the longest response has %d octets", len(b))
	}
}
