package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"
)

// What can be wrong with a store, for errors.Is. The errors that are returned name the file and say what to do.
var (
	ErrForeign   = errors.New("it is not a store of coredns-kms")
	ErrDamaged   = errors.New("it is damaged")
	ErrNewer     = errors.New("it is of a newer format than this program knows")
	ErrLocked    = errors.New("it is in use")
	ErrReadOnly  = errors.New("it cannot be written")
	ErrFull      = errors.New("there is no room to write")
	ErrMoved     = errors.New("it was removed or replaced while it was open")
	ErrUncertain = errors.New("the disk failed just when a change became valid")
	ErrClosed    = errors.New("it is closed")

	// Of one record, and the caller's affair.
	ErrTooLarge = errors.New("too large for the store")
)

const (
	adviceDamaged = "nothing was changed; put back a copy, or move it away and restart: a new one is made, KMS hosts announce " +
		"themselves again within a day, and drains have to be repeated"
	adviceForeign = "nothing was changed; name another path, or move that file away and a new store is made"
	adviceEmpty   = "it is empty, which a store never is; if nobody needs it, remove it and a new store is made"
	adviceNewer   = "nothing was changed; use a release of coredns-kms as new as the one that wrote it"
	adviceLocked  = "another process, or another part of this one, has had it open for a second; give each a store of its own"
	adviceMoved   = "restart to use the file that is there now; changes are refused because they would be lost"
	adviceFull    = "make room on its disk, or raise the quota; what is stored stays readable"
	adviceLimit   = "raise the limit on the size of files of this process (ulimit -f, LimitFSIZE=); what is stored stays readable"
	adviceMount   = "its file system is mounted read-only; remount it, or name a path elsewhere"
	adviceAccess  = "let the user that this program runs as write the file, and create files in its directory"
	adviceDisk    = "the disk does not work; the kernel's log says more"
	adviceRetry   = "look after the disk, then restart; whether that change is stored shows then"
)

// problem puts an error together. cause may be nil.
func problem(path string, kind, cause error, advice string) error {
	if cause == nil {
		return fmt.Errorf("store %s: %w: %s", path, kind, advice)
	}
	return fmt.Errorf("store %s: %w (%w): %s", path, kind, cause, advice)
}

func damaged(path string, cause error) error { return problem(path, ErrDamaged, cause, adviceDamaged) }

// failure says what an error of the system, or of bbolt, means for the store at path.
func failure(path string, err error) error {
	if err == nil {
		return nil
	}
	switch errnoOf(err) {
	case syscall.ENOSPC, syscall.EDQUOT:
		return problem(path, ErrFull, err, adviceFull)
	case syscall.EFBIG:
		return problem(path, ErrFull, err, adviceLimit)
	case syscall.EROFS:
		return problem(path, ErrReadOnly, err, adviceMount)
	case syscall.EACCES, syscall.EPERM:
		return problem(path, ErrReadOnly, err, adviceAccess)
	case syscall.EIO:
		return fmt.Errorf("store %s: %w: %s", path, err, adviceDisk)
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout): // where lock does nothing and bbolt's own lock is the only one
		return problem(path, ErrLocked, nil, adviceLocked)
	case errors.Is(err, bolterrors.ErrInvalidMapping):
		return fmt.Errorf("store %s: no memory to map it into (%w): restart", path, err)
	}
	return fmt.Errorf("store %s: %w", path, err)
}

// errnoOf is the system's own error number in err, or 0. bbolt 1.5.0 wraps some errors with %s, so that only the text at the
// end is left to go by ("file resize error: truncate x: file too large").
func errnoOf(err error) syscall.Errno {
	var n syscall.Errno
	if errors.As(err, &n) {
		return n
	}
	for _, n := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EACCES, syscall.EPERM,
		syscall.EIO} {
		if strings.HasSuffix(err.Error(), n.Error()) {
			return n
		}
	}
	return 0
}

// missing reports whether err is of a path that leads nowhere.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
