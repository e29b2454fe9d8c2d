package main

import (
	"bytes"
	"flag"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// completed is what the last of words may become, without what is said of it.
func completed(t *testing.T, words ...string) []string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := kms(t, "complete", words, &stdout, &stderr); status != 0 || stderr.Len() > 0 {
		t.Errorf("%q: status %d, %s", words, status, stderr.String())
	}
	var all []string
	for line := range strings.Lines(stdout.String()) {
		word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		all = append(all, word)
	}
	return all
}

// TestComplete: the words behind "coredns", with the last to be completed behind the last blank.
func TestComplete(t *testing.T) {
	socket := saying(t, `{"version":1,"pools":[{"name":"a","condition":"calm","hosts":[
		{"endpoint":"kms1.example.org:1688","state":"up"},{"endpoint":"kms2.example.org:1688","state":"drained"},
		{"endpoint":"kms2.example.org:1689","state":"up"},{"endpoint":"[2001:db8::1]:1688","state":"down"},
		{"endpoint":"\u001b[2J\ta\nb:1688","state":"up"},{"endpoint":"$(reboot):1688","state":"up"}]}],
		"absent":[{"endpoint":"gone.example.org:1688"}]}`)
	for line, want := range map[string]string{
		"":                                       "kms",
		"k":                                      "kms",
		"x":                                      "",
		"-conf ":                                 ":files",
		"-dns.port ":                             "",
		"-quiet ":                                "",
		"kms d":                                  "discover drain",
		"kms explain NX":                         "NXDOMAIN NXRRSET",
		"kms explain 0xC004F04":                  "0xC004F042 0xC004F041",
		"kms discover -resolv ":                  ":files",
		"kms un":                                 "undrain",
		"kms comple":                             "completion", // and not what the scripts call
		"kms help re":                            "rehearse",
		"kms completion ":                        "bash zsh fish",
		"kms probe -k":                           "-kind",
		"kms probe --j":                          "--json",
		"kms probe host -":                       "-json -kind -timeout -warn -h -help",
		"kms probe -kind ":                       "rpc tcp",
		"kms probe -json -kind t":                "tcp",
		"kms probe -kind=":                       "-kind=rpc -kind=tcp",
		"kms probe -timeout ":                    "",
		"kms import ":                            ":files",
		"kms import -licensed ":                  ":files",
		"kms import -key":                        "-key -keyfile",
		"kms rehearse -group client":             "client-vl",
		"kms simulate -way ":                     "direct spread concentrate warm all",
		"kms simulate -svg ":                     ":files",
		"kms drain -socket ":                     ":files",
		"kms hosts ":                             "",
		"kms frobnicate ":                        "",
		"kms drain -socket /nowhere/s ":          "",
		"kms drain -socket " + socket + " ":      `kms1.example.org kms2.example.org:1689 2001:db8::1`,
		"kms drain --socket " + socket + " kms1": "kms1.example.org",
		"kms undrain -socket " + socket + " -why x ": "kms2.example.org:1688 gone.example.org",
		"kms undrain -socket " + socket + " -why ":   "",
		"kms drain -socket=" + socket + " 2001":      "2001:db8::1",
	} {
		words := strings.Split(line, " ")
		if got := strings.Join(completed(t, words...), " "); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if got := completed(t, "-con"); !slices.Contains(got, "-conf") {
		t.Errorf("CoreDNS's own flags: %q", got)
	}
	if got := serverCandidates(flag.NewFlagSet("", flag.ContinueOnError), []string{"-nothing"}, ""); len(got) > 0 {
		t.Errorf("Behind an unknown flag: %q", got)
	}
	if got := completed(t); len(got) > 0 {
		t.Errorf("Without a word: %q", got)
	}
}

// TestCompleteHangs: a server that does not answer keeps nobody waiting who pressed a key.
func TestCompleteHangs(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(socketDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	start := time.Now()
	if got := completed(t, "kms", "drain", "-socket", ln.Addr().String(), ""); len(got) > 0 || time.Since(start) > completionTime+5*time.Second {
		t.Errorf("%q, after %s", got, time.Since(start))
	}
}

func TestCompletionCommand(t *testing.T) {
	for _, shell := range shells {
		var stdout, stderr bytes.Buffer
		if status := kms(t, "completion", []string{shell}, &stdout, &stderr); status != 0 || !strings.Contains(stdout.String(), "kms complete ") {
			t.Errorf("%s: status %d, %q, %q", shell, status, stdout.String(), stderr.String())
		}
	}
	for _, args := range []string{"", "tcsh", "bash zsh"} {
		var stderr bytes.Buffer
		if status := kms(t, "completion", strings.Fields(args), io.Discard, &stderr); status != 3 || !strings.Contains(stderr.String(), "bash|zsh|fish") {
			t.Errorf("%q: status %d, %q", args, status, stderr.String())
		}
	}
}
