//go:build interop

package dcerpc

import (
	"slices"
	"strings"
	"testing"

	"github.com/coredns-kms/coredns-kms/test/pcap"
)

// fields are what is asked of Wireshark's dissector about every PDU. Where one
// occurs more than once in a PDU, its values are joined by commas.
var fields = []string{
	"pkt_type", "cn_flags", "cn_frag_len", "cn_auth_len", "cn_call_id", "cn_max_xmit", "cn_max_recv", "cn_assoc_group",
	"cn_num_ctx_items", "cn_ctx_id", "cn_bind_to_uuid", "cn_bind_if_ver", "cn_bind_if_ver_minor", "cn_bind_trans_id", "cn_bind_trans_ver", "cn_bind_trans_btfn",
	"cn_sec_addr", "cn_num_results", "cn_ack_result", "cn_ack_reason", "cn_ack_trans_id", "cn_ack_trans_ver",
	"cn_reject_reason", "cn_protocol_ver_major", "cn_protocol_ver_minor",
	"cn_alloc_hint", "opnum", "obj_id", "cn_cancel_count", "cn_status",
}

// message is one PDU and what the dissector must say about it: "field=value"
// for every field that the PDU has.
type message struct {
	fromServer bool
	octets     []byte
	want       string
}

const (
	fromClient = false
	fromServer = true

	textService = "51c82175-844e-4750-b0d8-ec255555bc06"
	textNDR32   = "8a885d04-1ceb-11c9-9fe8-08002b104860"
	textNDR64   = "71710533-beba-4937-8319-b5dbef9ccc36"
	textNone    = "00000000-0000-0000-0000-000000000000"
)

// conversations have every PDU that this package can emit, as they follow each
// other in life.
func conversations() [][]message {
	stub := []byte{1, 2, 3, 4, 5}
	binds := []message{
		{fromClient, Bind{5840, 5840, 0, threeContexts}.Append(nil, TypeBind, 0x13, 2),
			"pkt_type=11 cn_flags=0x13 cn_frag_len=160 cn_auth_len=0 cn_call_id=2 cn_max_xmit=5840 cn_max_recv=5840 cn_assoc_group=0x00000000" +
				" cn_num_ctx_items=3 cn_ctx_id=0,1,2 cn_bind_to_uuid=" + textService + "," + textService + "," + textService +
				" cn_bind_if_ver=1,1,1 cn_bind_if_ver_minor=0,0,0 cn_bind_trans_id=" + textNDR32 + "," + textNDR64 + ",6cb71c2c-9812-4540-0300-000000000000 cn_bind_trans_ver=2,1,1 cn_bind_trans_btfn=0x0003"},
		{fromServer, BindAck{5840, 5840, 0x1063, "1688", []ContextResult{rejectedTransfer, {Transfer: NDR64}, {Result: NegotiateAck, Reason: 3}}}.
			Append(nil, TypeBindAck, 0x13, 2),
			"pkt_type=12 cn_flags=0x13 cn_frag_len=108 cn_auth_len=0 cn_call_id=2 cn_max_xmit=5840 cn_max_recv=5840 cn_assoc_group=0x00001063" +
				" cn_bind_trans_btfn=0x0003 cn_sec_addr=1688 cn_num_results=3 cn_ack_result=2,0,3 cn_ack_reason=2" +
				" cn_ack_trans_id=" + textNone + "," + textNDR64 + "," + textNone + " cn_ack_trans_ver=0,1,0"},
		{fromClient, Bind{5840, 5840, 0x1063, threeContexts[:1]}.Append(nil, TypeAlterContext, 0x03, 3),
			"pkt_type=14 cn_flags=0x03 cn_frag_len=72 cn_auth_len=0 cn_call_id=3 cn_max_xmit=5840 cn_max_recv=5840 cn_assoc_group=0x00001063" +
				" cn_num_ctx_items=1 cn_ctx_id=0 cn_bind_to_uuid=" + textService + " cn_bind_if_ver=1 cn_bind_if_ver_minor=0 cn_bind_trans_id=" + textNDR32 + " cn_bind_trans_ver=2"},
		{fromServer, BindAck{5840, 5840, 0x1063, "", []ContextResult{{Transfer: NDR32}}}.Append(nil, TypeAlterContextResp, 0x03, 3),
			"pkt_type=15 cn_flags=0x03 cn_frag_len=56 cn_auth_len=0 cn_call_id=3 cn_max_xmit=5840 cn_max_recv=5840 cn_assoc_group=0x00001063" +
				" cn_num_results=1 cn_ack_result=0 cn_ack_trans_id=" + textNDR32 + " cn_ack_trans_ver=2"},
	}
	calls := []message{
		{fromClient, Request{5, 0, 0, nil, stub}.Append(nil, TypeRequest, 0x03, 4),
			"pkt_type=0 cn_flags=0x03 cn_frag_len=29 cn_auth_len=0 cn_call_id=4 cn_ctx_id=0 cn_alloc_hint=5 opnum=0"},
		{fromServer, Response{5, 0, 0, stub}.Append(nil, TypeResponse, 0x03, 4),
			"pkt_type=2 cn_flags=0x03 cn_frag_len=29 cn_auth_len=0 cn_call_id=4 cn_ctx_id=0 cn_alloc_hint=5 opnum=0 cn_cancel_count=0"},
		{fromClient, Request{5, 1, 7, &service.UUID, stub}.Append(nil, TypeRequest, 0x03, 5),
			"pkt_type=0 cn_flags=0x83 cn_frag_len=45 cn_auth_len=0 cn_call_id=5 cn_ctx_id=1 cn_alloc_hint=5 opnum=7 obj_id=" + textService},
		{fromServer, Fault{0, 1, 2, StatusOpRange}.Append(nil, TypeFault, 0x23, 5),
			"pkt_type=3 cn_flags=0x23 cn_frag_len=32 cn_auth_len=0 cn_call_id=5 cn_ctx_id=1 cn_alloc_hint=0 opnum=7 cn_cancel_count=2 cn_status=0x1c010002"},
		{fromClient, Request{10, 0, 0, nil, stub}.Append(nil, TypeRequest, 0x01, 6),
			"pkt_type=0 cn_flags=0x01 cn_frag_len=29 cn_auth_len=0 cn_call_id=6 cn_ctx_id=0 cn_alloc_hint=10 opnum=0"},
		{fromClient, Request{5, 0, 0, nil, stub}.Append(nil, TypeRequest, 0x02, 6),
			"pkt_type=0 cn_flags=0x02 cn_frag_len=29 cn_auth_len=0 cn_call_id=6 cn_ctx_id=0 cn_alloc_hint=5 opnum=0"},
		{fromServer, Response{10, 0, 0, stub}.Append(nil, TypeResponse, 0x01, 6),
			"pkt_type=2 cn_flags=0x01 cn_frag_len=29 cn_auth_len=0 cn_call_id=6 cn_ctx_id=0 cn_alloc_hint=10 opnum=0 cn_cancel_count=0"},
		{fromServer, Response{5, 0, 0, stub}.Append(nil, TypeResponse, 0x02, 6),
			"pkt_type=2 cn_flags=0x02 cn_frag_len=29 cn_auth_len=0 cn_call_id=6 cn_ctx_id=0 cn_alloc_hint=5 opnum=0 cn_cancel_count=0"},
	}
	notices := []message{
		{fromClient, Request{5, 0, 0, nil, stub}.Append(nil, TypeRequest, 0x43, 7),
			"pkt_type=0 cn_flags=0x43 cn_frag_len=29 cn_auth_len=0 cn_call_id=7 cn_ctx_id=0 cn_alloc_hint=5 opnum=0"},
		{fromClient, Control{}.Append(nil, TypeCancel, 0x03, 7), "pkt_type=18 cn_flags=0x03 cn_frag_len=16 cn_auth_len=0 cn_call_id=7"},
		{fromClient, Control{}.Append(nil, TypeOrphaned, 0x03, 7), "pkt_type=19 cn_flags=0x03 cn_frag_len=16 cn_auth_len=0 cn_call_id=7"},
		{fromServer, Control{}.Append(nil, TypeShutdown, 0x03, 0), "pkt_type=17 cn_flags=0x03 cn_frag_len=16 cn_auth_len=0 cn_call_id=0"},
	}
	return [][]message{append(append(binds, calls...), notices...), rejections(), naks(), faults()}
}

