package main

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// rehearsalHost starts a rehearsal KMS host for the length of the test and returns its address.
func rehearsalHost(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := (&kmsresponder.Rehearsal{}).Serve(t.Context(), ln); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait) // t.Context is done before clean-up
	return ln.Addr().String()
}

// nobody is an address where nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestProbeCommand(t *testing.T) {
	up, down := rehearsalHost(t), nobody(t)
	for name, tt := range map[string]struct {
		args   string
		status int
		stdout string // in the first line
		stderr string
	}{
		"all pass":               {up, 0, "KMS OK - 1 of 1 pass (rpc) | '" + up + "'=", ""},
		"tcp":                    {"-kind tcp " + up, 0, "KMS OK - 1 of 1 pass (tcp)", ""},
		"some fail":              {up + " " + down, 1, "KMS WARNING - 1 of 2 pass", ""},
		"slow is a warning":      {"-warn 1ns " + up, 1, "KMS WARNING - 1 of 1 pass", ""},
		"all fail":               {down, 2, "KMS CRITICAL - 0 of 1 pass", ""},
		"name that cannot exist": {"two..dots", 3, "KMS UNKNOWN - 0 of 1 pass", ""},
		"unknown beside a pass":  {"two..dots " + up, 1, "KMS WARNING - 1 of 2 pass", ""},
		"bad port":               {"127.0.0.1:99999", 3, "KMS UNKNOWN", ""},
		"no host":                {"", 3, "", "no host"},
		"bad kind":               {"-kind icmp " + up, 3, "", "one of rpc, tcp"},
		"bad timeout":            {"-timeout 0s " + up, 3, "", "from above 0"},
		"unknown flag":           {"-frobnicate " + up, 3, "", "frobnicate"},
		"too many":               {strings.Repeat(up+" ", maxProbed+1), 3, "", "at most 256"},
		"help":                   {"-h", 0, "Usage: coredns kms probe", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := kms(t, "probe", strings.Fields(tt.args), &stdout, &stderr)
			first, _, _ := strings.Cut(stdout.String(), "\n")
			if status != tt.status || !strings.HasPrefix(first, tt.stdout) || tt.stdout == "" && first != "" || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("Status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
			}
		})
	}
}

func TestProbeCommandJSON(t *testing.T) {
	up, down := rehearsalHost(t), nobody(t)
	var stdout, stderr bytes.Buffer
	if status := kms(t, "probe", []string{"-json", up, down}, &stdout, &stderr); status != 1 {
		t.Errorf("Status %d, %s", status, stderr.String())
	}
	var got struct {
		Version int
		Status  string
		Hosts   []struct {
			Host   string
			Result struct{ Outcome, Stage, Error, Syntax string }
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != 1 || got.Status != "WARNING" || len(got.Hosts) != 2 || got.Hosts[0].Result.Outcome != "passed" ||
		got.Hosts[0].Result.Syntax != "NDR32" || got.Hosts[1].Host != down || got.Hosts[1].Result.Outcome != "refused" || got.Hosts[1].Result.Error == "" {
		t.Errorf("Got %s", stdout.String())
	}
}

func TestRehearseCommand(t *testing.T) {
	for name, tt := range map[string]struct {
		args   string
		status int
		want   string
	}{
		"no address":     {"", 3, "-listen or -domain is missing"},
		"address in use": {"-listen " + rehearsalHost(t), 3, "in use"},
		"surplus word":   {"-listen 127.0.0.1:0 again", 3, "unexpected"},
		"help":           {"-h", 0, "Usage: coredns kms rehearse"},
	} {
		var stdout, stderr bytes.Buffer
		if status := kms(t, "rehearse", strings.Fields(tt.args), &stdout, &stderr); status != tt.status || !strings.Contains(stdout.String()+stderr.String(), tt.want) {
			t.Errorf("%s: status %d, stdout %q, stderr %q", name, status, stdout.String(), stderr.String())
		}
	}
}
