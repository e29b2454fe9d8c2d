package main

import (
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a connection whose system calls wait themselves. Callers share the cores with what they call, and the less they
// cost, the more a result is about that: Go's own connections ask epoll before and after each wait.
type socket struct{ fd int }

// dialSocket connects from one IPv4 address to another one and its port. What waits for longer than timeout fails.
func dialSocket(from [4]byte, address string, timeout time.Duration) (socket, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return socket{}, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return socket{}, fmt.Errorf("socket: %w", err)
	}
	limit := syscall.NsecToTimeval(timeout.Nanoseconds())
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit)
	if err := bindAddress(fd, from); err != nil {
		syscall.Close(fd)
		return socket{}, fmt.Errorf("bind to %s: %w", netip.AddrFrom4(from), err)
	}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		syscall.Close(fd)
		return socket{}, fmt.Errorf("connect to %s: %w", address, err)
	}
	return socket{fd}, nil
}

// bindAddress gives a socket its address. Which port it has is decided when it connects, so that it may be one that another
// connection of this address has, to elsewhere.
func bindAddress(fd int, address [4]byte) error {
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	return syscall.Bind(fd, &syscall.SockaddrInet4{Addr: address})
}

// Read implements io.Reader.
func (s socket) Read(b []byte) (int, error) {
	for {
		switch n, err := syscall.Read(s.fd, b); {
		case err == syscall.EINTR:
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements io.Writer, for what fits into the socket's buffer.
func (s socket) Write(b []byte) (int, error) {
	n, err := syscall.Write(s.fd, b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return max(n, 0), err
}

func (s socket) Close() error { return syscall.Close(s.fd) }
