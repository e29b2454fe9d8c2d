package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
)

// lockWait is how long Open waits for another process to close the file: a service manager that restarts the server may start
// the new one while the old one still ends.
const lockWait = time.Second

// Open opens the store at path, or makes one if there is nothing. The directory must exist. A new file belongs to its owner
// alone (mode 0600). Open may take a second if somebody else has the file, and reads all of it.
//
// What it finds wrong it leaves as it is: ErrForeign, ErrDamaged, ErrNewer, ErrLocked, ErrReadOnly, ErrFull.
//
// An empty file is refused too. Nobody could tell whether it is a store that lost everything, which has to be noticed, or
// belongs to another program that will write to it soon; and a store that is made in place could not be made atomically.
func Open(path string) (*Store, error) {
	for range 3 { // somebody else may make it, or remove it, between our looking and our making
		s, err := openFile(path)
		if !missing(err) {
			return s, err
		}
		if s, err = create(path); !errors.Is(err, fs.ErrExist) {
			return s, err
		}
	}
	return nil, fmt.Errorf("store %s: somebody else keeps making and removing it: name another path", path)
}

// openFile opens a file that is there.
func openFile(path string) (*Store, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, failure(path, err)
	case info.IsDir():
		return nil, fmt.Errorf("store %s: it is a directory: name a file in it, such as %s", path, filepath.Join(path, "kms.db"))
	case !info.Mode().IsRegular(): // to open a device or a pipe may do something to it, or wait
		return nil, fmt.Errorf("store %s: it is not a regular file (%s): name another path", path, info.Mode().Type())
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, failure(path, err)
	}
	s, err := take(path, f)
	if err != nil {
		_ = f.Close() // bbolt may have closed it
	}
	return s, err
}

// take makes a store of an open file that exists: it locks it, checks it, and only then lets bbolt have it.
func take(path string, f *os.File) (*Store, error) {
	if err := lock(f); err != nil {
		if errors.Is(err, errLocked) {
			return nil, problem(path, ErrLocked, nil, adviceLocked)
		}
		return nil, failure(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, failure(path, err)
	}
	if info.Size() == 0 {
		return nil, problem(path, ErrForeign, nil, adviceEmpty)
	}
	sum, err := check(f, info.Size())
	switch {
	case errors.Is(err, ErrForeign):
		return nil, problem(path, ErrForeign, nil, adviceForeign)
	case errors.Is(err, ErrNewer):
		return nil, problem(path, ErrNewer, err, adviceNewer)
	case errors.Is(err, errRead):
		return nil, failure(path, err)
	case err != nil:
		return nil, damaged(path, err)
	}
	// Whoever made it may have been killed, or lost power, before the directory knew of it for good.
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, failure(path, err)
	}
	s := &Store{path: path, file: f, info: info, sum: sum}
	return s, s.openBolt(path)
}

// openBolt hands the file to bbolt, which locks the same open file once more and from then on owns it.
func (s *Store) openBolt(path string) error {
	options := &bolt.Options{
		Timeout:      lockWait,
		NoStatistics: true,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return s.file, nil },
	}
	err := s.guard(func() (err error) {
		s.db, err = bolt.Open(path, 0o600, options)
		return failure(s.path, err)
	})
	if s.stuck {
		return errors.Join(err, unlock(s.file))
	}
	return err
}

// create makes a new store. It is made under another name and linked to path when it is complete and on the disk, so that a
// kill at any instant leaves either no file at path or a good one; and a link replaces nothing that somebody else put there
// meanwhile (then it is fs.ErrExist). The lock is held throughout. What a kill may leave is a small file .kms-store-*.
func create(path string) (*Store, error) {
	dir := filepath.Dir(path)
	if to, err := os.Readlink(path); err == nil {
		return nil, fmt.Errorf("store %s: it is a symbolic link to %s, which does not exist: name that path, or remove the link",
			path, to)
	}
	f, err := os.CreateTemp(dir, ".kms-store-*")
	if missing(err) {
		return nil, fmt.Errorf("store %s: there is no directory %s: make it first, for the user that this program runs as",
			path, dir)
	} else if err != nil {
		return nil, failure(path, err)
	}
	s, err := fill(path, f)
	if err == nil {
		err = linked(path, os.Link(f.Name(), path))
	}
	if e := os.Remove(f.Name()); err == nil {
		err = failure(path, e)
	}
	if err == nil {
		err = failure(path, syncDir(dir))
	}
	if err == nil {
		return s, nil
	}
	if s != nil {
		_ = s.Close() // or its mapping would hold the lock
	}
	_ = f.Close() // bbolt may have closed it
	return nil, err
}

// fill writes an empty store into a new file.
func fill(path string, f *os.File) (*Store, error) {
	if err := lock(f); err != nil {
		return nil, failure(path, err)
	}
	s := &Store{path: path, file: f}
	if err := s.openBolt(f.Name()); err != nil {
		return nil, err
	}
	err := s.guard(func() error {
		return failure(path, s.db.Update(func(tx *bolt.Tx) error { return identify(tx, format) }))
	})
	if err == nil {
		s.info, err = f.Stat()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// identify writes what makes a file a store of ours.
func identify(tx *bolt.Tx, version int) error {
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	return errors.Join(meta.Put(applicationKey, []byte(application)), meta.Put(formatKey, []byte(strconv.Itoa(version))),
		meta.Put(sumKey, formatSum(0)))
}

// linked says what the outcome of a link means. That there is a file is Open's affair.
func linked(path string, err error) error {
	switch {
	case err == nil || errors.Is(err, fs.ErrExist):
		return err
	case isUnsupported(errnoOf(err)):
		return fmt.Errorf("store %s: its file system knows no hard links (%w): name a path on another", path, err)
	}
	return failure(path, err)
}
