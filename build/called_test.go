package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/explain"
)

// underName has the rest of the test in a program that was started as path.
func underName(t *testing.T, path string) {
	t.Helper()
	before := called
	t.Cleanup(func() { called = before })
	nameProgram(path)
}

// TestCommandLine: "coredns-kms" needs no "kms" before a command; whatever the name, flags alone start a server.
func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		program string
		args    string
		want    string
		ok      bool
	}{
		{"/usr/bin/coredns", "kms probe host", "probe host", true},
		{"/usr/bin/coredns", "kms", "", true},
		{"/usr/bin/coredns", "probe host", "", false},
		{"/usr/bin/coredns", "-conf Corefile", "", false},
		{"/usr/bin/coredns", "", "", false},
		{"/usr/bin/coredns-kms", "probe host", "probe host", true},
		{"/usr/bin/coredns-kms", "kms probe host", "probe host", true},
		{"coredns-kms", "help", "help", true},
		{"coredns-kms", "-conf Corefile", "", false},
		{"coredns-kms", "", "", false},
		{"/opt/coredns-kms/coredns", "probe host", "", false},
	} {
		t.Run(tt.program+" "+tt.args, func(t *testing.T) {
			underName(t, tt.program)
			got, ok := commandLine(strings.Fields(tt.args))
			if ok != tt.ok || strings.Join(got, " ") != tt.want {
				t.Errorf("Got %q, %v", got, ok)
			}
		})
	}
}

// TestNoTextForgetsTheName: whatever is printed about the program installed as coredns-kms calls it that.
func TestNoTextForgetsTheName(t *testing.T) {
	underName(t, "/usr/bin/coredns-kms")
	dir := t.TempDir()
	calls := [][]string{{"help"}, {"nonsense"}, {"probe"}, {"drain", "a", "b"}, {"man"}, {"man", "-dir", dir}, {"complete", ""}}
	for _, c := range commands(wall()) {
		calls = append(calls, []string{"help", c.Name})
	}
	for _, shell := range shells {
		calls = append(calls, []string{"completion", shell})
	}
	resolv := writeFile(t, "nameserver 127.0.0.1\n")
	calls = append(calls, []string{"explain", "-json"}, []string{"explain", "-event", "12288: 0x8007007B, 0x00000000, kms:1688, " +
		"36f27b39-2fd5-440b-be67-a09996d27a38, 2010/09/29 17:52, 0, 2, 41760, 68531fb9-5511-4989-97be-d11a0f55633f, 5"},
		[]string{"discover", "-resolv", resolv}, []string{"discover", "-json", "-resolv", resolv},
		[]string{"discover", "-server", nobody(t), "-suffix", "example.org"}, []string{"simulate", "-clients", "5", "-days", "1"})
	for _, e := range explain.Entries() {
		calls = append(calls, []string{"explain", e.Code})
	}
	var said bytes.Buffer
	for _, args := range calls {
		before := said.Len()
		dispatch(t.Context(), commands(wall()), args, &said, &said)
		if said.Len() == before {
			t.Errorf("%q says nothing", args)
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) < 8 {
		t.Fatalf("Only the pages %q, %v", pages, err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(text)
	}
	for line := range strings.Lines(said.String()) {
		for _, wrong := range []string{"coredns kms", "coredns-kms kms help", "coredns-kms-kms", `"coredns"`, `coredns\fR`} {
			if strings.Contains(line, wrong) {
				t.Errorf("%q in %s", wrong, line)
			}
		}
	}
}

// TestCompletionOfThePackage: a command may be the first word.
func TestCompletionOfThePackage(t *testing.T) {
	underName(t, "/usr/bin/coredns-kms")
	for line, want := range map[string]string{"pro": "probe", "kms pro": "probe", "probe -ki": "-kind", "-con": "-conf"} {
		var said, wrong bytes.Buffer
		dispatch(t.Context(), commands(wall()), append([]string{"complete"}, strings.Fields(line)...), &said, &wrong)
		var words []string
		for l := range strings.Lines(said.String()) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			words = append(words, word)
		}
		if !slices.Equal(words, []string{want}) || wrong.Len() > 0 {
			t.Errorf("%q becomes %q, want %q; %s", line, words, want, &wrong)
		}
	}
}
