//go:build interop

package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func init() {
	children["mounts"] = mountsChild
	children["calls"] = callsChild
}

func TestKilled200(t *testing.T) { killed(t, 200) }

// A disk of its own, in a mount namespace of its own: full, then with room again, then read-only.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk", "kms.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	mount := `mount -t tmpfs -o size=256k none "$1" && shift && exec "$@"`
	cmd := spawn("mounts", path, "unshare", "--mount", "--propagation", "private", "sh", "-ec", mount, "sh", filepath.Dir(path))
	if out, err := cmd.Output(); err != nil || string(out) != "as expected\n" {
		t.Fatalf("%s, %v", out, err)
	}
	s := open(t, filepath.Join(dir, "copy.db")) // the disk itself went with the child
	if all, err := content(s); err != nil || len(all) != 3 {
		t.Errorf("%d records, %v", len(all), err)
	}
}

func mountsChild(path string) {
	disk := filepath.Dir(path)
	remount := func(flags uintptr, options string) {
		must(syscall.Mount("", disk, "", syscall.MS_REMOUNT|flags, options))
	}
	big := []byte(strings.Repeat("x", MaxValue/2))
	update := func(s *Store, key string) error {
		return s.Update(func(tx *Tx) error { return tx.Put(Ledger, key, big) })
	}

	s, err := Open(path)
	must(err)
	must(s.Update(func(tx *Tx) error { return tx.Put(Registrations, "r", []byte("1")) }))
	for range 5 {
		if err := update(s, "big"); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "make room") {
			must(fmt.Errorf("on a full disk: %w", err))
		}
		if all, err := content(s); err != nil || !maps.Equal(all, map[string]string{"registrations r": "1"}) {
			must(fmt.Errorf("on a full disk there are %d records: %w", len(all), err))
		}
	}
	if _, err := Open(filepath.Join(disk, "another.db")); !errors.Is(err, ErrFull) && err != nil {
		must(err)
	}
	remount(0, "size=8m")
	must(update(s, "big"))
	must(s.Update(func(tx *Tx) error { return tx.Put(Health, "h", nil) }))
	must(s.Close())

	octets, err := os.ReadFile(path)
	must(err)
	must(os.WriteFile(filepath.Join(filepath.Dir(disk), "copy.db"), octets, 0o600))

	remount(syscall.MS_RDONLY, "")
	for _, p := range []string{path, filepath.Join(disk, "new.db")} {
		if _, err := Open(p); !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), "remount it") {
			must(fmt.Errorf("%s on a read-only disk: %w", p, err))
		}
	}
	fmt.Println("as expected")
}

// calls are those by which a store reaches the disk.
var calls = []string{"openat", "flock", "pwrite64", "ftruncate", "fdatasync", "fsync", "linkat", "unlinkat", "close"}

// trace runs callsChild under strace, which does something to its n-th call of a kind, and returns what the child printed.
// strace counts by thread, so that the child keeps to one.
func trace(t *testing.T, path, call, harm string, n int) (lines []string, state *os.ProcessState) {
	t.Helper()
	cmd := spawn("calls", path, "strace", "-f", "-q", "-o", "/dev/null", "-e", "trace="+call, "-e",
		fmt.Sprintf("inject=%s:%s:when=%d", call, harm, n))
	cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.Fields(string(out)), cmd.ProcessState
}

// callsChild makes a store, or opens one, changes it three times, and prints what came of each.
func callsChild(path string) {
	runtime.LockOSThread()
	say := func(err error) {
		switch {
		case err == nil:
			fmt.Println("ok")
		case errors.Is(err, ErrUncertain):
			fmt.Println("uncertain")
		case errors.Is(err, ErrFull):
			fmt.Println("full")
		case strings.Contains(err.Error(), adviceDisk):
			fmt.Println("broken")
		default:
			must(err)
		}
	}
	s, err := Open(path)
	say(err)
	if err != nil { // the failure is over, and left nothing that is in the way
		s, err = Open(path)
		must(err)
	}
	for i := range 3 {
		say(s.Update(func(tx *Tx) error {
			return errors.Join(tx.Put(Serials, "n", []byte(fmt.Sprint(i))), tx.Put(Ledger, fmt.Sprint(i), filler(i+8)))
		}))
	}
	must(s.Close())
	fmt.Println("closed")
}

// Killed at every single system call from before there is a file until it is closed.
func TestKilledAtEveryCall(t *testing.T) {
	total := 0
	for _, call := range calls {
		for n := 1; ; n++ {
			path := filepath.Join(t.TempDir(), "kms.db")
			said, state := trace(t, path, call, "signal=KILL", n)
			s, err := Open(path)
			if err != nil {
				t.Fatalf("Killed at %s %d: %v", call, n, err)
			}
			all, err := content(s)
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatalf("Killed at %s %d: %v", call, n, err)
			}
			examine(t, path)
			acknowledged := max(0, len(said)-1) // of three, behind "ok" for Open
			if state.Success() {
				acknowledged = 3
			}
			if there := len(all) - min(1, len(all)); there < acknowledged || there > acknowledged+1 {
				t.Errorf("Killed at %s %d: %d changes were acknowledged, and %d are there", call, n, acknowledged, there)
			}
			if state.Success() { // there is no n-th
				break
			}
			total++
		}
	}
	t.Logf("%d kills", total)
	if total < 40 {
		t.Error("That is not every call")
	}
}

// Every call fails once. What is acknowledged is there, what is refused is not, and afterwards everything works again, except
// where nobody can know.
func TestEveryCallFails(t *testing.T) {
	seen := map[string]int{}
	for _, call := range []string{"pwrite64", "ftruncate", "fdatasync", "fsync", "linkat"} {
		for _, errno := range []string{"EIO", "ENOSPC"} {
			for n := 1; ; n++ {
				path := filepath.Join(t.TempDir(), "kms.db")
				said, state := trace(t, path, call, "error="+errno, n)
				if !state.Success() || len(said) == 0 {
					t.Fatalf("%s %d fails with %s: %q, %v", call, n, errno, said, state)
				}
				if said[0] != "ok" {
					seen[call+" in Open"]++
				}
				bad := 0
				for _, word := range said {
					if word != "ok" && word != "closed" {
						bad++
						seen[call+" "+errno+" "+word]++
					}
				}
				if bad == 0 {
					break // there is no n-th
				}
				checkFailed(t, fmt.Sprintf("%s %d fails with %s", call, n, errno), path, said)
			}
		}
	}
	t.Log(seen)
	if seen["fdatasync EIO uncertain"] == 0 || seen["fdatasync EIO broken"] == 0 || seen["pwrite64 ENOSPC full"] == 0 {
		t.Error("Not every kind of failure was seen")
	}
	if seen["fsync in Open"] != 4 { // of the file when it grows, and of its directory when it has its name
		t.Error("Open did not sync the directory")
	}
}

func checkFailed(t *testing.T, what, path string, said []string) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%s: left %v, %v", what, entries, err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	all, err := content(s)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	examine(t, path)
	for i := range 3 {
		_, there := all["ledger "+fmt.Sprint(i)]
		word := "none"
		if i+1 < len(said)-1 {
			word = said[i+1]
		}
		if there != (word == "ok") && word != "uncertain" {
			t.Errorf("%s: change %d, of %q, is there: %t", what, i, said, there)
		}
	}
}
