package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// children are what this test binary does when childEnv names one: tests that need a process to kill, or to limit, start it.
var children = map[string]func(path string){"count": countChild, "hold": holdChild, "full": fullChild}

const childEnv = "KMS_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if f := children[os.Getenv(childEnv)]; f != nil {
		f(os.Getenv(childEnv + "_PATH"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// spawn is a command that runs one of the children on path.
func spawn(name, path string, wrapper ...string) *exec.Cmd {
	args := append(wrapper, os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	// A child under the race detector would sleep for a second before it ends.
	cmd.Env = append(os.Environ(), childEnv+"="+name, childEnv+"_PATH="+path, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

// must ends a child that cannot go on.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// open opens a store that examine looks at when the test is over.
func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		examine(t, path)
	})
	return s
}

func fresh(t testing.TB) *Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "kms.db"))
}

// examine has bbolt look for what is wrong in a file that nobody has open, and this package too.
func examine(t testing.TB, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		var all []error
		for err := range tx.Check() {
			all = append(all, err)
		}
		return errors.Join(all...)
	})
	if err != nil {
		t.Errorf("bbolt finds damage: %v", err)
	}
	octets, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkOctets(octets); err != nil {
		t.Errorf("check finds damage: %v", err)
	}
}

func put(t testing.TB, s *Store, b Bucket, key, value string) {
	t.Helper()
	if err := s.Update(func(tx *Tx) error { return tx.Put(b, key, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s *Store, b Bucket, key string) string {
	t.Helper()
	var v []byte
	if err := s.View(func(tx *Tx) error { v = tx.Get(b, key); return nil }); err != nil {
		t.Fatal(err)
	}
	return string(v)
}

// content is everything in a store, by bucket and key.
func content(s *Store) (map[string]string, error) {
	all := map[string]string{}
	err := s.View(func(tx *Tx) error {
		for _, b := range buckets {
			err := tx.Each(b, func(k string, v []byte) error { all[string(b)+" "+k] = string(v); return nil })
			if err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// untouched notes what is in a directory, and returns a function that fails the test if any of it, names and octets, is
// different.
func untouched(t testing.TB, dir string) func() {
	t.Helper()
	before := listing(t, dir)
	return func() {
		t.Helper()
		after := listing(t, dir)
		if !maps.Equal(before, after) {
			t.Errorf("The directory had %q, and has %q", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
		}
	}
}

func listing(t testing.TB, dir string) map[string][32]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][32]byte{}
	for _, e := range entries {
		name := e.Name() + " " + e.Type().String()
		all[name] = [32]byte{}
		if e.Type().IsRegular() {
			all[name] = sumOfFile(t, filepath.Join(dir, e.Name()))
		}
	}
	return all
}

func sumOfFile(t testing.TB, path string) (sum [32]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [32]byte(h.Sum(nil))
}
