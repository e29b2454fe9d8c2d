package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// licenses is the hosts that an administrator holds licences for, by absolute, lower-case name. Nil is no list: then every
// host is licensed.
type licenses map[string]bool

// readLicenses reads names with commas between them or, if there is a file of that name, its lines: a name each, and what
// follows a "#" is a comment.
func readLicenses(from string) (licenses, error) {
	if from == "" {
		return nil, nil
	}
	var names []string
	text, err := os.ReadFile(from)
	switch {
	case err == nil:
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			names = append(names, strings.Fields(line)...)
		}
	case errors.Is(err, fs.ErrNotExist) && !strings.Contains(from, "/"):
		names = strings.Split(from, ",")
	default:
		return nil, fmt.Errorf("-licensed: %w", err)
	}
	list := make(licenses)
	for _, name := range names {
		name = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), ".")) + "."
		if err := config.ValidateHostName(name); err != nil {
			return nil, fmt.Errorf("-licensed: %w; it is neither a file nor names with commas between them", err)
		}
		list[name] = true
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("-licensed %s: no name in it", from)
	}
	return list, nil
}

// has says whether one of names is licensed.
func (l licenses) has(names ...string) bool {
	for _, name := range names {
		if l[name] {
			return true
		}
	}
	return l == nil
}
