//go:build interop

package test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A daemon is a server of somebody else's.
type daemon struct {
	*server // where it answers
	log     *lockedLog
}

// lockedLog is what a program says, for a test that reads along.
type lockedLog struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// startDaemon runs a program that stays in the foreground until the test ends, and waits until it takes connections at s.
func startDaemon(t *testing.T, s *server, name string, args ...string) *daemon {
	t.Helper()
	d := &daemon{server: s, log: &lockedLog{}}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, lookProgram(t, name), args...)
	cmd.Stdout, cmd.Stderr = d.log, d.log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s does not start: %v", name, err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait() // its exit status says that it was interrupted
		if t.Failed() {
			t.Logf("%s said:\n%s", name, d.log)
		}
	})
	await(t, 20*time.Second, name+" takes connections", func() bool {
		conn, err := net.Dial("tcp", d.address())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return d
}

// startNamed starts BIND at s until the test ends, with options and zones as in its configuration. It says everything about
// transfers, and takes other servers to be at its own port.
func startNamed(t *testing.T, s *server, options, zones string) *daemon {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "named.conf")
	text := fmt.Sprintf(`options {
	directory "%s";
	pid-file none;
	session-keyfile none;
	listen-on { %s; };
	listen-on-v6 { none; };
	allow-transfer { any; };
	allow-query { any; };
	empty-zones-enable no;
	%s
};
logging {
	channel events { stderr; severity info; print-time yes; };
	channel transfers { stderr; severity debug 3; print-time yes; };
	category default { events; };
	category xfer-in { transfers; };
};
controls { };
%s
`, dir, s.host(), options, zones)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, ok := program(t, "named-checkconf", conf); !ok {
		t.Fatalf("The configuration for named is wrong: %s\n%s", out, text)
	}
	return startDaemon(t, s, "named", "-c", conf, "-f", "-n", "1", "-p", strconv.Itoa(int(s.port)))
}

// startKnot starts Knot as a secondary for zone, whose primary is s, until the test ends.
func startKnot(t *testing.T, port uint16, zone string, s *server) *daemon {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "knot.conf")
	text := fmt.Sprintf(`server:
    rundir: %[1]s
    listen: 127.0.0.1@%[2]d
    pidfile: %[1]s/pid
database:
    storage: %[1]s
log:
  - target: stderr
    any: debug
remote:
  - id: kms
    address: 127.0.0.1@%[3]d
acl:
  - id: kms
    address: 127.0.0.1
    action: [notify, transfer]
zone:
  - domain: %[4]s
    storage: %[1]s
    master: kms
    acl: kms
`, dir, port, s.port, zone)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return startDaemon(t, &server{port: port}, "knotd", "-c", conf, "-s", filepath.Join(dir, "sock"))
}

// transferred is a service name that is a zone of its own, over nothing.
const transferred = `$CUT:$PORT {
	bind 127.0.0.1
	errors
	transfer {
		to 127.0.0.1:$SECONDARY
	}
	kms {
		host kms1.corp.example.org:$KMS1 priority 0 weight 10 address 127.0.0.1
		host kms2.corp.example.org:$KMS2 priority 5 weight 20 address 127.0.0.1
		ns ns1.corp.example.org ns2.corp.example.org
		probe rpc interval 1s timeout 500ms
	}
}`

// TestSecondaries: other people's servers take the zone from ours, follow a host that dies and comes back by NOTIFY and
// incremental transfers alone, and answer the same.
func TestSecondaries(t *testing.T) {
	for name, tt := range map[string]struct {
		start                 func(t *testing.T, port uint16, zone string, primary *server) *daemon
		notified, incremental string // what its log says of these
	}{
		"BIND": {
			func(t *testing.T, port uint16, zone string, primary *server) *daemon {
				return startNamed(t, &server{port: port}, "recursion no; dnssec-validation no;", fmt.Sprintf(
					`zone "%s" { type secondary; primaries { 127.0.0.1 port %d; }; file "cut"; };`, zone, primary.port))
			},
			"received notify for zone '%s'", "got incremental response",
		},
		"Knot": {startKnot, "[%s.] notify, incoming", "IXFR, incoming"},
	} {
		t.Run(name, func(t *testing.T) {
			zone := "_vlmcs._tcp." + strings.ToLower(name) + ".example.org"
			kms1, kms2, port := startHost(t), startHost(t), freePort(t)
			s := startServer(t, transferred, "$CUT", zone, "$SECONDARY", strconv.Itoa(int(port)),
				"$KMS1", kms1.number(), "$KMS2", kms2.number())
			awaitUp(t, zone, 2)
			second := tt.start(t, port, zone, s)
			both := s.services(t, zone+".")
			if len(both) != 2 {
				t.Fatalf("Got %v from the primary", both)
			}
			// Ten seconds from version to version, two of them; by its refresh timer a secondary would come after a minute.
			follows := func(want []string) {
				t.Helper()
				await(t, 30*time.Second, fmt.Sprintf("the secondary answers %v", want), func() bool {
					reply, err := second.ask(zone+".", dns.TypeSRV, asking{tcp: true})
					return err == nil && slices.Equal(services(reply.Answer), want)
				})
			}
			follows(both)
			kms2.die()
			follows(both[:1])
			kms2.start(t)
			follows(both)
			sent := func(kind string) float64 {
				return metric(t, "coredns_kms_transfers_total", "zone", zone+".", "kind", kind)
			}
			if full, incremental := sent("full"), sent("incremental"); full != 1 || incremental < 2 {
				t.Errorf("Sent %v full transfers and %v incremental ones, want 1 and at least 2", full, incremental)
			}
			if log := second.log.String(); !strings.Contains(log, fmt.Sprintf(tt.notified, zone)) || !strings.Contains(log, tt.incremental) {
				t.Errorf("It does not say %q or not %q", tt.notified, tt.incremental)
			}
			current, err := s.ask(zone+".", dns.TypeSOA, asking{})
			if err != nil {
				t.Fatal(err)
			}
			ixfr := new(dns.Msg)
			ixfr.SetIxfr(zone+".", current.Answer[0].(*dns.SOA).Serial, ".", ".")
			if reply, _, err := (&dns.Client{Net: "tcp"}).Exchange(ixfr, s.address()); err != nil || len(reply.Answer) != 1 {
				t.Errorf("Who has the newest version is told %v, %v", reply, err)
			}
			sameZone(t, zone, s, second.server)
		})
	}
}

