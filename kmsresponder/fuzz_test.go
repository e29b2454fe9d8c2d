package kmsresponder

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
)

// script is a connection whose peer said everything at once and then left.
type script struct {
	net.Conn // nil: nothing else of a connection may be used
	said     *bytes.Reader
	heard    bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)       { return s.said.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return s.heard.Write(b) }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzConversation: whatever a client says, the server comes to an end and
// sends only whole PDUs of a server, at most one for each of the client's, in
// their order, under their call ids, none of them far longer than what it
// answers; and nothing after it has refused a bind.
func FuzzConversation(f *testing.F) {
	f.Fuzz(func(t *testing.T, said []byte, ndr64 bool) {
		conn := &script{said: bytes.NewReader(said)}
		converse(t.Context(), conn, time.Hour, time.Hour, &conversation{
			iface: (&Rehearsal{NDR64: ndr64}).iface(),
			port:  "1688",
			group: 1,
			call:  (&Rehearsal{}).caller(&net.TCPAddr{}),
			calls: dcerpc.Assembler{Max: maxStub},
		})

		calls := dcerpc.NewReader(bytes.NewReader(said), 0)
		answers := dcerpc.NewReader(bytes.NewReader(conn.heard.Bytes()), 0)
		refused := false
		for {
			answer, err := answers.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("answers %x: %v", conn.heard.Bytes(), err)
			}
			if refused {
				t.Fatalf("%v after bind_nak", answer.Type)
			}
			refused = answer.Type == dcerpc.TypeBindNak
			checkAnswer(t, calls, answer)
		}
	})
}

// checkAnswer takes PDUs from calls up to the one that answer answers.
func checkAnswer(t *testing.T, calls *dcerpc.Reader, answer dcerpc.PDU) {
	for {
		call, err := calls.Next()
		if call.CallID == answer.CallID && answers(call.Type, answer) {
			if answer.FragLength > call.FragLength+64 && err == nil {
				t.Fatalf("%v of %d octets for %v of %d", answer.Type, answer.FragLength, call.Type, call.FragLength)
			}
			return
		}
		if err != nil {
			t.Fatalf("%v %d answers nothing", answer.Type, answer.CallID)
		}
	}
}

// answers reports whether answer is well formed and one that a call of type t
// may have.
func answers(t dcerpc.PacketType, answer dcerpc.PDU) bool {
	var err error
	switch answer.Type {
	case dcerpc.TypeBindAck:
		_, err = dcerpc.ParseBindAck(answer)
		return err == nil && t == dcerpc.TypeBind
	case dcerpc.TypeBindNak:
		_, err = dcerpc.ParseBindNak(answer)
		return err == nil && t == dcerpc.TypeBind
	case dcerpc.TypeAlterContextResp:
		_, err = dcerpc.ParseBindAck(answer)
		return err == nil && t == dcerpc.TypeAlterContext
	case dcerpc.TypeResponse:
		_, err = dcerpc.ParseResponse(answer)
		return err == nil && t == dcerpc.TypeRequest
	case dcerpc.TypeFault:
		_, err = dcerpc.ParseFault(answer)
		return err == nil && (t == dcerpc.TypeRequest || t == dcerpc.TypeAlterContext)
	}
	return false
}
