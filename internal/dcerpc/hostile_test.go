package dcerpc

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// TestParseHostile has bodies that contradict themselves.
func TestParseHostile(t *testing.T) {
	const bindHead = "d016 d016 00000000 "
	tests := []struct {
		name string
		typ  PacketType
		body string
		err  error
	}{
		{"bind: empty", TypeBind, "", ErrTruncated},
		{"bind: no count", TypeBind, bindHead, ErrTruncated},
		{"bind: count without contexts", TypeBind, bindHead + "01 00 0000", ErrTruncated},
		{"bind: second context missing", TypeBind, bindHead + "02 00 0000" + "0000 01 00" + wireService + wireNDR32, ErrTruncated},
		{"bind: second context taken up by the first", TypeBind,
			bindHead + "02 00 0000" + "0000 02 00" + wireService + wireNDR32 + wireNDR64, ErrTruncated},
		{"bind: syntax cut short", TypeBind, bindHead + "01 00 0000" + "0000 01 00" + wireService + wireNDR32[:len(wireNDR32)-2], ErrTruncated},
		{"bind: syntaxes overflow", TypeBind, bindHead + "01 00 0000" + "0000 08 00" + wireService + wireNDR32, ErrTruncated},
		{"bind: too many syntaxes", TypeBind,
			bindHead + "01 00 0000" + "0000 09 00" + wireService + strings.Repeat(wireNDR32, 9), ErrTooMany},
		{"bind: 255 contexts announced", TypeBind, bindHead + "ff 00 0000", ErrTooMany},
		{"alter_context: 17 contexts present", TypeAlterContext,
			bindHead + "11 00 0000" + strings.Repeat("0000 01 00"+wireService+wireNDR32, 17), ErrTooMany},

		{"bind_ack: empty", TypeBindAck, "", ErrTruncated},
		{"bind_ack: no address", TypeBindAck, bindHead + "05", ErrTruncated},
		{"bind_ack: address overflows", TypeBindAck, bindHead + "ff00 31363838", ErrTruncated},
		{"bind_ack: address too long", TypeBindAck, bindHead + "0101" + strings.Repeat("31", 300), ErrTooLong},
		{"bind_ack: 64 KiB address announced", TypeBindAck, bindHead + "ffff", ErrTooLong},
		{"bind_ack: ends with the address", TypeBindAck, bindHead + "0500 3136383800 00", ErrTruncated},
		{"bind_ack: results missing", TypeBindAck, bindHead + "0500 3136383800 00 02 00 0000" + "0000 0000" + wireNDR32, ErrTruncated},
		{"alter_context_resp: too many results", TypeAlterContextResp, bindHead + "0000 0000 11 00 0000" +
			strings.Repeat("0000 0000"+wireNDR32, 17), ErrTooMany},

		{"bind_nak: empty", TypeBindNak, "", ErrTruncated},
		{"bind_nak: half a reason", TypeBindNak, "04", ErrTruncated},
		{"bind_nak: versions missing", TypeBindNak, "0400 02 0500 05", ErrTruncated},

		{"request: empty", TypeRequest, "", ErrTruncated},
		{"request: no opnum", TypeRequest, "00000000 0000 00", ErrTruncated},
		{"response: short", TypeResponse, "00000000 0000 00", ErrTruncated},
		{"fault: no status", TypeFault, "00000000 0000 00 00 140001", ErrTruncated},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(PDU{Header{Type: tc.typ}, octets(t, tc.body)})
			if !errors.Is(err, tc.err) {
				t.Errorf("%+v, %v; want %v", got, err, tc.err)
			}
		})
	}
}

