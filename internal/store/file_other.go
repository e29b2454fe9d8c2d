//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package store

import (
	"errors"
	"os"
	"syscall"
)

// Elsewhere bbolt's own lock has to do. A file that another process is writing just then may be taken for damaged, which does
// it no harm.

var errLocked = errors.New("locked")

func lock(*os.File) error   { return nil }
func unlock(*os.File) error { return nil }

func syncDir(string) error { return nil }

func isUnsupported(syscall.Errno) bool { return false }
