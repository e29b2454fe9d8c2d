//go:build interop

package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// discoverZone is a zone of somebody who does all by hand, and several things wrong.
const discoverZone = `$TTL 1h
$ORIGIN example.org.
@                     IN SOA  ns1 hostmaster ( 7 2h 30m 2w 1m )
                      IN NS   ns1
ns1                   IN A    127.0.0.1
kms1                  IN A    127.0.0.1
kms                   IN CNAME kms1
_vlmcs._tcp.well      IN SRV  0 0 $UP kms1
_vlmcs._tcp.dead      IN SRV  0 0 $DOWN kms1
                      IN SRV  10 0 $UP kms1
_vlmcs._tcp.alias     IN SRV  0 0 $UP kms
_vlmcs._tcp.dot       IN SRV  0 0 1688 kms1.example.org
_vlmcs._tcp.empty     IN TXT  "somewhere else"
lame                  IN NS   ns1
$GENERATE 1-40 _vlmcs._tcp.many IN SRV "$ 0 $UP host$.with.a.name.that.makes.the.answer.long.many"
$GENERATE 1-40 host$.with.a.name.that.makes.the.answer.long.many IN A 127.0.0.1
`

// TestDiscoverAgainstBIND asks a real name server, which is authoritative for the zone and a resolver for the rest.
func TestDiscoverAgainstBIND(t *testing.T) {
	run := command(builtBinary(t), "discover")
	file := filepath.Join(t.TempDir(), "db.example.org")
	up, down := startHost(t), freePort(t)
	text := strings.NewReplacer("$UP", up.number(), "$DOWN", strconv.Itoa(int(down))).Replace(discoverZone)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	zones := fmt.Sprintf("zone \"example.org\" { type primary; file %q; };\nzone \".\" { type primary; file %q; };\n", file,
		emptyRoot(t))
	resolver := startNamed(t, &server{port: freePort(t)}, "recursion yes; allow-recursion { any; }; dnssec-validation no;", zones)
	server := startNamed(t, &server{port: freePort(t)}, "recursion no; dnssec-validation no;", zones)
	for name, tt := range map[string]struct {
		from   *daemon
		suffix string
		status int
		want   []string
	}{
		"well": {resolver, "well.example.org", 0, []string{"KMS OK", "is in the zone example.org, whose primary server " +
			"is ns1.example.org, serial 7", "the zone's name servers answer: ns1.example.org"}},
		"dead": {resolver, "dead.example.org", 1, []string{"every client first tries one that does not serve",
			"FAIL  1. kms1.example.org:" + strconv.Itoa(int(down))}},
		"alias":      {resolver, "alias.example.org", 1, []string{"the target is an alias for kms1.example.org"}},
		"dot":        {resolver, "dot.example.org", 2, []string{`the dot at the end of the target is missing in the zone file: write "kms1.`}},
		"NODATA":     {resolver, "empty.example.org", 2, []string{"(NODATA)", "0x8007251D"}},
		"NXDOMAIN":   {resolver, "none.example.org", 2, []string{"(NXDOMAIN)", "0x8007232B"}},
		"SERVFAIL":   {resolver, "lame.example.org", 2, []string{"(SERVFAIL)", "0x8007232A"}},
		"a referral": {server, "lame.example.org", 2, []string{"refers to other servers and resolves nothing itself"}},
		"above": {resolver, "pc.well.example.org", 2, []string{"nslookup works, slmgr does not: " +
			"_vlmcs._tcp.well.example.org has 1 SRV record"}},
		"truncated by UDP": {resolver, "many.example.org", 0, []string{"40 SRV records", "by TCP since they do not fit into UDP"}},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := run(t, "-server", tt.from.address(), "-suffix", tt.suffix)
			if status != tt.status {
				t.Errorf("Status %d, want %d", status, tt.status)
			}
			for _, want := range tt.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("Without %q", want)
				}
			}
			if t.Failed() {
				t.Logf("%s%s", stdout, stderr)
			}
		})
	}
	t.Run("two servers, resolv.conf", func(t *testing.T) {
		// resolv.conf has no ports, so no server answers at 127.0.0.1; what counts is that each is named, and none for long.
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte("nameserver 127.0.0.177\nnameserver 127.0.0.178\nsearch well.example.org\n"),
			0o644); err != nil {
			t.Fatal(err)
		}
		status, stdout, _ := run(t, "-resolv", path)
		if status != 2 || !strings.Contains(stdout, "nothing listens at 127.0.0.177:53") || !strings.Contains(stdout,
			"nothing listens at 127.0.0.178:53") {
			t.Errorf("Status %d: %s", status, stdout)
		}
	})
}

// emptyRoot is a root zone in which nothing stands, so that a resolver need not ask the world.
func emptyRoot(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "db.root")
	text := "$TTL 1h\n. IN SOA ns1.example.org. hostmaster.example.org. 1 2h 30m 2w 1m\n. IN NS " +
		"ns1.example.org.\nns1.example.org. IN A 127.0.0.1\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestDiscoverAgainstCorefileExample is the way in of a new user: the example, and then the command.
func TestDiscoverAgainstCorefileExample(t *testing.T) {
	binary := builtBinary(t)
	run := command(binary, "discover")
	text, err := os.ReadFile("../Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	start := func(t *testing.T, corefile string) *daemon {
		t.Helper()
		s := &server{port: freePort(t)}
		var ports []string
		for _, p := range []string{"16880", "16881", "16882", "16883", "9153", "8181", "8080"} {
			ports = append(ports, p, strconv.Itoa(int(freePort(t))))
		}
		path := filepath.Join(t.TempDir(), "Corefile")
		corefile = strings.NewReplacer(append(ports, ":1053", ":"+strconv.Itoa(int(s.port)))...).Replace(corefile)
		if err := os.WriteFile(path, []byte(corefile), 0o644); err != nil {
			t.Fatal(err)
		}
		return startDaemon(t, s, binary, "-conf", path)
	}
	t.Run("as it stands", func(t *testing.T) {
		d := start(t, string(text))
		status, stdout, stderr := run(t, "-server", d.address(), "-suffix", "corp.example.org")
		if status != 0 || !strings.HasPrefix(stdout, "KMS OK - a client finds kms.corp.example.org:") || strings.Contains(stdout,
			"warn") || strings.Count(stdout, "takes a KMS bind") != 4 {
			t.Errorf("Status %d: %s%s", status, stdout, stderr)
		}
	})
	t.Run("without its hosts", func(t *testing.T) {
		d := start(t, strings.ReplaceAll(string(text), "        rehearse 127", "        # rehearse 127"))
		var stdout string
		await(t, 40*time.Second, "the server says that all hosts are down", func() bool {
			status := 0
			status, stdout, _ = run(t, "-server", d.address(), "-suffix", "corp.example.org")
			return status == 2 && strings.Contains(stdout, "the server adds: every KMS host failed its checks")
		})
		if strings.Count(stdout, "FAIL") != 2 || !strings.Contains(stdout, "a client finds 2 hosts and none that serves (Windows "+
			"shows 0xC004F074)") {
			t.Errorf("The first tier is answered, and dead: %s", stdout)
		}
	})
}

// builtBinary is coredns made from this tree, for the length of the test.
func builtBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "coredns")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", binary,
		"../build").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// command runs "kms NAME" of a binary.
func command(binary, name string) func(t *testing.T, args ...string) (status int, stdout, stderr string) {
	return func(t *testing.T, args ...string) (int, string, string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary, append([]string{"kms", name}, args...)...)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatalf("kms %s %q: %v", name, args, err)
		}
		return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
	}
}
