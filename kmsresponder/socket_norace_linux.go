//go:build !race

package kmsresponder

import (
	"syscall"
	"unsafe"
)

// socketRead is read(2).
func socketRead(fd int, b []byte) (int, error) {
	n, _, err := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return outcome(n, err)
}

// socketWrite is write(2).
func socketWrite(fd int, b []byte) (int, error) {
	n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return outcome(n, err)
}
