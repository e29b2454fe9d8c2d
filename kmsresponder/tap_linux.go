package kmsresponder

import (
	"errors"
	"io"
	"syscall"
)

// tap is a socket that is read and written without ever waiting. Its events are
// told once each (edge-triggered).
type tap struct {
	fd  int
	dry bool // there is nothing to read until an event says so
	hup bool // the other side has ended, behind what is to be read
}

// errDry is what Read returns if there is nothing.
var errDry = errors.New("nothing to be read yet")

// Read implements io.Reader.
func (t *tap) Read(b []byte) (int, error) {
	for {
		if t.dry {
			return 0, errDry
		}
		n, err := socketRead(t.fd, b)
		switch {
		case err == syscall.EAGAIN:
			t.dry = true
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			// What comes later is told by another event; the end that was told
			// together with this is not.
			t.dry = n < len(b) && !t.hup
			return n, nil
		}
	}
}

// write sends as much of b as the system takes.
func (t *tap) write(b []byte) (int, error) {
	n, err := socketWrite(t.fd, b)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return 0, nil
	}
	return max(n, 0), err
}

// ready takes an event.
func (t *tap) ready(events uint32) {
	t.dry = false
	t.hup = t.hup || over(events)
}

// over reports whether an event tells of the end of the other side.
func over(events uint32) bool {
	return events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
}