// sameZone checks that two servers transfer the same zone, once the second has the version of the first.
func sameZone(t *testing.T, zone string, first, second *server) {
	t.Helper()
	serial := func(s *server) uint32 {
		reply, err := s.ask(zone+".", dns.TypeSOA, asking{tcp: true})
		if err != nil || len(reply.Answer) != 1 {
			return 0
		}
		return reply.Answer[0].(*dns.SOA).Serial
	}
	await(t, 30*time.Second, "both have one version", func() bool { return serial(first) != 0 && serial(first) == serial(second) })
	equal(t, "the zone from the secondary", records(second.axfr(t, zone)), records(first.axfr(t, zone)))
}

// axfr is the zone as dig gets it.
func (s *server) axfr(t *testing.T, zone string) []dns.RR {
	t.Helper()
	out, ok := program(t, "dig", "-r", "@127.0.0.1", "-p", strconv.Itoa(int(s.port)), "+noall", "+answer", "+onesoa", "AXFR", zone)
	if !ok {
		t.Fatalf("No transfer: %s", out)
	}
	var all []dns.RR
	zp := dns.NewZoneParser(strings.NewReader(out), "", "")
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		all = append(all, rr)
	}
	if err := zp.Err(); err != nil || len(all) == 0 {
		t.Fatalf("No zone: %v\n%s", err, out)
	}
	return all
}

// TestCheckZone: BIND finds nothing wrong with the zone that it is sent, checks of host names included.
func TestCheckZone(t *testing.T) {
	kms1, kms2 := startHost(t), startHost(t)
	const zone = "_vlmcs._tcp.check.example.org"
	s := startServer(t, transferred, "$CUT", zone, "$SECONDARY", strconv.Itoa(int(freePort(t))), "$KMS1", kms1.number(), "$KMS2", kms2.number())
	file := filepath.Join(t.TempDir(), "zone")
	var text strings.Builder
	for _, rr := range s.axfr(t, zone) {
		fmt.Fprintln(&text, rr)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	out, ok := program(t, "named-checkzone", "-i", "local", "-k", "fail", "-m", "fail", "-M", "fail", "-n", "fail", "-r", "fail", "-S", "fail", zone, file)
	if !ok || !strings.Contains(out, "\nOK\n") || strings.Contains(out, "warning") {
		t.Errorf("named-checkzone says\n%s\nof\n%s", out, text.String())
	}
}

// TestTransferIsRefused to who is not in the list, and over UDP.
func TestTransferIsRefused(t *testing.T) {
	kms := startHost(t)
	s := startServer(t, `corp.example.org:$PORT {
		bind 127.0.0.1
		transfer _vlmcs._tcp.corp.example.org {
			to 192.0.2.1
		}
		kms {
			host kms1.corp.example.org:$KMS address 127.0.0.1
			ns ns1.corp.example.org
		}
		file $ZONE
	}`, "$KMS", kms.number(), "$ZONE", bareZone(t, "corp.example.org"))
	for _, zone := range []string{"_vlmcs._tcp.corp.example.org.", "corp.example.org."} {
		m := new(dns.Msg)
		m.SetAxfr(zone)
		if reply, err := dns.Exchange(m, s.address()); err != nil || reply.Rcode != dns.RcodeRefused {
			t.Errorf("%s over UDP: %v, %v", zone, reply, err)
		}
		reply, _, err := (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(m, s.address())
		if err != nil || len(reply.Answer) > 0 {
			t.Errorf("%s: %v, %v", zone, reply, err)
		}
	}
}
