package kmsresponder

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"
)

// The system calls that a loop makes for every call and that never wait. To
// announce those to Go's scheduler, as syscall.Read does, costs a twentieth of a
// call: it has another thread ready that would take over. socketRead and socketWrite
// stand with them, in a file of their own because the race detector needs to know
// what syscall.Read and syscall.Write tell it: who wrote comes before who read.

// socketAccept is accept4(2), for a socket that never waits, and the address of
// the peer: IPv4 as IPv4, whatever the socket.
func socketAccept(ln int) (fd int, from netip.Addr, err error) {
	var peer syscall.RawSockaddrAny
	size := uint32(syscall.SizeofSockaddrAny)
	n, _, failed := syscall.RawSyscall6(accept4, uintptr(ln), uintptr(unsafe.Pointer(&peer)), uintptr(unsafe.Pointer(&size)),
		syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	if fd, err = outcome(n, failed); err != nil {
		return -1, from, err
	}
	switch peer.Addr.Family {
	case syscall.AF_INET:
		from = netip.AddrFrom4((*syscall.RawSockaddrInet4)(unsafe.Pointer(&peer)).Addr)
	case syscall.AF_INET6:
		p := (*syscall.RawSockaddrInet6)(unsafe.Pointer(&peer))
		from = withZone(netip.AddrFrom16(p.Addr).Unmap(), int(p.Scope_id))
	}
	return fd, from, nil
}

// withZone returns a with a zone if it has one: a link-local address.
func withZone(a netip.Addr, index int) netip.Addr {
	if index == 0 || !a.Is6() {
		return a
	}
	if i, err := net.InterfaceByIndex(index); err == nil {
		return a.WithZone(i.Name)
	}
	return a.WithZone(strconv.Itoa(index))
}

// socketClose is close(2).
func socketClose(fd int) { syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }

// epollControl is epoll_ctl(2).
func epollControl(epoll, op, fd int, e *syscall.EpollEvent) error {
	_, _, err := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(epoll), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(e)), 0, 0)
	_, failed := outcome(0, err)
	return failed
}

// epollNow is epoll_wait(2) with a timeout of 0.
func epollNow(epoll int, events []syscall.EpollEvent) (int, error) {
	n, _, err := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	return outcome(n, err)
}

// outcome makes of what RawSyscall returns what the functions of syscall do.
func outcome(n uintptr, err syscall.Errno) (int, error) {
	switch err {
	case 0:
		return int(n), nil
	case syscall.EAGAIN:
		return -1, errAgain // without allocating
	}
	return -1, err
}

var errAgain error = syscall.EAGAIN
