package config

import (
	"fmt"
	"strings"
)

// MaxSocketPath is the octets of a Unix socket's path: sun_path of unix(7) without its closing NUL.
const MaxSocketPath = 107

// ValidateStore says whether path may be that of a store.
func ValidateStore(path string) error {
	return validatePath("store", path, "/var/lib/coredns/kms.db")
}

// ValidateControl says whether path may be that of a control socket.
func ValidateControl(path string) error {
	if len(path) > MaxSocketPath {
		return fmt.Errorf("control %q: %d octets: the path of a Unix socket has at most %d", path, len(path), MaxSocketPath)
	}
	return validatePath("control", path, "/run/coredns/kms.sock")
}

func validatePath(what, path, example string) error {
	if path == "" || strings.HasSuffix(path, "/") || strings.Contains(path, "\x00") {
		return fmt.Errorf("%s %q: the path of a file, as in %s", what, path, example)
	}
	return nil
}

// validatePaths checks the paths that b has.
func (b Block) validatePaths() error {
	if b.Store != "" {
		if err := ValidateStore(b.Store); err != nil {
			return err
		}
	}
	if b.Control != "" {
		if err := ValidateControl(b.Control); err != nil {
			return err
		}
	}
	if b.Store != "" && b.Store == b.Control {
		return fmt.Errorf("store and control are both %s: the store is a file and the control a socket: two paths", b.Store)
	}
	return nil
}
