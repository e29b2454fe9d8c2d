package kmsresponder

import (
	"bytes"
	"net/netip"
	"sync/atomic"
	"time"
)

// What holds of a visitor while a worker has it. 0 is that none does.
const (
	away   = 1 << iota // a worker has it
	sought             // and the loop is to have it back: something happened meanwhile
	hungUp             // such as the end of the client's side
)

// visitor is a client's connection in a loop. Either the loop has it or one
// worker, which answers a call; state says who, and the other may touch nothing
// but that. Only the loop closes it.
type visitor struct {
	tap
	at    key
	state atomic.Uint32

	from  netip.Addr
	guest *guest
	set   *settings // when it came
	talk  conversation
	desk  *desk // nil while nothing is half received
	asked question
	call  *gatewayCall // nil between calls
	line  *line        // on which the answer to its call is to come; nil if that is with a worker

	by   time.Time // when it is given up if nothing happens
	rest []byte    // of an answer that did not fit into the system's buffer

	events uint32 // that are told; 0 until it is watched
	lost   bool   // they are not, and cannot be

	waits  bool // it is among those to be gone on with later
	open   bool // something was received, and nothing sent since
	used   bool // a call of it was answered, or is being
	broken bool // nothing can be sent any more
	ending bool // it is hung up on once the answer is sent
	linger int  // it was hung up on: octets that may still be read
}

// Read implements io.Reader.
func (v *visitor) Read(b []byte) (int, error) {
	n, err := v.tap.Read(b)
	v.open = v.open || n > 0
	return n, err
}

// send sends out, and keeps what the system does not take.
func (v *visitor) send(out []byte) error {
	v.open = false
	n, err := v.write(out)
	v.rest = nil
	if n < len(out) {
		v.rest = bytes.Clone(out[n:])
	}
	return err
}

// clear gives the buffers back if nothing is in them.
func (v *visitor) clear() {
	if v.desk != nil && v.desk.in.Buffered() == 0 {
		v.desk.clear()
		v.desk = nil
	}
}
