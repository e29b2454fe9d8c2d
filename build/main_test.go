package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
)

// runMain turns a process of the test binary into coredns, so that the tests of
// flags, output and exit status need no second link of the whole server.
const runMain = "COREDNS_KMS_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// coredns runs main with args as a process of its own and returns its exit status
// and what it printed.
func coredns(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	// A server that was not supposed to start must not hang the tests.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), runMain+"=1")
	cmd.Dir = t.TempDir() // no stray Corefile
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatalf("Cannot run coredns %q: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestDirectiveOrder(t *testing.T) {
	got, err := directivesWithKMS(dnsserver.Directives)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(got, "kms")
	if at < 0 || at+1 >= len(got) || got[at+1] != "dynupdate" {
		t.Fatalf("Got %v, want kms right before dynupdate", got)
	}
	// What acts on our answers, or on the question before we see it, comes first;
	// what we overlay comes after. That is what kms's documentation promises.
	above := []string{"metadata", "prometheus", "errors", "log", "tsig", "rewrite", "acl", "cache", "dnssec", "minimal", "template", "transfer"}
	below := []string{"dynupdate", "hosts", "kubernetes", "file", "auto", "secondary", "etcd", "forward"}
	for _, name := range above {
		if i := slices.Index(got, name); i < 0 || i > at {
			t.Errorf("%s is at %d, want it above kms at %d", name, i, at)
		}
	}
	for _, name := range below {
		if i := slices.Index(got, name); i < at {
			t.Errorf("%s is at %d, want it below kms at %d", name, i, at)
		}
	}
	if without := slices.Delete(slices.Clone(got), at, at+1); !slices.Equal(without, dnsserver.Directives) {
		t.Errorf("Order of the other directives changed: got %v, want %v", without, dnsserver.Directives)
	}
}

func TestDirectiveOrderWithoutDynupdate(t *testing.T) {
	if got, err := directivesWithKMS([]string{"transfer", "file"}); err == nil {
		t.Errorf("Got %v for a CoreDNS without dynupdate, want an error", got)
	}
}

func TestVersionOf(t *testing.T) {
	tree := func(modified string) *debug.BuildInfo {
		return &debug.BuildInfo{
			Main: debug.Module{Version: "v0.0.0-20260101000000-0123456789ab"},
			Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
				{Key: "vcs.modified", Value: modified},
			},
		}
	}
	tests := []struct {
		name    string
		stamped string
		info    *debug.BuildInfo
		want    string
	}{
		{"stamped", "1.2.3", tree("true"), "1.2.3"},
		{"working tree", "", tree("false"), "0123456789ab"},
		{"changed working tree", "", tree("true"), "0123456789ab-dirty"},
		{"go install", "", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
		{"no repository", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "dev"},
		{"nothing known", "", &debug.BuildInfo{}, "dev"},
		{"no build information", "", nil, "dev"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := versionOf(tc.stamped, tc.info); got != tc.want {
				t.Errorf("Got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	status, stdout, stderr := coredns(t, "-version")
	if status != 0 {
		t.Fatalf("Got exit status %d and %q, want 0", status, stderr)
	}
	info, _ := debug.ReadBuildInfo() // the process is this very binary
	want := "CoreDNS-" + coremain.CoreVersion + "+kms-" + versionOf(version, info) + "\n"
	if !strings.HasPrefix(stdout, want) {
		t.Errorf("Got %q, want it to start with %q", stdout, want)
	}
}

func TestPluginsFlag(t *testing.T) {
	status, stdout, stderr := coredns(t, "-plugins")
	if status != 0 {
		t.Fatalf("Got exit status %d and %q, want 0", status, stderr)
	}
	lines := strings.Fields(stdout)
	for _, want := range []string{"kms", "dynupdate", "forward", "on"} {
		if !slices.Contains(lines, want) {
			t.Errorf("No %s in the output of -plugins:\n%s", want, stdout)
		}
	}
}

func TestHelpFlagMentionsCommands(t *testing.T) {
	_, _, stderr := coredns(t, "-h")
	for _, want := range []string{"-conf", "kms help"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("Got %q from -h, want %q in it", stderr, want)
		}
	}
}

// A directive that is not in this build must be told from one that is, with the
// place in the Corefile.
func TestUnknownDirective(t *testing.T) {
	if !notCompiledIn("trace") {
		t.Skip("built with -tags full: every plugin is in")
	}
	for _, directive := range []string{"trace", "no_such_plugin"} {
		t.Run(directive, func(t *testing.T) {
			corefile := filepath.Join(t.TempDir(), "Corefile")
			if err := os.WriteFile(corefile, []byte(".:0 {\n\t"+directive+"\n}\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			status, _, stderr := coredns(t, "-conf", corefile)
			if want := corefile + ":2 - Error during parsing: Unknown directive '" + directive + "'"; status != 1 || !strings.Contains(stderr, want) {
				t.Errorf("Got exit status %d and %q, want 1 and %q", status, stderr, want)
			}
		})
	}
}
