package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// mode of the socket: the owner and the group may. The group is that of the process or, in a directory with the setgid bit,
// that of the directory.
const mode fs.FileMode = 0o660

// maxPath is what fits into a socket address on Linux.
const maxPath = 107

// Listener takes connections at a Unix socket.
type Listener struct {
	*net.UnixListener
	path  string
	file  fs.FileInfo // of the socket when it was made
	close sync.Once
}

// Listen makes the socket at path. The socket of a server that is no more is replaced; one that somebody answers at, and
// whatever is not a socket, is left alone and is an error.
func Listen(path string) (*Listener, error) {
	path, err := filepath.Abs(path) // also, a name that begins with @ is a file now, and not one without permissions
	if err != nil {
		return nil, err
	}
	if len(path) > maxPath {
		return nil, fmt.Errorf("control %s: a path of %d octets: a socket's has at most %d", path, len(path), maxPath)
	}
	ln, err := bind(path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, fmt.Errorf("control %s: %w", path, err)
		}
		ln, err = bind(path)
	}
	if err != nil {
		return nil, fmt.Errorf("control %s: %w", path, explainBind(err, path))
	}
	ln.SetUnlinkOnClose(false) // it would unlink whatever is there by then
	l := &Listener{UnixListener: ln, path: path}
	if err = os.Chmod(path, mode); err == nil { // the umask may have taken the group's part
		l.file, err = os.Lstat(path)
	}
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("control %s: %w", path, err)
	}
	return l, nil
}

// explainBind says what to do about err.
func explainBind(err error, path string) error {
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no directory %s: create it, owned by the user that the server runs as (systemd: RuntimeDirectory=)", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this process (uid %d) may not create files in %s: give it the directory, or name another path", os.Geteuid(), dir)
	}
	return err
}

// removeStale removes the socket of a server that is no more, which nobody answers at.
func removeStale(path string) error {
	file, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if file.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("there is something that is not a socket (%s): move it away, or name another path", kind(file.Mode()))
	}
	c, err := net.DialTimeout("unix", path, 2*time.Second)
	switch {
	case err == nil:
		c.Close()
		return errors.New("another server answers there: give each a path of its own")
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("there is a socket, and whether a server answers at it cannot be seen: %w", err)
	}
	// Another process may be replacing it at the same time.
	if now, err := os.Lstat(path); err != nil || !os.SameFile(file, now) {
		return errors.New("the socket changed while it was looked at: start one server at a time")
	}
	return os.Remove(path)
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a file"
	case m.IsDir():
		return "a directory"
	case m.Type() == fs.ModeSymlink:
		return "a symbolic link"
	}
	return m.String()
}

// Close implements net.Listener. It removes the socket, unless there is another by now.
func (l *Listener) Close() error {
	err := net.ErrClosed
	l.close.Do(func() {
		if now, e := os.Lstat(l.path); e == nil && os.SameFile(l.file, now) {
			os.Remove(l.path)
		}
		err = l.UnixListener.Close()
	})
	return err
}