// TestParseTolerates has PDUs that other implementations send and that must not
// be refused.
func TestParseTolerates(t *testing.T) {
	const head = "d016 d016 01000000 "
	ndr32 := []ContextResult{{Transfer: NDR32}}
	tests := []struct {
		name  string
		typ   PacketType
		flags Flags
		body  string
		want  appender
	}{
		{"octets after the contexts", TypeBind, 3, head + "01 00 0000" + "0000 01 00" + wireService + wireNDR32 + "ffff",
			Bind{5840, 5840, 1, threeContexts[:1]}},
		{"the most contexts and syntaxes", TypeBind, 3, head + "10 00 0000" +
			strings.Repeat("0000 08 00"+wireService+strings.Repeat(wireNDR32, 8), 16),
			Bind{5840, 5840, 1, repeat(Context{0, service, repeat(NDR32, 8)}, 16)}},
		{"no contexts", TypeBind, 3, head + "00 00 0000", Bind{5840, 5840, 1, []Context{}}},
		{"context without syntaxes", TypeBind, 3, head + "01 00 0000" + "0700 00 00" + wireService,
			Bind{5840, 5840, 1, []Context{{7, service, []Syntax{}}}}},
		{"reserved octets that are not zero", TypeBind, 3, head + "01 ff ffff" + "0000 01 ff" + wireService + wireNDR32,
			Bind{5840, 5840, 1, threeContexts[:1]}},
		{"address that is only a NUL", TypeAlterContextResp, 3, head + "0100 00 00 01 00 0000" + "0000 0000" + wireNDR32,
			BindAck{5840, 5840, 1, "", ndr32}},
		{"address without NUL", TypeBindAck, 3, head + "0400 31363838 0000 01 00 0000" + "0000 0000" + wireNDR32,
			BindAck{5840, 5840, 1, "1688", ndr32}},
		{"octets after the NUL", TypeBindAck, 3, head + "0600 313638380039 01 00 0000" + "0000 0000" + wireNDR32,
			BindAck{5840, 5840, 1, "1688", ndr32}},
		{"longest address", TypeBindAck, 3, head + "0001" + strings.Repeat("31", 255) + "00 0000 00 00 0000",
			BindAck{5840, 5840, 1, strings.Repeat("1", 255), []ContextResult{}}},
		{"bind_nak without versions", TypeBindNak, 3, "0800", BindNak{Reason: NakAuthType}},
		{"bind_nak with extended error information", TypeBindNak, 3, "0200 01 0500 000000" + wireNDR32,
			BindNak{NakLocalLimit, [][2]uint8{{5, 0}}}},
		{"request without stub", TypeRequest, 3, "00000000 0000 0000", Request{Stub: []byte{}}},
		{"fault without its last field", TypeFault, 0x23, "00000000 0000 00 00 1400011c", Fault{Status: StatusServerTooBusy}},
		{"fault with extended error information", TypeFault, 3, "00000000 0000 00 01 05000000 00000000 ffff", Fault{Status: StatusAccessDenied}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(PDU{Header{Type: tc.typ, Flags: tc.flags}, octets(t, tc.body)})
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

// TestObjectMustFit: the flag promises 16 octets, the body has 15.
func TestObjectMustFit(t *testing.T) {
	p := PDU{Header{Type: TypeRequest, Flags: FlagObject}, make([]byte, 8+15)}
	if r, err := ParseRequest(p); !errors.Is(err, ErrTruncated) {
		t.Errorf("ParseRequest = %+v, %v", r, err)
	}
}

func repeat[T any](v T, n int) []T {
	var s []T
	for range n {
		s = append(s, v)
	}
	return s
}

// TestVerifier: a verifier is never taken for contents, whatever it claims.
func TestVerifier(t *testing.T) {
	call := "00000000 0000 0000 aabbccdd"
	trailer := func(pad string) string { return "0a 02 " + pad + " 00 00000000" }
	tests := []struct {
		name string
		auth uint16
		body string
		stub string
		err  error
	}{
		{"no padding", 2, call + trailer("00") + "eeff", "aabbccdd", nil},
		{"padding", 2, call + trailer("02") + "eeff", "aabb", nil},
		{"padding is the whole stub", 2, call + trailer("04") + "eeff", "", nil},
		{"padding reaches into the fixed part", 2, call + trailer("05") + "eeff", "", ErrTruncated},
		{"padding beyond the contents", 2, call + trailer("0d") + "eeff", "", ErrLength},
		{"nothing but the verifier", 2, trailer("00") + "eeff", "", ErrTruncated},
		{"auth_length of all there is", 20, call + trailer("00") + "eeff", "", ErrLength},
		{"auth_length beyond the body", 0xffff, call + trailer("00") + "eeff", "", ErrLength},
		{"no body", 1, "", "", ErrLength},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			body := octets(t, tc.body)
			request, err := ParseRequest(PDU{Header{Type: TypeRequest, AuthLength: tc.auth}, body})
			if !errors.Is(err, tc.err) || !bytes.Equal(request.Stub, octets(t, tc.stub)) {
				t.Errorf("request: stub %x, %v; want %s, %v", request.Stub, err, tc.stub, tc.err)
			}
			response, err := ParseResponse(PDU{Header{Type: TypeResponse, AuthLength: tc.auth}, body})
			if !errors.Is(err, tc.err) || !bytes.Equal(response.Stub, octets(t, tc.stub)) {
				t.Errorf("response: stub %x, %v; want %s, %v", response.Stub, err, tc.stub, tc.err)
			}
		})
	}
}

// TestVerifierIsNoContext: a count may not reach into the verifier either.
func TestVerifierIsNoContext(t *testing.T) {
	body := octets(t, "d016 d016 00000000 01 00 0000"+"0000 01 00"+wireService+wireNDR32[:36])
	body = append(body, octets(t, "0a 02 00 00 00000000 ffffffff")...)
	if b, err := ParseBind(PDU{Header{Type: TypeBind, AuthLength: 4}, body}); !errors.Is(err, ErrTruncated) {
		t.Errorf("ParseBind = %+v, %v", b, err)
	}
	// The same with all of the context there is a good bind.
	body = octets(t, "d016 d016 00000000 01 00 0000"+"0000 01 00"+wireService+wireNDR32+"0a 02 00 00 00000000 ffffffff")
	b, err := ParseBind(PDU{Header{Type: TypeBind, AuthLength: 4}, body})
	if err != nil || !reflect.DeepEqual(b.Contexts, threeContexts[:1]) {
		t.Errorf("ParseBind = %+v, %v", b, err)
	}
}
