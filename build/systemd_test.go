package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coredns/caddy"
	"github.com/miekg/dns"
)

// manager is systemd's end of a service of Type=notify.
type manager struct {
	t      *testing.T
	socket *net.UnixConn
	main   *exec.Cmd
	conf   string
	log    string
}

// underSystemd starts coredns with corefile as systemd would start a service of Type=notify. A watchdog of 0 is none.
func underSystemd(t *testing.T, corefile string, watchdog time.Duration) *manager {
	t.Helper()
	dir := t.TempDir()
	m := &manager{t: t, conf: filepath.Join(dir, "Corefile"), log: filepath.Join(dir, "log")}
	m.write(corefile)
	path := filepath.Join(dir, "notify")
	var err error
	if m.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(m.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	m.main = exec.Command(os.Args[0], "-conf", m.conf)
	m.main.Env = append(os.Environ(), runMain+"=1", "NOTIFY_SOCKET="+path)
	if watchdog > 0 {
		m.main.Env = append(m.main.Env, "WATCHDOG_USEC="+strconv.FormatInt(watchdog.Microseconds(), 10))
	}
	m.main.Stdout, m.main.Stderr = log, log
	if err := m.main.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.main.Process.Kill()
		m.main.Wait()
		m.socket.Close()
		if t.Failed() {
			said, _ := os.ReadFile(m.log)
			t.Logf("It logged:\n%s", said)
		}
	})
	return m
}

