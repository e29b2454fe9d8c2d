//go:build interop

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// importing runs "kms import" of a binary made from this tree.
func importing(t *testing.T) func(args ...string) (status int, stdout, stderr string) {
	t.Helper()
	run := command(builtBinary(t), "import")
	return func(args ...string) (int, string, string) {
		t.Helper()
		return run(t, args...)
	}
}

// importZone is a zone that somebody kept by hand, too large for one message of a transfer. $ZONE is its name.
const importZone = `$TTL 2m
$ORIGIN $ZONE.
@               IN SOA  ns1 hostmaster ( 1 2h 30m 2w 1m )
                IN NS   ns1
ns1             IN A    127.0.0.1
kms1            IN A    127.0.0.1
kms2            IN A    127.0.0.1
kms3            IN A    127.0.0.1
kms             IN CNAME kms3
_vlmcs._tcp     IN SRV  0 60 $KMS1 kms1
                IN SRV  0 40 $DEAD kms2
                IN SRV  10 0 $KMS3 kms
$GENERATE 1-6000 client$ A 192.0.2.1
`

// TestImport goes the way of a site that leaves BIND: its records are taken over from the running server by a transfer, the
// block is put into a Corefile as it was printed, and then both servers are compared.
func TestImport(t *testing.T) {
	run := importing(t)
	kms1, kms3, dead := startHost(t), startHost(t), freePort(t)
	dir := t.TempDir()
	zones := ""
	for zone, allow := range map[string]string{"open.example.org": "any", "closed.example.org": `key "transfer.example.org"`} {
		text := strings.NewReplacer("$ZONE", zone, "$KMS1", kms1.number(), "$KMS3", kms3.number(), "$DEAD", strconv.Itoa(int(dead))).Replace(importZone)
		if err := os.WriteFile(filepath.Join(dir, zone), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		zones += fmt.Sprintf("zone %q { type primary; file %q; allow-transfer { %s; }; };\n", zone, filepath.Join(dir, zone), allow)
	}
	key, ok := program(t, "tsig-keygen", "transfer.example.org")
	other, ok2 := program(t, "tsig-keygen", "-a", "hmac-sha512", "other.example.org")
	if !ok || !ok2 {
		t.Fatalf("tsig-keygen: %s%s", key, other)
	}
	files := map[string]string{
		"key":     key,
		"unknown": strings.Replace(key, "transfer.", "unknown.", 1),
		"wrong":   strings.Replace(other, "other.", "transfer.", 1),
		// The right name and algorithm, another secret.
		"secret": "key \"transfer.example.org\" { algorithm hmac-sha256; secret \"c2l4dGVlbiBvY3RldHMuIG9yIHRoaXJ0eS10d28uLi4=\"; };",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files[name] = filepath.Join(dir, name)
	}
	named := startNamed(t, &server{port: freePort(t)}, "recursion no; dnssec-validation no;", key+zones)

	for name, tt := range map[string]struct {
		zone, key string
		status    int
		want      string
	}{
		"open":                      {"open.example.org", "", 1, ""},
		"open, with a key":          {"open.example.org", "key", 1, ""},
		"closed":                    {"closed.example.org", "", 3, "answers REFUSED to a transfer of closed.example.org.: it must allow that"},
		"closed, with the key":      {"closed.example.org", "key", 1, ""},
		"closed, an unknown key":    {"closed.example.org", "unknown", 3, "does not know the key unknown.example.org. with hmac-sha256 (BADKEY)"},
		"closed, another algorithm": {"closed.example.org", "wrong", 3, "does not know the key transfer.example.org. with hmac-sha512 (BADKEY)"},
		"closed, another secret":    {"closed.example.org", "secret", 3, "has another secret for the key transfer.example.org. (BADSIG)"},
		"no zone of it":             {"example.net", "", 3, "answers NOTAUTH to a transfer of example.net."},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"-zone", tt.zone, "-addresses", "-axfr", named.address()}
			if tt.key != "" {
				args = append(args, "-keyfile", files[tt.key])
			}
			status, stdout, stderr := run(args...)
			if status != tt.status || !strings.Contains(stderr, tt.want) {
				t.Fatalf("Status %d, want %d\n%s%s", status, tt.status, stdout, stderr)
			}
			if status == 1 {
				testImported(t, run, named.server, tt.zone, filepath.Join(dir, tt.zone), stdout, dead, kms1, kms3)
			}
		})
	}
}

// testImported starts the blocks that were printed, and has both servers compared.
func testImported(t *testing.T, run func(...string) (int, string, string), named *server, zone, file, blocks string, dead uint16, kms1, kms3 *fakeHost) {
	t.Helper()
	if want := fmt.Sprintf("# host kms2.%s:%d priority 0 weight 40  # stale: connect: connection to 127.0.0.1:%d refused", zone, dead, dead); !strings.Contains(blocks, want) {
		t.Errorf("No %q in\n%s", want, blocks)
	}
	corefile := zone + ":$PORT {\nbind 127.0.0.1\n" + blocks + "\nfile $FILE\n}"
	s := startServer(t, corefile, "$FILE", file)
	awaitUp(t, zone, 2)
	equal(t, "answer of the new server", s.services(t, "_vlmcs._tcp."+zone+"."), []string{
		"kms1." + zone + ":" + kms1.number() + " 0 60",
		"kms3." + zone + ":" + kms3.number() + " 10 0",
	})
	status, stdout, stderr := run("-zone", zone, "-check", named.address(), s.address())
	for _, want := range []string{
		"KMS WARNING - of 3 records 1 are the same, 2 differ as is to be expected, 0 differ",
		"missing, as it should be: it is dead: connect:",
		"the old server names kms." + zone + "., an alias",
	} {
		if status != 1 || !strings.Contains(stdout, want) {
			t.Errorf("Status %d, no %q in\n%s%s", status, want, stdout, stderr)
		}
	}
	if status, stdout, stderr := run("-zone", zone, "-check", named.address(), named.address()); status != 0 {
		t.Errorf("BIND beside itself: status %d\n%s%s", status, stdout, stderr)
	}
	if status, stdout, stderr := run("-zone", zone, "-check", s.address(), named.address()); status != 2 || !strings.Contains(stdout, "only the new server has it") {
		t.Errorf("The other way round: status %d\n%s%s", status, stdout, stderr)
	}
}
