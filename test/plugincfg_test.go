//go:build interop

package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPluginCfg goes the way of someone who builds CoreDNS themselves: a line in
// upstream's plugin.cfg, upstream's own generator, upstream's main. It is what the
// root package being the plugin is for, and build/ takes no part in it.
func TestPluginCfg(t *testing.T) {
	ours, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	upstream := strings.TrimSpace(run(t, ours, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/coredns/coredns"))
	tree := filepath.Join(t.TempDir(), "coredns")
	// The module cache is read-only; CopyFS makes files that can be written.
	if err := os.CopyFS(tree, os.DirFS(upstream)); err != nil {
		t.Fatalf("Cannot copy CoreDNS's sources: %v", err)
	}

	addPlugin(t, filepath.Join(tree, "plugin.cfg"))
	// Until there is a release to require, and so that it is this tree that is tested.
	run(t, tree, "go", "mod", "edit", "-require="+module+"@v0.0.0", "-replace="+module+"="+ours)
	// The three steps of CoreDNS's README.
	run(t, tree, "go", "generate", "coredns.go")
	run(t, tree, "go", "get")
	run(t, tree, "go", "build", "-o", "coredns")

	generated, err := os.ReadFile(filepath.Join(tree, "core", "dnsserver", "zdirectives.go"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\t\"transfer\",\n\t\"kms\",\n\t\"dynupdate\",\n"; !strings.Contains(string(generated), want) {
		t.Errorf("No %q in the generated order of directives:\n%s", want, generated)
	}
	if got := strings.Fields(run(t, tree, "./coredns", "-plugins")); !slices.Contains(got, "kms") {
		t.Errorf("No kms in the output of -plugins: %q", got)
	}
}

// addPlugin puts our line into plugin.cfg where the README says: above dynupdate.
func addPlugin(t *testing.T, file string) {
	t.Helper()
	const below = "\ndynupdate:dynupdate\n"
	cfg, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(cfg, []byte(below)); n != 1 {
		t.Fatalf("Got %d lines of dynupdate in upstream's plugin.cfg, want 1", n)
	}
	cfg = bytes.Replace(cfg, []byte(below), []byte("\nkms:"+module+below), 1)
	if err := os.WriteFile(file, cfg, 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs a command in dir and returns what it printed on standard output.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	// Flags and a workspace of whoever runs the tests are not part of the way.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}