func (m *manager) write(corefile string) {
	m.t.Helper()
	if err := os.WriteFile(m.conf, []byte(corefile), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// hear is the lines of the next message, if one comes within the given time.
func (m *manager) hear(within time.Duration) ([]string, bool) {
	m.t.Helper()
	buf := make([]byte, 64<<10)
	m.socket.SetReadDeadline(time.Now().Add(within))
	n, err := m.socket.Read(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, false
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Split(string(buf[:n]), "\n"), true
}

// want fails unless the next message begins with first and, if status is not empty, has a status line with that in it.
func (m *manager) want(first, status string) []string {
	m.t.Helper()
	lines, ok := m.hear(30 * time.Second)
	if !ok || lines[0] != first {
		m.t.Fatalf("Got %q, want %s", lines, first)
	}
	says := func(line string) bool { return strings.HasPrefix(line, "STATUS=") && strings.Contains(line, status) }
	if status != "" && !slices.ContainsFunc(lines, says) {
		m.t.Fatalf("Got %q, want a status with %q", lines, status)
	}
	return lines
}

// freeDNS is a port of 127.0.0.1 that nobody had a moment ago, for UDP or TCP, and that nobody is given who does not name one.
func freeDNS(t *testing.T) int {
	t.Helper()
	for range 100 {
		at := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		c, err := net.ListenPacket("udp", at)
		if err != nil {
			continue
		}
		ln, err := net.Listen("tcp", at)
		c.Close()
		if err == nil {
			ln.Close()
			return c.LocalAddr().(*net.UDPAddr).Port
		}
	}
	t.Fatal("No free port")
	return 0
}

// overDead is a kms block at port whose two hosts are dead, with more directives.
func overDead(port int, more string) string {
	return fmt.Sprintf(`example.org:%d {
	bind 127.0.0.1
	kms {
		host kms1.example.org:9 address 127.0.0.1
		host kms2.example.org:9 address 127.0.0.1
		probe tcp interval 1s timeout 500ms fall 1
	}
	%s
}
`, port, more)
}

// TestReady: the service is ready when DNS is answered, which dead hosts and the lack of a kms block do not prevent.
func TestReady(t *testing.T) {
	port := freeDNS(t)
	for name, tt := range map[string]struct{ corefile, status string }{
		"dead hosts":   {overDead(port, ""), "KMS hosts: "},
		"no kms block": {fmt.Sprintf(".:%d {\n bind 127.0.0.1\n whoami\n}\n", port), "no kms block in the Corefile"},
	} {
		t.Run(name, func(t *testing.T) {
			m := underSystemd(t, tt.corefile, 0)
			m.want("READY=1", tt.status)
			q := new(dns.Msg)
			q.SetQuestion("_vlmcs._tcp.example.org.", dns.TypeSRV)
			if r, err := dns.Exchange(q, fmt.Sprintf("127.0.0.1:%d", port)); err != nil || r.Rcode != dns.RcodeSuccess {
				t.Errorf("Ready, and answered %v, %v", r, err)
			}
		})
	}
}

// TestReload: systemd hears of reloads, by SIGUSR1 and more than once, and that one failed.
func TestReload(t *testing.T) {
	port := freeDNS(t)
	m := underSystemd(t, overDead(port, ""), 0)
	m.want("READY=1", "")
	for _, step := range []struct{ corefile, status string }{
		{overDead(port, "whoami"), "STATUS=KMS hosts: "},
		{overDead(port, "nonsense"), "STATUS=the last reload failed (see the log), the configuration before it serves; KMS hosts: "},
		{overDead(port, "forward"), "STATUS=the last reload failed"},
		{"", "STATUS=the last reload failed"}, // to CoreDNS, that is a Corefile
		{"# nothing yet\n", "STATUS=the last reload failed"},
		{overDead(port, "errors"), "STATUS=KMS hosts: "},
	} {
		m.write(step.corefile)
		if err := m.main.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		lines := m.want("RELOADING=1", "reading the Corefile again")
		if at := strings.TrimPrefix(lines[1], "MONOTONIC_USEC="); at == lines[1] {
			t.Errorf("Got %q, want the time of the reload second", lines)
		} else if usec, err := strconv.ParseUint(at, 10, 64); err != nil || usec == 0 {
			t.Errorf("Got the time %q: %v", at, err)
		}
		m.want("READY=1", step.status)
	}
}

// TestTakesReloads: whether CoreDNS takes signals is seen by where its goroutine for them is.
func TestTakesReloads(t *testing.T) {
	const other = "goroutine 1 [running]:\nmain.main()\n\n"
	for stacks, want := range map[string]bool{
		other: false,
		other + "goroutine 20 [chan receive]:\ngithub.com/coredns/caddy.trapSignalsPosix.func1()\n":                          true,
		"goroutine 20 [chan receive, 2 minutes]:\ngithub.com/coredns/caddy.trapSignalsPosix.func1()\n\n" + other:             true,
		other + "goroutine 20 [runnable]:\ngithub.com/coredns/caddy.trapSignalsPosix.func1()\n":                              false,
		"goroutine 20 [chan receive]:\nos/signal.Notify(0x1)\ngithub.com/coredns/caddy.trapSignalsPosix.func1()\n\n" + other: false,
	} {
		if got := takesReloads(stacks); got != want {
			t.Errorf("%v for\n%s", got, stacks)
		}
	}
}

// TestSeesThatReloadsAreTaken, as CoreDNS takes them: its function may get another name. It is a process of its own that traps
// signals.
func TestSeesThatReloadsAreTaken(t *testing.T) {
	const trap = "KMS_TRAP_SIGNALS"
	if os.Getenv(trap) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSeesThatReloadsAreTaken$")
		cmd.Env = append(os.Environ(), trap+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if takesReloads(stacks()) {
		t.Error("Seen before it is so")
	}
	caddy.TrapSignals()
	awaitReloads(30 * time.Second)
	if !takesReloads(stacks()) {
		t.Errorf("CoreDNS takes signals, and that is not seen in\n%s", stacks())
	}
}

// TestWatchdog: the watchdog is fed twice in its time, with the state of the hosts, also while all are dead; not while the
// process stands still; and again when it goes on.
func TestWatchdog(t *testing.T) {
	const patience = 2 * time.Second
	m := underSystemd(t, overDead(freeDNS(t), ""), patience)
	m.want("READY=1", "")
	began, last := time.Now(), time.Now()
	for beat := range 6 {
		status := "KMS hosts: "
		if beat == 5 {
			status = "KMS hosts: 2 down; nobody is left in example.org"
		}
		m.want("WATCHDOG=1", status)
		if gap := time.Since(last); gap >= patience {
			t.Errorf("Beat %d after %s, want it within %s", beat, gap, patience)
		}
		last = time.Now()
	}
	if took := time.Since(began); took < 2*patience {
		t.Errorf("Six beats in %s, want two in %s", took, patience)
	}
	if err := m.main.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// One may have been on its way.
	if _, ok := m.hear(patience); ok {
		if lines, ok := m.hear(patience); ok {
			t.Errorf("Heard %q of a stopped process", lines)
		}
	}
	if err := m.main.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	m.want("WATCHDOG=1", "KMS hosts: ")
}

// TestEnd: systemd hears that the service ends before it does.
func TestEnd(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		m := underSystemd(t, overDead(freeDNS(t), ""), 0)
		m.want("READY=1", "")
		if err := m.main.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		m.want("STOPPING=1", "ending")
		if err := m.main.Wait(); err != nil {
			t.Errorf("After %s: %v", sig, err)
		}
	}
}

// TestForeignWatchdog: the watchdog of another process is none of ours, and one that cannot be read is an error.
func TestForeignWatchdog(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	t.Setenv("WATCHDOG_USEC", "soon")
	if err := reportToSystemd(); err == nil || !strings.Contains(err.Error(), "WATCHDOG_USEC") {
		t.Errorf("Got %v, want to be told of WATCHDOG_USEC", err)
	}
}

// TestKnock: a socket that nobody reads is found out, and so is one of several.
func TestKnock(t *testing.T) {
	deaf, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := func(dns.ResponseWriter, *dns.Msg) { t.Error("A plugin saw the question") }
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(seen)}
	go s.ActivateAndServe()
	defer s.Shutdown()
	hears := pc.LocalAddr().String()
	if err := knock([]string{hears}, 10*time.Second); err != nil {
		t.Error(err)
	}
	err = knock([]string{hears, deaf.LocalAddr().String()}, time.Second)
	if err == nil || !strings.Contains(err.Error(), deaf.LocalAddr().String()) {
		t.Errorf("Got %v, want to be told of %s", err, deaf.LocalAddr())
	}
	if got := watched([]string{hears, deaf.LocalAddr().String()}); !slices.Equal(got, []string{hears}) {
		t.Errorf("Watches %q, want %q", got, hears)
	}
}
