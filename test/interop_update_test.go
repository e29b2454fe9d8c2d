//go:build interop

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/coredns/coredns/plugin/dynupdate"

	"github.com/miekg/dns"
)

// What nsupdate signs with, and what it says of itself.
const (
	updateKey         = "update.example.org"
	updateSecret      = "bm90IGEgc2VjcmV0IGF0IGFsbCwgYnV0IGEga2V5Lg=="
	anotherSecret     = "YW5vdGhlciBvbmUsIHdoaWNoIGlzIG5vIHNlY3JldC4="
	updateServiceName = "_vlmcs._tcp.example.org."
)

// updateCorefile is a server without a host of its own, over a zone in which kms9 has the address that the updates come from.
const updateCorefile = `example.org:$PORT {
	bind 127.0.0.1
	errors
	prometheus 127.0.0.1:0
	tsig {
		secret update.example.org. bm90IGEgc2VjcmV0IGF0IGFsbCwgYnV0IGEga2V5Lg==
	}
	kms {
		$HOST
		update {
			allow 127.0.0.0/29
			key update.example.org target *.example.org
			$OBSERVE
		}
		probe rpc interval 1s timeout 300ms
	}
	file $ZONE
}`

// updateServer starts a server that takes updates.
func updateServer(t *testing.T, host, observe string) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "zone")
	text := "$ORIGIN example.org.\n$TTL 60\n@ SOA ns1 root 7 7200 1800 86400 60\n@ NS ns1\nns1 A 127.0.0.1\nkms8 A 127.0.0.2\nkms9 A 127.0.0.1\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return startServer(t, updateCorefile, "$HOST", host, "$OBSERVE", observe, "$ZONE", file)
}

// update has nsupdate send commands to s, and returns the status of the reply.
func (s *server) update(t *testing.T, tcp bool, commands ...string) string {
	t.Helper()
	args := []string{"-d", "-t", "10", "-r", "0"}
	if tcp {
		args = append(args, "-v")
	}
	cmd := exec.CommandContext(t.Context(), lookProgram(t, "nsupdate"), args...)
	script := slices.Concat([]string{"server 127.0.0.1 " + strconv.Itoa(int(s.port)), "zone example.org"}, commands, []string{"send", ""})
	cmd.Stdin = strings.NewReader(strings.Join(script, "\n"))
	out, _ := cmd.CombinedOutput() // a refusal is an error to it
	_, reply, _ := strings.Cut(string(out), "Reply from update query:")
	if _, after, ok := strings.Cut(reply, "opcode: UPDATE, status: "); ok {
		status, _, _ := strings.Cut(after, ",")
		return status
	}
	t.Fatalf("nsupdate got no reply:\n%s", out)
	return ""
}

// TestNsupdate: hosts come and go by BIND's nsupdate, signed and unsigned, over UDP and TCP.
func TestNsupdate(t *testing.T) {
	for name, tt := range map[string]struct {
		tcp bool
		how []string // commands of nsupdate before the update
	}{
		"unsigned over UDP": {},
		"unsigned over TCP": {tcp: true},
		"signed over UDP":   {how: []string{"key hmac-sha256:" + updateKey + " " + updateSecret}},
		"signed over TCP":   {tcp: true, how: []string{"key hmac-sha256:" + updateKey + " " + updateSecret}},
	} {
		t.Run(name, func(t *testing.T) {
			kms, dead := startHost(t), startHost(t)
			dead.die()
			s := updateServer(t, "", "")
			send := func(want string, commands ...string) {
				t.Helper()
				if got := s.update(t, tt.tcp, slices.Concat(tt.how, commands)...); got != want {
					t.Fatalf("Got %s for %q, want %s", got, commands, want)
				}
			}
			record := func(host *fakeHost) string {
				return updateServiceName + " 3600 SRV 10 20 " + host.number() + " kms9.example.org."
			}

			send("NOERROR", "update add "+record(dead))
			send("NOERROR", "update add "+record(kms))
			want := []string{"kms9.example.org:" + kms.number() + " 10 20"}
			await(t, 10*time.Second, "the announced host is answered", func() bool { return len(s.services(t, updateServiceName)) > 0 })
			equal(t, "hosts, of which one was proved", s.services(t, updateServiceName), want)

			send("YXRRSET", "prereq nxrrset "+updateServiceName+" SRV", "update add "+record(kms))
			send("NXRRSET", "prereq yxrrset "+updateServiceName+" SRV 10 20 "+kms.number()+" kms9.example.org.", "update delete "+record(kms))
			send("NXDOMAIN", "prereq yxdomain nobody.example.org.", "update delete "+record(kms))
			send("YXDOMAIN", "prereq nxdomain kms9.example.org.", "update delete "+record(kms))
			equal(t, "hosts after prerequisites that do not hold", s.services(t, updateServiceName), want)

			send("NOERROR", "prereq yxrrset kms9.example.org. A", "prereq nxdomain nobody.example.org.", "update delete "+record(kms), "update delete "+record(dead))
			equal(t, "hosts after they are deleted", s.services(t, updateServiceName), nil)
		})
	}
}

