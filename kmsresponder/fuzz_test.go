package kmsresponder

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/dcerpc"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
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

// FuzzConversation: whatever a client says, the server comes to an end, and has
// sent what the model of the protocol has due for it, and nothing else; none of it
// far longer than what it answers.
func FuzzConversation(f *testing.F) {
	f.Fuzz(func(t *testing.T, said []byte, ndr64 bool) {
		conn := &script{said: bytes.NewReader(said)}
		model := rpcModel{prefers: []dcerpc.Syntax{dcerpc.NDR32}}
		if ndr64 {
			model.prefers = []dcerpc.Syntax{dcerpc.NDR64, dcerpc.NDR32}
		}
		converse(t.Context(), conn, time.Hour, time.Hour, &conversation{
			iface: (&Rehearsal{NDR64: ndr64}).iface(),
			port:  "1688",
			group: 1,
			call:  (&Rehearsal{}).caller(&net.TCPAddr{}),
			calls: dcerpc.Assembler{Max: maxStub},
		})

		if heard, most := conn.heard.Len(), 2*len(said)+64; heard > most {
			t.Fatalf("%d octets are answered to %d", heard, len(said))
		}
		answers := dcerpc.NewReader(bytes.NewReader(conn.heard.Bytes()), 0)
		for _, d := range model.hear(said) {
			p, err := answers.Next()
			if err != nil {
				t.Fatalf("%v of call %d was not answered: %v", d.kind, d.call, err)
			}
			if d.kind != dcerpc.TypeRequest {
				err = d.check(p)
			} else {
				err = d.taken(p)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if p, err := answers.Next(); err != io.EOF {
			t.Fatalf("%+v, %v, where nothing was due", p.Header, err)
		}
	})
}

// taken compares an answer to the call d with what a host may say: whatever its
// HRESULT, it is of that call.
func (d due) taken(p dcerpc.PDU) error {
	got, err := dcerpc.ParseResponse(p)
	if err != nil || p.CallID != d.call || p.Flags != whole || got.ContextID != d.context {
		return fmt.Errorf("%+v, %v, want the response of call %d in context %d", p.Header, err, d.call, d.context)
	}
	response, hr, err := kmswire.ParseResponseStub(got.Stub, d.ndr64)
	if err != nil || (hr == kmswire.OK) != (len(response) > 0) || len(got.Stub) > len(d.message)+96 {
		return fmt.Errorf("%d octets with %v, %v, for a message of %d", len(response), hr, err, len(d.message))
	}
	return nil
}