// oneContext is the bind with which the lesser conversations begin.
func oneContext() message {
	return message{fromClient, Bind{5840, 5840, 0, threeContexts[:1]}.Append(nil, TypeBind, 0x03, 2),
		"pkt_type=11 cn_flags=0x03 cn_frag_len=72 cn_auth_len=0 cn_call_id=2 cn_max_xmit=5840 cn_max_recv=5840 cn_assoc_group=0x00000000" +
			" cn_num_ctx_items=1 cn_ctx_id=0 cn_bind_to_uuid=" + textService + " cn_bind_if_ver=1 cn_bind_if_ver_minor=0 cn_bind_trans_id=" + textNDR32 + " cn_bind_trans_ver=2"}
}

// rejections have every other result of a context, and two syntaxes in one.
func rejections() []message {
	list := []Context{
		{0, Syntax{service.UUID, 0x00020001}, []Syntax{NDR32, NDR64}},
		{1, service, []Syntax{NDR32}}, {2, service, []Syntax{NDR32}},
	}
	return []message{
		{fromClient, Bind{4280, 2048, 0, list}.Append(nil, TypeBind, 0x07, 2),
			"pkt_type=11 cn_flags=0x07 cn_frag_len=180 cn_auth_len=0 cn_call_id=2 cn_max_xmit=4280 cn_max_recv=2048 cn_assoc_group=0x00000000" +
				" cn_num_ctx_items=3 cn_ctx_id=0,1,2 cn_bind_to_uuid=" + textService + "," + textService + "," + textService +
				" cn_bind_if_ver=1,1,1 cn_bind_if_ver_minor=2,0,0 cn_bind_trans_id=" + textNDR32 + "," + textNDR64 + "," + textNDR32 + "," + textNDR32 + " cn_bind_trans_ver=2,1,2,2"},
		{fromServer, BindAck{2048, 2048, 1, "65535", []ContextResult{{Result: 2, Reason: 1}, {Result: 1}, {Result: 2, Reason: 3}}}.Append(nil, TypeBindAck, 0x03, 2),
			"pkt_type=12 cn_flags=0x03 cn_frag_len=108 cn_auth_len=0 cn_call_id=2 cn_max_xmit=2048 cn_max_recv=2048 cn_assoc_group=0x00000001" +
				" cn_sec_addr=65535 cn_num_results=3 cn_ack_result=2,1,2 cn_ack_reason=1,0,3" +
				" cn_ack_trans_id=" + textNone + "," + textNone + "," + textNone + " cn_ack_trans_ver=0,0,0"},
	}
}