// TestNsupdateRefused: what nsupdate is told that may not do what it wants.
func TestNsupdateRefused(t *testing.T) {
	kms := startHost(t)
	s := updateServer(t, "host kms1.example.org:"+kms.number()+" address 127.0.0.1", "")
	awaitUp(t, "example.org", 1)
	nine := "update add " + updateServiceName + " 3600 SRV 0 0 " + kms.number() + " kms9.example.org."
	eight := "update add " + updateServiceName + " 3600 SRV 0 0 " + kms.number() + " kms8.example.org."
	var many []string
	for i := range 65 {
		many = append(many, "update add "+updateServiceName+" 3600 SRV 0 0 "+strconv.Itoa(i+1)+" kms9.example.org.")
	}
	for name, tt := range map[string]struct {
		commands []string
		want     string
	}{
		"from elsewhere":           {[]string{"local 127.0.0.9", nine}, "REFUSED"},
		"for another host":         {[]string{eight}, "REFUSED"},
		"by another host":          {[]string{"local 127.0.0.2", nine}, "REFUSED"},
		"another secret":           {[]string{"key hmac-sha256:" + updateKey + " " + anotherSecret, nine}, "NOTAUTH"},
		"another key":              {[]string{"key hmac-sha256:another.example.org " + updateSecret, nine}, "NOTAUTH"},
		"beyond its key":           {[]string{"key hmac-sha256:" + updateKey + " " + updateSecret, strings.ReplaceAll(nine, "kms9.example.org", "kms9.example.net")}, "REFUSED"},
		"a host of the Corefile":   {[]string{"update delete " + updateServiceName + " SRV"}, "REFUSED"},
		"the whole name":           {[]string{"update delete " + updateServiceName}, "REFUSED"},
		"port 0":                   {[]string{strings.Replace(nine, " "+kms.number()+" ", " 0 ", 1)}, "REFUSED"},
		"an address as target":     {[]string{strings.Replace(nine, "kms9.example.org.", "127.0.0.1.", 1)}, "REFUSED"},
		"an alias":                 {[]string{"update add " + updateServiceName + " 3600 CNAME kms9.example.org."}, "REFUSED"},
		"an alias, with a service": {[]string{nine, "update add kms9.example.org. 3600 CNAME kms1.example.org."}, "REFUSED"},
		"65 records":               {many, "REFUSED"},
		"other names":              {[]string{"update add www.example.org. 3600 TXT one"}, "NOTAUTH"},
		"other zones":              {[]string{"zone sub.example.org", "update add www.sub.example.org. 3600 TXT one"}, "NOTAUTH"},
	} {
		t.Run(name, func(t *testing.T) {
			tcp := name == "65 records" // which no datagram has room for
			if got := s.update(t, tcp, tt.commands...); got != tt.want {
				t.Errorf("Got %s, want %s", got, tt.want)
			}
			equal(t, "hosts", s.services(t, updateServiceName), []string{"kms1.example.org:" + kms.number() + " 0 0"})
		})
	}
}

// TestNsupdateAddresses: a host in a network without any other place for it announces its address too, which is answered once
// the host has proved itself.
func TestNsupdateAddresses(t *testing.T) {
	kms := startHost(t)
	s := updateServer(t, "", "")
	if got := s.update(t, false, "update add kms7.example.org. 3600 A 127.0.0.1",
		"update add "+updateServiceName+" 3600 SRV 0 0 "+kms.number()+" kms7.example.org."); got != "NOERROR" {
		t.Fatalf("Got %s, want NOERROR", got)
	}
	address := func(name string) []string { return records(s.dig(t, name, "A").answer()) }
	await(t, 10*time.Second, "the announced host is answered", func() bool { return len(s.services(t, updateServiceName)) > 0 })
	equal(t, "the address", address("kms7.example.org"), []string{"kms7.example.org.\tIN\tA\t127.0.0.1"})
	if got := s.update(t, false, "update delete kms7.example.org. A",
		"update delete "+updateServiceName+" SRV 0 0 "+kms.number()+" kms7.example.org."); got != "NOERROR" {
		t.Fatalf("Got %s, want NOERROR", got)
	}
	equal(t, "the address after it is deleted", address("kms7.example.org"), nil)
	equal(t, "hosts after they are deleted", s.services(t, updateServiceName), nil)
}

