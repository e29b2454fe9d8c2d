//go:build interop

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestManPagesAreClean: neither of two formatters has anything to say about a page, README.md made into one included.
func TestManPagesAreClean(t *testing.T) {
	dir := t.TempDir()
	var stderr bytes.Buffer
	if status := kms(t, "man", []string{"-dir", dir}, io.Discard, &stderr); status != 0 {
		t.Fatalf("Status %d: %s", status, stderr.String())
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "\n")
	text = "# COREDNS-KMS 7 \"2026-03-01\" \"coredns-kms\" \"CoreDNS Plugins\"\n" + strings.Replace(text, "\n*kms* - ", "\ncoredns-kms - ", 1)
	convert := exec.CommandContext(t.Context(), "go", "tool", "go-md2man", "-out", filepath.Join(dir, "coredns-kms.7"))
	convert.Stdin = strings.NewReader(text)
	if out, err := convert.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.[17]"))
	if err != nil || len(pages) < 9 {
		t.Fatalf("%q, %v", pages, err)
	}
	for _, page := range pages {
		level := "style"
		if strings.HasSuffix(page, ".7") { // its lines are those of README.md
			level = "warning"
		}
		for _, args := range [][]string{{"mandoc", "-T", "lint", "-W", level, page}, {"groff", "-man", "-t", "-ww", "-z", "-T", "utf8", page}} {
			if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%q: %v\n%s", args, err, out)
			}
		}
	}
}
