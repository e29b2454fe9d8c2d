package kmsresponder

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// What holds of a visitor while somebody else than the loop has it.
const (
	away   = 1 << iota // a worker has it
	sought             // and the loop is to have it back: something happened meanwhile
	hungUp             // such as the end of the client's side
)

// visitor is a client's connection in a loop. Either the loop has it or one
// worker, which answers a call; state says who, and nothing else of it may be
// touched by the other. Only the loop closes it.
type visitor struct {
	fd    int
	at    key
	state atomic.Uint32

	from  netip.Addr
	guest *guest
	set   *settings // when it came
	talk  conversation
	desk  *desk // nil while nothing is half received
	call  question

	by   time.Time // when it is given up if nothing happens
	rest []byte    // of an answer that did not fit into the system's buffer

	dry    bool // there is nothing to read until an event says so
	hup    bool // the client's side has ended, behind what is to be read
	open   bool // something was received, and nothing sent since
	used   bool // a call of it was answered, or is being
	broken bool // nothing can be sent any more
	ending bool // it is hung up on once the answer is sent
	linger int  // it was hung up on: octets that may still be read
}

// errDry is what a visitor's Read returns if there is nothing.
var errDry = errors.New("nothing to be read yet")

// Read implements io.Reader without ever waiting.
func (v *visitor) Read(b []byte) (int, error) {
	if v.dry {
		return 0, errDry
	}
	n, err := syscall.Read(v.fd, b)
	switch {
	case err == syscall.EAGAIN:
		v.dry = true
		return 0, errDry
	case err == syscall.EINTR:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	v.open = true
	// What comes later is told by another event; the end that came before is not.
	v.dry = n < len(b) && !v.hup
	return n, nil
}

// send sends out, and keeps what the system does not take.
func (v *visitor) send(out []byte) error {
	v.open = false
	n, err := syscall.Write(v.fd, out)
	if err != nil {
		n = 0
		if err != syscall.EAGAIN && err != syscall.EINTR {
			return err
		}
	}
	v.rest = nil
	if n < len(out) {
		v.rest = bytes.Clone(out[n:])
	}
	return nil
}

// clear gives the buffers back if nothing is in them.
func (v *visitor) clear() {
	if v.desk != nil && v.desk.in.Buffered() == 0 {
		v.desk.clear()
		v.desk = nil
	}
}