// naks are a bind refused for its version, tried again and refused for another
// reason, of which the dissector does not read the versions.
func naks() []message {
	return []message{
		oneContext(),
		{fromServer, BindNak{NakProtocolVersion, [][2]uint8{{5, 0}, {5, 1}}}.Append(nil, TypeBindNak, 0x03, 2),
			"pkt_type=13 cn_flags=0x03 cn_frag_len=23 cn_auth_len=0 cn_call_id=2 cn_reject_reason=4 cn_protocol_ver_major=5,5 cn_protocol_ver_minor=0,1"},
		oneContext(),
		{fromServer, BindNak{NakAuthType, [][2]uint8{{5, 0}}}.Append(nil, TypeBindNak, 0x03, 2),
			"pkt_type=13 cn_flags=0x03 cn_frag_len=21 cn_auth_len=0 cn_call_id=2 cn_reject_reason=8"},
	}
}

// faults have every status that has a name here.
func faults() []message {
	list := []message{oneContext(),
		{fromServer, BindAck{5840, 5840, 2, "1688", []ContextResult{{Transfer: NDR32}}}.Append(nil, TypeBindAck, 0x03, 2),
			"pkt_type=12 cn_flags=0x03 cn_frag_len=60 cn_auth_len=0 cn_call_id=2 cn_max_xmit=5840 cn_max_recv=5840 cn_assoc_group=0x00000002" +
				" cn_sec_addr=1688 cn_num_results=1 cn_ack_result=0 cn_ack_trans_id=" + textNDR32 + " cn_ack_trans_ver=2"}}
	for i, s := range []struct {
		status Status
		text   string
	}{
		{StatusAccessDenied, "0x00000005"}, {StatusBadStubData, "0x000006f7"}, {StatusUnknownIf, "0x1c010003"},
		{StatusProtoError, "0x1c01000b"}, {StatusServerTooBusy, "0x1c010014"},
	} {
		id := string(rune('3' + i))
		list = append(list,
			message{fromClient, Request{}.Append(nil, TypeRequest, 0x03, uint32(3+i)),
				"pkt_type=0 cn_flags=0x03 cn_frag_len=24 cn_auth_len=0 cn_call_id=" + id + " cn_ctx_id=0 cn_alloc_hint=0 opnum=0"},
			message{fromServer, Fault{Status: s.status}.Append(nil, TypeFault, 0x03, uint32(3+i)),
				"pkt_type=3 cn_flags=0x03 cn_frag_len=32 cn_auth_len=0 cn_call_id=" + id + " cn_ctx_id=0 cn_alloc_hint=0 opnum=0 cn_cancel_count=0 cn_status=" + s.text})
	}
	return list
}

// TestWiresharkReads: the dissector sees in each PDU what was put there.
func TestWiresharkReads(t *testing.T) {
	c, want := pcap.New(), []string(nil)
	for i, conversation := range conversations() {
		s := c.Open(uint16(50000 + i))
		for _, m := range conversation {
			s.Send(m.fromServer, m.octets)
			want = append(want, m.want)
		}
		s.Close()
	}
	args := []string{"-Y", "dcerpc", "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", "dcerpc."+f)
	}
	got := c.Read(t, args...)
	if len(got) != len(want) {
		t.Fatalf("%d PDUs dissected, %d sent", len(got), len(want))
	}
	for i, line := range got {
		var seen []string
		for n, value := range strings.Split(line, "|") {
			if value != "" {
				seen = append(seen, fields[n]+"="+value)
			}
		}
		if s := strings.Join(seen, " "); s != want[i] {
			t.Errorf("PDU %d\n got %s\nwant %s", i, s, want[i])
		}
	}
	// The two refused binds are worth a warning to Wireshark, as they should be.
	const refused = "Bind not acknowledged"
	if got := c.Complaints(t); !slices.Equal(got, []string{refused, refused}) {
		t.Errorf("Wireshark complains: %q; want only %q, twice", got, refused)
	}
}

// TestWiresharkWouldComplain: the silence above means something.
func TestWiresharkWouldComplain(t *testing.T) {
	c := pcap.New()
	s := c.Open(50000)
	broken := oneContext().octets
	broken[24] = 9 // contexts
	s.Send(fromClient, broken)
	if got := c.Complaints(t); len(got) == 0 {
		t.Error("nine contexts in the room of one, and no complaint")
	}
}
