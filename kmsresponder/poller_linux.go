package kmsresponder

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// poller is an epoll descriptor of our own, for which Go's netpoller waits: no
// thread blocks in it. One goroutine may wait; any may call watch and wake.
type poller struct {
	fd   int
	file *os.File // owns fd
	raw  syscall.RawConn

	events [128]syscall.EpollEvent
	n      int         // events that are there
	stay   func() bool // whether waiting is right; asked after every deadline is set
	look   func(fd uintptr) bool
	armed  time.Time // the deadline that is set, or long past if somebody else has set one
}

// newPoller returns a poller that waits only as long as stay says that there is
// nothing else to do.
func newPoller(stay func() bool) (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	// Non-blocking is what makes NewFile give it to the netpoller.
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("epoll descriptor: %w", err)
	}
	p := &poller{fd: fd, file: os.NewFile(uintptr(fd), "epoll"), stay: stay}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	// Without the netpoller, waiting would spin: no deadlines either, then.
	if err := p.file.SetReadDeadline(time.Time{}); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("epoll descriptor: %w", err)
	}
	p.look = func(uintptr) bool {
		var err error
		for p.n = -1; p.n < 0; { // a signal may interrupt it
			p.n, err = epollNow(fd, p.events[:])
			if err != nil && err != syscall.EINTR {
				p.n = 0
			}
		}
		return p.n > 0 || !p.stay()
	}
	return p, nil
}

// longPast is a deadline that ends any wait.
var longPast = time.Unix(1, 0)

// wait returns the events that are there, once there are some, or none if the
// time has come or someone called wake.
func (p *poller) wait(until time.Time) ([]syscall.EpollEvent, error) {
	p.n = 0
	if !until.Equal(p.armed) {
		p.armed = until
		p.file.SetReadDeadline(until)
	}
	err := p.raw.Read(p.look)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.armed, err = longPast, nil
	}
	return p.events[:p.n], err
}

// wake ends a wait, present or to come.
func (p *poller) wake() { p.file.SetReadDeadline(longPast) }

// watch has fd watched; op is an operation of epoll_ctl.
func (p *poller) watch(op, fd int, events uint32, k key) error {
	return epollControl(p.fd, op, fd, &syscall.EpollEvent{Events: events, Fd: k.slot, Pad: k.turn})
}

func (p *poller) close() { p.file.Close() }
