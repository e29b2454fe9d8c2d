//go:build race

package kmsresponder

import "syscall"

func socketRead(fd int, b []byte) (int, error) { return syscall.Read(fd, b) }

func socketWrite(fd int, b []byte) (int, error) { return syscall.Write(fd, b) }
