package kmsresponder

import (
	"syscall"
	"unsafe"
)

// The system calls that a loop makes for every call and that never wait. To
// announce those to Go's scheduler, as syscall.Read does, costs a twentieth of a
// call: it has another thread ready that would take over. socketRead and socketWrite
// stand with them, in a file of their own because the race detector needs to know
// what syscall.Read and syscall.Write tell it: who wrote comes before who read.

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
