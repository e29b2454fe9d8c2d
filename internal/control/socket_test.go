package control

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// socketPath is short enough for a socket, which t.TempDir need not be.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func listen(t *testing.T, path string) *Listener {
	t.Helper()
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// TestPermissions: 0660 whatever the umask, and never more, not even while the socket is made.
func TestPermissions(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(umask)
		t.Cleanup(func() { syscall.Umask(old) })
		path := socketPath(t)
		ln, err := bind(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.Lstat(path)
		if err != nil || file.Mode().Perm()&^mode != 0 {
			t.Errorf("Umask %03o: at first %s, %v", umask, file.Mode(), err)
		}
		ln.Close()
		listen(t, path)
		if file, err = os.Lstat(path); err != nil || file.Mode() != fs.ModeSocket|mode {
			t.Errorf("Umask %03o: %s, %v", umask, file.Mode(), err)
		}
		syscall.Umask(old)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := socketPath(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as a process that was killed
	dead.Close()
	ln := listen(t, path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("Nobody answers at the new socket: %v", err)
	}
	c.Close()
	ln.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("After closing: %v, want the socket gone", err)
	}
}

// TestOthersAreLeftAlone: what is not a dead server's socket stays as it is.
func TestOthersAreLeftAlone(t *testing.T) {
	live := socketPath(t)
	listen(t, live)
	file, dir, link, dangling := socketPath(t), socketPath(t), socketPath(t), socketPath(t)
	if err := errors.Join(os.WriteFile(file, []byte("precious"), 0o600), os.Mkdir(dir, 0o700), os.Symlink(live, link),
		os.Symlink(file+"nowhere", dangling)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		live:                           "another server answers there",
		file:                           "not a socket (a file)",
		dir:                            "not a socket (a directory)",
		link:                           "not a socket (a symbolic link)",
		dangling:                       "not a socket (a symbolic link)",
		socketPath(t) + "/missing/s":   "there is no directory",
		"/" + strings.Repeat("x", 120): "at most 107",
	} {
		before, _ := os.Lstat(path)
		ln, err := Listen(path)
		if err == nil {
			ln.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if after, err := os.Lstat(path); before != nil && (err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime())) {
			t.Errorf("%s was changed: %v", path, err)
		}
	}
	if b, err := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("The file has %q, %v", b, err)
	}
}

// TestAbstractNames: a name that begins with @ has no permissions on Linux, so it is a file here.
func TestAbstractNames(t *testing.T) {
	t.Chdir(filepath.Dir(socketPath(t)))
	listen(t, "@kms")
	if file, err := os.Lstat("@kms"); err != nil || file.Mode() != fs.ModeSocket|mode {
		t.Errorf("No file: %v", err)
	}
}

// TestSuccessorsSocketStays: who ends late does not remove the socket of who came after.
func TestSuccessorsSocketStays(t *testing.T) {
	path := socketPath(t)
	old := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listen(t, path)
	old.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("The successor's socket is gone: %v", err)
	}
	c.Close()
}
