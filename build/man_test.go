package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestManPages: one for each command that is not hidden, and one for all.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	if status := kms(t, "man", []string{"-dir", dir, "-date", "2026-03-01"}, &stdout, &stderr); status != 0 {
		t.Fatalf("Status %d: %s", status, stderr.String())
	}
	pages := "coredns-kms.1"
	for _, c := range commands(wall()) {
		name := "coredns-kms-" + c.Name + ".1"
		text, err := os.ReadFile(filepath.Join(dir, name))
		if c.Hidden {
			if err == nil {
				t.Errorf("There is %s", name)
			}
			continue
		}
		pages += " " + name
		for _, want := range []string{
			".TH " + strings.ToUpper(strings.TrimSuffix(name, ".1")) + ` 1 "2026-03-01"`, ".SH NAME", `\fBcoredns kms ` + c.Name + `\fR`,
			".SH DESCRIPTION", ".SH OPTIONS", ".SH EXIT STATUS", ".SH EXAMPLES", ".SH SEE ALSO",
		} {
			if !strings.Contains(string(text), want+"\n") && !strings.Contains(string(text), want+" ") {
				t.Errorf("%s is without %q", name, want)
			}
		}
		if strings.Contains(string(text), "Exit status") {
			t.Errorf("%s says under EXIT STATUS that it is one", name)
		}
		for _, f := range c.Flags {
			if !strings.Contains(string(text), `\fB\-`+roff(f.Names()[0])+`\fR`) {
				t.Errorf("%s is without -%s", name, f.Names()[0])
			}
		}
	}
	for _, name := range strings.Fields(pages) {
		if !strings.Contains(stdout.String(), name+"\n") {
			t.Errorf("%s is not named in %q", name, stdout.String())
		}
	}
	for _, args := range []string{"", "-dir /nowhere/at/all", "-dir " + dir + " -date 1.3.2026", "-dir " + dir + " more"} {
		if status := kms(t, "man", strings.Fields(args), &stdout, &stderr); status != 3 {
			t.Errorf("%q: status %d", args, status)
		}
	}
}

// TestManLines: no line of text is taken for an order to the formatter.
func TestManLines(t *testing.T) {
	p := &page{}
	p.fill(".de x\n'so /etc/passwd\n" + strings.Repeat("a ", 40) + `.br \fB back-slash`)
	want := `\&.de x 'so /etc/passwd ` + strings.Repeat("a ", 26) + "a\n" + strings.Repeat("a ", 13) + `.br \efB back\-slash` + "\n"
	if got := p.String(); got != want {
		t.Errorf("Got %q, want %q", got, want)
	}
	p = &page{}
	p.fill(strings.Repeat("a ", 39) + ".br")
	if got := p.String(); !strings.HasSuffix(got, "\n\\&.br\n") {
		t.Errorf("A line of its own: %q", got)
	}
}
