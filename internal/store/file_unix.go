//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package store

import (
	"errors"
	"os"
	"syscall"
	"time"
)

var errLocked = errors.New("locked")

// lock takes the lock that bbolt takes too, before anything is read: what another process is writing is not damage. It waits
// for up to lockWait.
func lock(f *os.File) error {
	for until := time.Now().Add(lockWait); ; time.Sleep(lockWait / 20) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return os.NewSyscallError("flock", err)
		case time.Now().After(until):
			return errLocked
		}
	}
}

func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

// syncDir makes the names in a directory survive a power failure. Some file systems do not know that, and a directory that may
// be passed but not read cannot be synced; neither is a reason to do without a store.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, syscall.EACCES) {
		return nil
	} else if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}

// isUnsupported reports whether a link failed because the file system has none.
func isUnsupported(n syscall.Errno) bool {
	return n == syscall.EPERM || n == syscall.ENOTSUP || n == syscall.EOPNOTSUPP || n == syscall.ENOSYS
}
