//go:build !386

package kmsresponder

import "syscall"

const accept4 = syscall.SYS_ACCEPT4
