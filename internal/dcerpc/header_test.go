package dcerpc

import (
	"errors"
	"testing"
)

func TestParseHeader(t *testing.T) {
	tests := []struct {
		name, octets string
		want         Header
		err          error
	}{
		{"request", "05 00 00 03 10000000 1800 0000 04000000", Header{TypeRequest, 0x03, 24, 0, 4}, nil},
		{"minor version 1", "05 01 00 03 10000000 1800 0000 04000000", Header{TypeRequest, 0x03, 24, 0, 4}, nil},
		{"header only", "05 00 12 03 10000000 1000 0000 ffffffff", Header{TypeCancel, 0x03, 16, 0, 0xffffffff}, nil},
		{"unknown type", "05 00 63 00 10000000 1000 0000 00000000", Header{99, 0, 16, 0, 0}, nil},
		{"reserved octets of the representation", "05 00 00 03 1000ffff 1000 0000 00000000", Header{TypeRequest, 0x03, 16, 0, 0}, nil},
		{"just room for the verifier", "05 00 0b 03 10000000 2800 1000 02000000", Header{TypeBind, 0x03, 40, 16, 2}, nil},
		{"the longest", "05 00 00 03 10000000 ffff e7ff 00000000", Header{TypeRequest, 0x03, 65535, 65511, 0}, nil},

		{"empty", "", Header{}, ErrTruncated},
		{"one octet short", "05 00 00 03 10000000 1800 0000 040000", Header{}, ErrTruncated},
		{"version 4", "04 00 0b 03 10000000 4800 0000 02000000", Header{Type: TypeBind, Flags: 0x03, CallID: 2}, ErrVersion},
		{"minor version 2", "05 02 0b 03 10000000 4800 0000 02000000", Header{Type: TypeBind, Flags: 0x03, CallID: 2}, ErrVersion},
		{"HTTP", "474554202f20485454502f312e310d0a", Header{Type: 'T', Flags: ' ', CallID: 0x0a0d312e}, ErrVersion},
		{"big-endian", "05 00 0b 03 00000000 0048 0000 00000002", Header{}, ErrRepresentation},
		{"EBCDIC", "05 00 0b 03 11000000 4800 0000 02000000", Header{}, ErrRepresentation},
		{"VAX floats", "05 00 0b 03 10010000 4800 0000 02000000", Header{}, ErrRepresentation},
		{"frag_length 0", "05 00 0b 03 10000000 0000 0000 02000000", Header{}, ErrLength},
		{"frag_length 15", "05 00 0b 03 10000000 0f00 0000 02000000", Header{}, ErrLength},
		{"no room for the security trailer", "05 00 0b 03 10000000 2700 1000 02000000", Header{}, ErrLength},
		{"auth_length beyond the fragment", "05 00 0b 03 10000000 4800 ffff 02000000", Header{}, ErrLength},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseHeader(octets(t, tc.octets))
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("ParseHeader = %+v, %v; want %+v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

// TestPacketTypes pins the numbers of C706 12.6.4 and [MS-RPCE] to their names.
func TestPacketTypes(t *testing.T) {
	want := [20]string{
		0: "request", 2: "response", 3: "fault", 11: "bind", 12: "bind_ack", 13: "bind_nak",
		14: "alter_context", 15: "alter_context_resp", 16: "auth3",
		17: "shutdown", 18: "cancel", 19: "orphaned",
		1: "type 1", 4: "type 4", 5: "type 5", 6: "type 6", 7: "type 7", 8: "type 8", 9: "type 9", 10: "type 10",
	}
	for n, name := range want {
		if got := PacketType(n).String(); got != name {
			t.Errorf("PacketType(%d) = %q, want %q", n, got, name)
		}
	}
}

func TestWords(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{StatusAccessDenied.String(), "0x00000005 access denied"},
		{StatusBadStubData.String(), "0x000006F7 bad stub data"},
		{Status(0x1c010002).String(), "0x1C010002 nca_op_rng_error: no such operation"},
		{Status(0x1c010003).String(), "0x1C010003 nca_unk_if: unknown interface"},
		{Status(0x1c01000b).String(), "0x1C01000B nca_proto_error: protocol error"},
		{Status(0x1c010014).String(), "0x1C010014 nca_server_too_busy: server too busy"},
		{Status(0xc0000005).String(), "0xC0000005"},
		{NakReason(0).String(), "reason not specified"},
		{NakReason(1).String(), "temporary congestion"},
		{NakReason(2).String(), "local limit exceeded"},
		{NakReason(4).String(), "protocol version not supported"},
		{NakReason(8).String(), "authentication type not recognized"},
		{NakReason(9).String(), "invalid checksum"},
		{NakReason(3).String(), "reason 3"},
		{ContextResult{Transfer: NDR32}.String(), "accepted with NDR32"},
		{ContextResult{Result: 1, Reason: 9}.String(), "rejected by the user, reason 9"},
		{ContextResult{Result: 2}.String(), "rejected: no reason given"},
		{ContextResult{Result: 2, Reason: 1}.String(), "rejected: abstract syntax not supported"},
		{ContextResult{Result: 2, Reason: 2}.String(), "rejected: proposed transfer syntaxes not supported"},
		{ContextResult{Result: 2, Reason: 3}.String(), "rejected: local limit exceeded"},
		{ContextResult{Result: 2, Reason: 4}.String(), "rejected: reason 4"},
		{ContextResult{Result: 3, Reason: 3}.String(), "features 0x3 agreed"},
		{ContextResult{Result: 4, Reason: 5}.String(), "result 4, reason 5"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}
