//go:build interop

package test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestUpdaterFindsThisServer: nsupdate, which is told neither server nor zone, finds both by asking the machine's resolver at
// port 53, as a Windows host does. So each situation has a machine of its own: a network namespace with a resolv.conf.
func TestUpdaterFindsThisServer(t *testing.T) {
	const (
		overlaid = `corp.example.org:$PORT {
			bind 192.0.2.1
			errors
			kms {
				host kms1.corp.example.org:$KMS address 127.0.0.1
				update {
					allow 192.0.2.0/24
				}
				rehearse 192.0.2.1:1688
				probe rpc interval 1s timeout 500ms
				$NS
			}
			file $ZONE
		}`
		delegated = `_vlmcs._tcp.corp.example.org:$PORT {
			bind 192.0.2.1
			errors
			kms {
				host kms1.corp.example.org:$KMS address 127.0.0.1
				update {
					allow 192.0.2.0/24
				}
				rehearse 192.0.2.1:1688
				probe rpc interval 1s timeout 500ms
				$NS
			}
		}`
		ns = "ns ns1.corp.example.org"
	)
	for name, tt := range map[string]struct {
		resolver     string // where the machine asks
		corefile, ns string
		parent       bool // BIND has the zone around, and resolves
		zone         string
	}{
		"over a zone file":                   {"192.0.2.1", overlaid, "", false, "corp.example.org"},
		"over a zone file, a zone of itself": {"192.0.2.1", overlaid, ns, false, "_vlmcs._tcp.corp.example.org"},
		"delegated by BIND":                  {"192.0.2.2", delegated, ns, true, "_vlmcs._tcp.corp.example.org"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(alone) == "" {
				runAlone(t, tt.resolver)
				return
			}
			if tt.parent {
				startNamed(t, &server{ip: "192.0.2.2", port: 53}, "recursion yes; dnssec-validation no;",
					`zone "corp.example.org" { type primary; file "`+parentZone(t)+`"; };`)
			}
			kms := startHost(t)
			s := startServerAt(t, 53, tt.corefile, "$KMS", kms.number(), "$NS", tt.ns, "$ZONE", parentZone(t))
			out := nsupdate(t, "update add _vlmcs._tcp.corp.example.org 3600 SRV 0 0 1688 kms9.corp.example.org.\n")
			for _, want := range []string{
				"Found zone name: " + tt.zone + "\n",
				"The primary is: ns1.corp.example.org\n",
				"Sending update to 192.0.2.1#53\n",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("nsupdate does not say %q", want)
				}
			}
			_, reply, _ := strings.Cut(out, "\nReply from update query:\n")
			if !strings.Contains(reply, "opcode: UPDATE, status: NOERROR") {
				t.Errorf("The update was not accepted")
			}
			// It is a claim until it is proved; kms9 is a rehearsal host here.
			s.ip = "192.0.2.1"
			await(t, 20*time.Second, "the announced host is answered", func() bool {
				return slices.Contains(s.services(t, "_vlmcs._tcp.corp.example.org."), "kms9.corp.example.org:1688 0 0")
			})
			if t.Failed() {
				t.Logf("nsupdate said\n%s", out)
			}
		})
	}
}

// nsupdate sends an update and returns everything it says about how it went.
func nsupdate(t *testing.T, commands string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, lookProgram(t, "nsupdate"), "-d", "-t", "5", "-r", "0")
	cmd.Stdin = strings.NewReader(commands + "send\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("nsupdate: %v", err)
	}
	return string(out)
}

// parentZone is corp.example.org in a file, with a delegation of the service name that only a server without kms gives.
func parentZone(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "corp")
	text := `$ORIGIN corp.example.org.
$TTL 60
@ IN SOA ns1 hostmaster 7 7200 1800 86400 60
@ IN NS ns0
ns0 IN A 192.0.2.2
ns1 IN A 192.0.2.1
kms9 IN A 192.0.2.1
_vlmcs._tcp IN NS ns1
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// alone is in the environment of a test that has a machine to itself.
const alone = "KMS_TEST_ALONE"

// runAlone runs the present test once more, on a machine of its own that has the addresses 192.0.2.1 and 192.0.2.2. It has to
// have others than loopback: a host with none is of use to nobody, and may not announce itself.
func runAlone(t *testing.T, resolver string) {
	t.Helper()
	runOnMachine(t, 2*time.Minute, resolver, `
		ip address add 192.0.2.1/24 dev lo
		ip address add 192.0.2.2/24 dev lo`)
}

// runOnMachine runs the present test once more, with network, mounts and processes of its own, after the shell has done what
// setup says. Whatever the test leaves running ends with it.
func runOnMachine(t *testing.T, limit time.Duration, resolver, setup string) {
	t.Helper()
	for _, name := range []string{"ip", "mount"} {
		lookProgram(t, name)
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver "+resolver+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := "set -e\nip link set lo up\nmount --bind \"$0\" /etc/resolv.conf\n" + setup + "\n\"$@\"" // no exec: a shell buries the dead
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, lookProgram(t, "unshare"), "--net", "--mount", "--propagation", "private",
		"--pid", "--fork", "--kill-child", "--mount-proc",
		"sh", "-c", script, conf, os.Args[0], "-test.v", "-test.run", "^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	cmd.Env = append(os.Environ(), alone+"=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "--- PASS: "+t.Name()) {
		t.Errorf("On its own machine: %v\n%s", err, out.Bytes())
	}
}
