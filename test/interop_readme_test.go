//go:build interop

package test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadme starts every Corefile that README.md shows, and asks each as a client would.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)~~~ corefile\n(.*?)~~~").FindAllStringSubmatch(string(readme), -1)
	if len(found) < 2 {
		t.Fatalf("Only %d Corefiles in README.md", len(found))
	}
	keys := regexp.MustCompile(`(?m)^[a-z_][a-z_. ]* \{$`)
	for _, snippet := range found {
		text := keys.ReplaceAllStringFunc(snippet[1], func(line string) string {
			names := strings.Fields(strings.TrimSuffix(line, "{"))
			return strings.Join(names, ":$PORT ") + ":$PORT {\n\tbind 127.0.0.1"
		})
		dir := t.TempDir()
		text = strings.NewReplacer("/var/lib/coredns-kms", dir, "/run/coredns-kms", dir).Replace(text)
		t.Run(strings.TrimSpace(strings.SplitN(snippet[1], "{", 2)[0]), func(t *testing.T) {
			r := startServer(t, text).dig(t, "_vlmcs._tcp.example.org", "SRV")
			if r.status != "NOERROR" || len(r.answer()) == 0 {
				t.Errorf("Status %s, %d records from\n%s", r.status, len(r.answer()), text)
			}
		})
	}
}
