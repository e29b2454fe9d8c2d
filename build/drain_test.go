package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/control"
)

// socketDir is a directory whose name is short enough for sockets in it.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serving runs CoreDNS as a process of its own with the kms block that block is in, and returns how to kill it with SIGKILL.
func serving(t *testing.T, block string) (kill func()) {
	t.Helper()
	corefile := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(corefile, []byte("example.org:0 {\nbind 127.0.0.1\nkms {\n"+block+"}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-conf", corefile)
	cmd.Env = append(os.Environ(), runMain+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait() // it was killed
	})
	t.Cleanup(kill)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "CoreDNS-") { // what it prints when it serves
			return kill
		}
	}
	t.Fatalf("CoreDNS does not start: %s", errs.String())
	return nil
}

// TestDrainSurvivesKill: as an operator does it, with a server that is killed right after it said that the drain is kept.
func TestDrainSurvivesKill(t *testing.T) {
	dir := socketDir(t)
	socket, up, down := filepath.Join(dir, "s"), rehearsalHost(t), nobody(t)
	block := fmt.Sprintf("host %s\nhost %s priority 1 weight 7\nstore %s\ncontrol %s\n", up, down, filepath.Join(dir, "kms.db"), socket)
	run := func(status int, args ...string) (stdout, stderr string) {
		t.Helper()
		args = append([]string{"kms", args[0], "-socket", socket}, args[1:]...)
		got, stdout, stderr := coredns(t, args...)
		if got != status {
			t.Fatalf("%v: status %d, %s%s, want %d", args, got, stdout, stderr, status)
		}
		return stdout, stderr
	}
	kill := serving(t, block)
	stdout, _ := run(0, "drain", "-why", "new disks", down)
	if want := down + " is drained, in pool example.org\n"; stdout != want {
		t.Errorf("Drained: %q, want %q", stdout, want)
	}
	kill()
	if stdout, _ := run(3, "hosts"); !strings.Contains(stdout, "not running any more") {
		t.Errorf("With a dead server: %q", stdout)
	}
	serving(t, block) // which finds the socket of the dead one
	stdout, _ = run(0, "hosts")
	if !strings.Contains(stdout, ": new disks") || !strings.Contains(stdout, "drained by ") {
		t.Errorf("After the restart:\n%s", stdout)
	}
	if _, stderr := run(1, "drain", up); !strings.Contains(stderr, "warning: every host of pool example.org is drained") {
		t.Errorf("The last one: %q", stderr)
	}
	if stdout, _ = run(2, "hosts"); !strings.HasPrefix(stdout, "KMS CRITICAL - 0 of 2 hosts up | hosts_up=0;;;0;2 ") {
		t.Errorf("With all drained:\n%s", stdout)
	}
	stdout, _ = run(0, "undrain", "-json", up)
	var d control.Decision
	if err := json.Unmarshal([]byte(stdout), &d); err != nil || !d.Kept || d.Host != up || !strings.Contains(stdout, `"status": "OK"`) {
		t.Errorf("As JSON: %v, %s", err, stdout)
	}
	if _, stderr := run(2, "drain", "kms7.example.org"); !strings.Contains(stderr, "there is ") || !strings.Contains(stderr, up) {
		t.Errorf("An unknown host: %q", stderr)
	}
}

// TestStatusOfServer: the commands that ask, and a server that answers.
func TestStatusOfServer(t *testing.T) {
	socket, up := filepath.Join(socketDir(t), "s"), rehearsalHost(t)
	serving(t, fmt.Sprintf("host %s\ncontrol %s\n", up, socket))
	for _, tc := range []struct {
		args   []string
		status int // at most: right after its start a server may not know yet
		want   string
	}{
		{[]string{"status", "-once"}, 2, up},
		{[]string{"status", "-json"}, 2, `"zones"`},
		{[]string{"hosts"}, 0, up},
		{[]string{"clients"}, 0, "KMS OK - 0 clients"},
		{[]string{"clients", "-csv"}, 0, "id,cmid,machine,"},
		{[]string{"why", "192.0.2.1"}, 2, "nothing is known"},
		{[]string{"complete", "kms", "drain", "-socket", socket, ""}, 0, strings.Split(up, ":")[0]},
	} {
		args := append([]string{"kms"}, tc.args...)
		if tc.args[0] != "complete" {
			args = append(args, "-socket", socket)
		}
		status, stdout, stderr := coredns(t, args...)
		if status > tc.status || !strings.Contains(stdout+stderr, tc.want) {
			t.Errorf("%q: status %d, %s%s, want %q", tc.args, status, stdout, stderr, tc.want)
		}
	}
}

// saying is a socket at which a server says the same to everybody.
func saying(t *testing.T, text string) string {
	t.Helper()
	socket := filepath.Join(socketDir(t), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(text)) })}
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { h.Close(); running.Wait() })
	return socket
}

func TestDrainCommand(t *testing.T) {
	socket := saying(t, `{"version":1,"host":"kms1.example.org:1688","pools":["a","b"],"kept":true,"notes":["it was drained already, by \u001b[2J"]}`)
	warned := saying(t, `{"version":1,"host":"kms1.example.org:1688","pools":[],"warnings":["disk full \u001b[31m"]}`)
	refused := saying(t, `{"version":1,"error":"no host \u001b]0;x"}`)
	for name, tt := range map[string]struct {
		args           string
		status         int
		stdout, stderr string
	}{
		"done":              {"-socket " + socket + " kms1.example.org", 0, "kms1.example.org:1688 is drained, in pool a, b\n  it was drained already, by \\x1b[2J\n", ""},
		"flags behind":      {"kms1.example.org -socket " + socket, 0, "kms1.example.org:1688 is drained", ""},
		"with a warning":    {"-socket " + warned + " kms1.example.org", 1, "kms1.example.org:1688 is drained, in no pool\n", "kms drain: warning: disk full \\x1b[31m\n"},
		"refused":           {"-socket " + refused + " kms1.example.org", 2, "", "kms drain: no host \\x1b]0;x\n"},
		"no server":         {"-socket " + socket + "x kms1.example.org", 3, "", "is the server running"},
		"no host":           {"-socket " + socket, 3, "", "takes one"},
		"two hosts":         {"-socket " + socket + " a b", 3, "", "2 hosts"},
		"empty host":        {"-socket " + socket + " -- ", 3, "", "takes one"},
		"unknown flag":      {"-frobnicate kms1", 3, "", "frobnicate"},
		"unknown flag last": {"kms1 -frobnicate", 3, "", "frobnicate"},
		"help":              {"-h", 0, "Usage: coredns kms drain", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := kms(t, "drain", strings.Fields(tt.args), &stdout, &stderr)
			if status != tt.status || !strings.HasPrefix(stdout.String(), tt.stdout) || tt.stdout == "" && stdout.Len() > 0 ||
				!strings.Contains(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
				t.Errorf("Status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
			}
		})
	}
}
