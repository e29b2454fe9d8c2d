package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Whatever stands at the path, it is refused with a word on what to do, and is the same afterwards.
func TestRefused(t *testing.T) {
	const advice = "name another path, or move that file away"
	for name, c := range map[string]struct {
		make func(path string) error
		kind error
		want string
	}{
		"text":            {text(strings.Repeat("$ORIGIN example.org.\n", 1000)), ErrForeign, advice},
		"one octet":       {text("x"), ErrForeign, advice},
		"empty":           {text(""), ErrForeign, "remove it and a new store is made"},
		"dynupdate":       {boltWith("dynupdate-v1", "origin", "example.org.", false), ErrForeign, advice},
		"meta of its own": {boltWith("meta", "application", "other", false), ErrForeign, advice},
		"no free list":    {boltWith("a", "b", "c", true), ErrForeign, advice}, // bbolt would write one
		"empty bbolt":     {emptyBolt, ErrForeign, advice},
		"newer":           {version(2), ErrNewer, "(format 2): nothing was changed; use a release of coredns-kms as new as"},
		"version 0":       {version(0), ErrDamaged, "format is \"0\""},
		"directory":       {func(p string) error { return os.Mkdir(p, 0o700) }, nil, "name a file in it, such as "},
		"pipe":            {func(p string) error { return syscall.Mkfifo(p, 0o600) }, nil, "not a regular file (p"},
		"socket":          {socket, nil, "not a regular file (S"},
		"link to nowhere": {func(p string) error { return os.Symlink("nowhere", p) }, nil, "symbolic link to nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x.db")
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			same := untouched(t, dir)
			s, err := Open(path)
			if s != nil || err == nil || c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), path) {
				t.Errorf("Open returned %v, %v", s, err)
			}
			same()
		})
	}
}

func text(s string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(s), 0o600) }
}

func boltWith(bucket, key, value string, noFreelist bool) func(string) error {
	return editBolt(&bolt.Options{NoFreelistSync: noFreelist}, func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucket))
		if err != nil {
			return err
		}
		if _, err := b.CreateBucket([]byte("nested")); err != nil {
			return err
		}
		return b.Put([]byte(key), []byte(value))
	})
}

func emptyBolt(path string) error { return editBolt(nil, func(*bolt.Tx) error { return nil })(path) }

// version makes a store that says it is of format v.
func version(v int) func(string) error {
	return editBolt(nil, func(tx *bolt.Tx) error { return identify(tx, v) })
}

// editBolt opens or makes a file as bbolt alone does.
func editBolt(o *bolt.Options, f func(*bolt.Tx) error) func(string) error {
	return func(path string) error {
		db, err := bolt.Open(path, 0o600, o)
		if err != nil {
			return err
		}
		return errors.Join(db.Update(f), db.Close())
	}
}

func socket(path string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

func TestNoDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	same := untouched(t, dir)
	for _, path := range []string{filepath.Join(dir, "none", "kms.db"), filepath.Join(dir, "file", "kms.db")} {
		want := "there is no directory " + filepath.Dir(path) + ": make it first"
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	same()
}

func TestCreate(t *testing.T) {
	s := fresh(t)
	entries, err := os.ReadDir(filepath.Dir(s.Path()))
	if err != nil || len(entries) != 1 {
		t.Errorf("Beside the store there is something else: %v, %v", entries, err)
	}
	if info, err := os.Stat(s.Path()); err != nil || info.Mode() != 0o600 {
		t.Errorf("Mode %v, %v", info.Mode(), err)
	}
	put(t, s, Health, "k", "v")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(s.Path(), link); err != nil {
		t.Fatal(err)
	}
	if got := get(t, open(t, link), Health, "k"); got != "v" {
		t.Errorf("Through a symbolic link: %q", got)
	}
}

// Somebody else's file that appears while the store is being made is not replaced.
func TestCreateBesideAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	same := untouched(t, filepath.Dir(path))
	if _, err := create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create returned %v", err)
	}
	same()
}

// A second process, or a second part of this one, is told within a second, and the first is not disturbed.
func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kms.db")
	holder := spawn("hold", path)
	stdin, err1 := holder.StdinPipe()
	stdout, err2 := holder.StdoutPipe()
	if err := errors.Join(err1, err2, holder.Start()); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "open\n" {
		t.Fatal(line, err)
	}
	same := untouched(t, filepath.Dir(path))
	synctest.Test(t, func(t *testing.T) { // its second is over at once
		if _, err := Open(path); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "give each a store of its own") {
			t.Errorf("Open returned %v", err)
		}
	})
	same()
	if err := errors.Join(stdin.Close(), holder.Wait()); err != nil { // it writes, and closes the file
		t.Fatal(err)
	}
	s := open(t, path)
	if got := get(t, s, Health, "held"); got != "yes" {
		t.Errorf("What the other process wrote then: %q", got)
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := Open(path); !errors.Is(err, ErrLocked) {
			t.Errorf("A second Open in one process returned %v", err)
		}
	})
}

// holdChild has a store open until its standard input ends.
func holdChild(path string) {
	s, err := Open(path)
	must(err)
	fmt.Println("open")
	_, err = io.ReadAll(os.Stdin)
	must(err)
	must(s.Update(func(tx *Tx) error { return tx.Put(Health, "held", []byte("yes")) }))
	must(s.Close())
}

func TestFailure(t *testing.T) {
	pathError := func(n syscall.Errno) error { return &fs.PathError{Op: "write", Path: "p", Err: n} }
	for _, c := range []struct {
		err  error
		kind error
		want string
	}{
		{pathError(syscall.ENOSPC), ErrFull, "make room on its disk"},
		{pathError(syscall.EDQUOT), ErrFull, "raise the quota"},
		{pathError(syscall.EFBIG), ErrFull, "ulimit -f"},
		{fmt.Errorf("file resize error: %s", pathError(syscall.EFBIG)), ErrFull, "ulimit -f"}, // as bbolt has it
		{pathError(syscall.EROFS), ErrReadOnly, "remount it"},
		{syscall.EACCES, ErrReadOnly, "the user that this program runs as"},
		{pathError(syscall.EPERM), ErrReadOnly, "the user that this program runs as"},
		{fmt.Errorf("%w: %w", errRead, pathError(syscall.EIO)), errRead, "the kernel's log"},
		{bolterrors.ErrTimeout, ErrLocked, "give each a store of its own"},
		{bolterrors.ErrInvalidMapping, bolterrors.ErrInvalidMapping, "no memory"},
		{io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, "unexpected EOF"},
		{fs.ErrNotExist, fs.ErrNotExist, "not exist"},
	} {
		err := failure("/var/lib/kms.db", c.err)
		if got := err.Error(); !errors.Is(err, c.kind) || !strings.Contains(got, c.want) ||
			!strings.HasPrefix(got, "store /var/lib/kms.db: ") {
			t.Errorf("%v became %v", c.err, err)
		}
	}
	if failure("p", nil) != nil {
		t.Error("No failure became one")
	}
}
