package main

import (
	"path/filepath"
	"strings"
)

// packaged is what packages install this program as: there may be another CoreDNS on the machine. Everything about it is the
// kms plugin's, so that a first word which is no flag is a command even without "kms" before it.
const packaged = "coredns-kms"

// called is what texts call this program by, with the word that leads to its commands: "coredns kms", which is how they are
// written, or packaged.
var called = "coredns kms"

// asCalled is text about "coredns kms" with the name that the program has.
func asCalled(text string) string { return strings.ReplaceAll(text, "coredns kms", called) }

// hints is texts of other packages, which know the program by one name, with the name that it has.
func hints(texts []string) []string {
	named := make([]string, len(texts))
	for i, t := range texts {
		named[i] = asCalled(t)
	}
	return named
}

// nameProgram sets called from the path that the program was started by.
func nameProgram(path string) {
	if filepath.Base(path) == packaged {
		called = packaged
	}
}

// commandLine is the words behind "coredns kms", or behind packaged; not ok for a server that is to be started. args are the
// words behind the program's name.
func commandLine(args []string) (command []string, ok bool) {
	switch {
	case len(args) == 0:
		return nil, false
	case args[0] == "kms":
		return args[1:], true
	case called == packaged && !strings.HasPrefix(args[0], "-"):
		return args, true
	}
	return nil, false
}
