package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/lint"

	"github.com/miekg/dns"
)

// TestLintGolden lints every Corefile of testdata/lint. In a process of its own, as always: the plugins' setups change what
// CoreDNS has once in a process.
func TestLintGolden(t *testing.T) {
	dir, err := filepath.Abs("testdata/lint")
	if err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob(filepath.Join(dir, "*.corefile"))
	if err != nil || len(all) < 10 {
		t.Fatalf("Got %d Corefiles, %v", len(all), err)
	}
	for _, path := range all {
		name := strings.TrimSuffix(filepath.Base(path), ".corefile")
		t.Run(name, func(t *testing.T) {
			t.Setenv("FIXTURES", dir)
			status, stdout, stderr := coredns(t, "kms", "lint", "-no-probe", path)
			got := fmt.Sprintf("%sexit status %d\n", strings.ReplaceAll(stdout, dir+"/", ""), status)
			if stderr != "" {
				t.Errorf("On standard error: %q", stderr)
			}
			golden := strings.TrimSuffix(path, ".corefile") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("Got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestLintDocuments: what we tell people to write down has no error, and the example, with which they begin, no warning.
func TestLintDocuments(t *testing.T) {
	example, err := filepath.Abs("../Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := coredns(t, "kms", "lint", "-no-probe", example); status != 0 {
		t.Errorf("Corefile.example: %d, %s%s", status, stdout, stderr)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	snippets := strings.Split(string(readme), "\n~~~ corefile\n")[1:]
	if len(snippets) < 3 {
		t.Fatalf("Got %d Corefiles in README.md", len(snippets))
	}
	for i, s := range snippets {
		text, _, _ := strings.Cut(s, "\n~~~\n")
		path := filepath.Join(t.TempDir(), "Corefile")
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := coredns(t, "kms", "lint", "-no-probe", path)
		t.Logf("Snippet %d: %s", i+1, stdout)
		if status > 1 {
			t.Errorf("Snippet %d of README.md: %d, %s%s\n%s", i+1, status, stdout, stderr, text)
		}
	}
}

func TestLintJSON(t *testing.T) {
	path, err := filepath.Abs("testdata/lint/refused.corefile")
	if err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := coredns(t, "kms", "lint", "-json", path)
	var got struct {
		Version          int
		Status, Corefile string
		Findings         []struct {
			File                 string
			Line                 int
			Severity, Rule, Text string
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v: %q, %q", err, stdout, stderr)
	}
	if status != 2 || got.Status != "CRITICAL" || got.Version != 1 || got.Corefile != path || len(got.Findings) != 1 {
		t.Fatalf("Got %d, %+v", status, got)
	}
	if f := got.Findings[0]; f.File != path || f.Line != 4 || f.Severity != "error" || f.Rule != "load" || !strings.Contains(f.Text, "duplicate host") {
		t.Errorf("Got %+v", f)
	}
	path, err = filepath.Abs("testdata/lint/quiet.corefile")
	if err != nil {
		t.Fatal(err)
	}
	if status, stdout, _ := coredns(t, "kms", "lint", "-no-probe", "-json", path); status != 0 || !strings.Contains(stdout, `"findings": []`) {
		t.Errorf("Got %d, %s, want an empty list", status, stdout)
	}
}

func TestLintRules(t *testing.T) {
	var text, doc, stderr bytes.Buffer
	if status := kms(t, "lint", []string{"-rules"}, &text, &stderr); status != 0 || strings.Count(text.String(), "\n") != len(lint.Rules()) {
		t.Errorf("Got %d, %s, want a line for each rule", status, &text)
	}
	var got struct {
		Rules []struct{ Rule, Severity, Reason string }
	}
	if status := kms(t, "lint", []string{"-json", "-rules"}, &doc, &stderr); status != 0 || json.Unmarshal(doc.Bytes(), &got) != nil || len(got.Rules) != len(lint.Rules()) {
		t.Fatalf("Got %d, %s", status, &doc)
	}
	for _, r := range got.Rules {
		if r.Rule == "" || r.Severity == "" || r.Reason == "" || !strings.Contains(text.String(), r.Rule) {
			t.Errorf("Got %+v", r)
		}
	}
}

func TestLintWrongCall(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long")
	if err := os.WriteFile(long, bytes.Repeat([]byte("#"), maxCorefile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"", "one Corefile"},
		{"a b", "one Corefile"},
		{"-rules a", "takes no Corefile"},
		{filepath.Join(dir, "none"), "no such file"},
		{dir, "is no file"},
		{os.DevNull, "is no file"},
		{long, "more than 1048576 octets"},
	} {
		var stdout, stderr bytes.Buffer
		if status := kms(t, "lint", strings.Fields(tt.args), &stdout, &stderr); status != 3 || !strings.Contains(stdout.String()+stderr.String(), tt.want) ||
			stderr.Len() == 0 && !strings.HasPrefix(stdout.String(), "KMS UNKNOWN - ") {
			t.Errorf("%q: %d, %q, %q, want 3 and %q", tt.args, status, &stdout, &stderr, tt.want)
		}
	}
}

// TestLintHostile: whatever the file has in it, the terminal gets lines of plain text, and the end comes soon.
func TestLintHostile(t *testing.T) {
	for name, text := range map[string]string{
		"binary":         "\x00\x01\xff\xfe\x1b[2J{}{{\n\x80}",
		"escapes":        "example.org {\n kms {\n  host \"\x1b]0;title\x07\u202e\"\n }\n}\n",
		"snippet circle": "(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}\n",
		"file circle":    "import Corefile\n",
		"deep":           strings.Repeat("{", 100_000),
		"long line":      "example.org {\n kms {\n  host " + strings.Repeat("a", 500_000) + ".example.org\n }\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "Corefile")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			status, stdout, stderr := coredns(t, "kms", "lint", "-no-probe", path)
			if status != 2 || !strings.Contains(stdout, ": error: [load] ") {
				t.Errorf("Got %d, %.300q, %.300q, want 2 and the server's error", status, stdout, stderr)
			}
			if i := strings.IndexFunc(stdout+stderr, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x202e }); i >= 0 {
				t.Errorf("%q is not for a terminal", stdout+stderr)
			}
		})
	}
}

// TestLintInterrupted: an import that never ends is left, when somebody has waited long enough.
func TestLintInterrupted(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "Corefile")
	if err := os.WriteFile(path, []byte("example.org {\n import pipe\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "kms", "lint", path)
	cmd.Env = append(os.Environ(), runMain+"=1")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile(pipe, os.O_WRONLY, 0) // opens when the import does
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 3 || !strings.Contains(stdout.String(), "interrupted") {
		t.Errorf("Got %d, %q, want 3", cmd.ProcessState.ExitCode(), &stdout)
	}
}

// TestLook probes hosts that are given by their addresses, so that no resolver is asked.
func TestLook(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	local := netip.MustParseAddr("127.0.0.1")
	alive := config.Host{Addresses: []netip.Addr{local}, Port: uint16(ln.Addr().(*net.TCPAddr).Port)}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := config.Host{Addresses: []netip.Addr{local}, Port: uint16(gone.Addr().(*net.TCPAddr).Port)}
	gone.Close()
	b := config.Default()
	b.Probe.Kind, b.Hosts = config.ProbeTCP, []config.Host{alive, dead}
	c := &lint.Corefile{Names: map[string]lint.Name{}, Servers: []lint.Server{{Blocks: []lint.Block{{Block: b}}}}}
	dir := t.TempDir()
	store, control := filepath.Join(dir, "kms.db"), filepath.Join(dir, "none", "s")
	if err := os.WriteFile(store, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Servers[0].Blocks[0].Store, c.Servers[0].Blocks[0].Control = store, control
	look(t.Context(), c)
	if want := map[string]lint.Path{store: {Is: "a file", Directory: true}, control: {}}; !maps.Equal(c.Paths, want) {
		t.Errorf("Paths: %v, want %v", c.Paths, want)
	}
	if at, ok := lookAt(dir); !ok || at != (lint.Path{Is: "a directory", Directory: true}) {
		t.Errorf("%s: %v, %t", dir, at, ok)
	}
	if wrong, asked := c.Probes[alive.Endpoint()]; wrong != "" || !asked {
		t.Errorf("Got %q, %t for a host that listens", wrong, asked)
	}
	if wrong := c.Probes[dead.Endpoint()]; !strings.Contains(wrong, "refused") {
		t.Errorf("Got %q for a host that does not", wrong)
	}
	if !slices.Contains(c.Local, local) {
		t.Errorf("Addresses of this machine: %v", c.Local)
	}
}

// TestAliasOf asks a name server of its own.
func TestAliasOf(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			switch r.Question[0].Name {
			case "alias.example.org.":
				rr, err := dns.NewRR("ALIAS.example.org. 60 IN CNAME Kms1.example.org.")
				if err != nil {
					t.Error(err)
				}
				m.Answer = []dns.RR{rr}
			case "none.example.org.":
				m.Rcode = dns.RcodeNameError
			case "broken.example.org.":
				m.Rcode = dns.RcodeServerFailure
			}
			w.WriteMsg(m)
		})}
	go server.ActivateAndServe()
	defer server.Shutdown()
	<-started
	for name, want := range map[string]string{"alias.example.org.": "kms1.example.org.", "kms1.example.org.": "", "none.example.org.": "", "broken.example.org.": ""} {
		if got := aliasOf(t.Context(), []string{pc.LocalAddr().String()}, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if got := aliasOf(over, []string{pc.LocalAddr().String()}, "alias.example.org."); got != "" {
		t.Errorf("Got %q when the time is over", got)
	}
	if got := nameServers(filepath.Join(t.TempDir(), "none")); got != nil {
		t.Errorf("Got %v from no resolv.conf", got)
	}
}

// TestLintSaysWhatTheServerSays: an error is the one with which the server ends.
func TestLintSaysWhatTheServerSays(t *testing.T) {
	for _, name := range []string{"refused", "unknown", "overlap", "keys"} {
		path, err := filepath.Abs("testdata/lint/" + name + ".corefile")
		if err != nil {
			t.Fatal(err)
		}
		_, stdout, _ := coredns(t, "kms", "lint", "-no-probe", path)
		_, said, found := strings.Cut(stdout, ": error: [load] ")
		said, _, _ = strings.Cut(said, "\n")
		status, out, errs := coredns(t, "-conf", path)
		lines := strings.Split(strings.TrimSpace(out+errs), "\n")
		if last := lines[len(lines)-1]; status == 0 || !found || last != said {
			t.Errorf("%s: the server ends with %d and %q, lint says %q", name, status, out+errs, said)
		}
	}
}