// TestNsupdateObserved: with observe nobody comes in, and everybody is counted.
func TestNsupdateObserved(t *testing.T) {
	kms := startHost(t)
	s := updateServer(t, "host kms1.example.org:"+kms.number()+" address 127.0.0.1", "observe")
	counted := metric(t, "coredns_kms_updates_total", "zone", "example.org.", "result", "observed")
	for i, how := range []string{"local 127.0.0.1", "local 127.0.0.9", "key hmac-sha256:" + updateKey + " " + updateSecret} {
		if got := s.update(t, false, how, "update add "+updateServiceName+" 3600 SRV 0 0 "+kms.number()+" kms9.example.org."); got != "REFUSED" {
			t.Errorf("Got %s for %q, want REFUSED", got, how)
		}
		if got := metric(t, "coredns_kms_updates_total", "zone", "example.org.", "result", "observed") - counted; got != float64(i+1) {
			t.Errorf("Got %v counted, want %d", got, i+1)
		}
	}
	equal(t, "hosts", s.services(t, updateServiceName), []string{"kms1.example.org:" + kms.number() + " 0 0"})
}

// TestBesideDynupdate: in one server block, KMS hosts are announced to kms and everything else goes to CoreDNS's dynupdate
// plugin, whose zone then says where the hosts are.
func TestBesideDynupdate(t *testing.T) {
	kms := startHost(t)
	file := filepath.Join(t.TempDir(), "zone")
	text := "$ORIGIN example.org.\n$TTL 60\n@ SOA ns1 root 7 7200 1800 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, `example.org:$PORT {
		bind 127.0.0.1
		errors
		tsig {
			secret update.example.org. $SECRET
		}
		kms {
			update {
				allow 127.0.0.1/32
			}
			probe rpc interval 1s timeout 300ms
		}
		dynupdate {
			file $ZONE
			allow update.example.org. * A TXT
		}
	}`, "$ZONE", file, "$SECRET", updateSecret)
	key := "key hmac-sha256:" + updateKey + " " + updateSecret
	service := "update add " + updateServiceName + " 3600 SRV 0 0 " + kms.number() + " kms9.example.org."
	address := "update add kms9.example.org. 3600 A 127.0.0.1"
	for _, step := range []struct {
		want     string
		commands []string
	}{
		{"REFUSED", []string{service}},      // nobody says where kms9 is
		{"REFUSED", []string{address}},      // by dynupdate, which wants a key
		{"NOERROR", []string{key, address}}, // by dynupdate
		{"REFUSED", []string{key, service, "update add www.example.org. 3600 TXT one"}}, // neither can do all of it
		{"NOERROR", []string{service}},                                                     // by kms
		{"NOERROR", []string{key, "update add www.example.org. 3600 TXT one"}},             // by dynupdate
		{"NOERROR", []string{key, "update delete kms9.example.org. A 127.0.0.9", address}}, // by dynupdate, though it is announced
	} {
		if got := s.update(t, false, step.commands...); got != step.want {
			t.Fatalf("Got %s for %q, want %s", got, step.commands, step.want)
		}
	}
	await(t, 10*time.Second, "the announced host is answered", func() bool { return len(s.services(t, updateServiceName)) > 0 })
	equal(t, "hosts", s.services(t, updateServiceName), []string{"kms9.example.org:" + kms.number() + " 0 0"})
	equal(t, "the address", records(s.dig(t, "kms9.example.org", "A").answer()), []string{"kms9.example.org.\tIN\tA\t127.0.0.1"})
	equal(t, "the text", records(s.dig(t, "www.example.org", "TXT").answer()), []string{"www.example.org.\tIN\tTXT\t\"one\""})
}

// TestNoUpdate: without update nothing is listened for: CoreDNS itself says so.
func TestNoUpdate(t *testing.T) {
	kms := startHost(t)
	s := startServer(t, "example.org:$PORT {\nbind 127.0.0.1\nkms {\nhost kms1.example.org:$KMS address 127.0.0.1\n}\n}", "$KMS", kms.number())
	m := new(dns.Msg).SetUpdate("example.org.")
	if reply, err := dns.Exchange(m, s.address()); err != nil || reply.Rcode != dns.RcodeNotImplemented {
		t.Errorf("Got %v, %v, want NOTIMP", reply, err)
	}
}
