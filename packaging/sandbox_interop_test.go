//go:build interop

package packaging

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exposure is the worst figure, in tenths, that systemd may find for the unit. docs/operations.md has it too.
const exposure = 15

const unit = "coredns-kms.service"

// TestUnit: systemd finds nothing wrong with the unit.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	// The program is not installed here.
	here := strings.Replace(string(text), "/usr/bin/coredns-kms ", program(t, "1.0.0")+" ", 1)
	path := filepath.Join(t.TempDir(), unit)
	if err := os.WriteFile(path, []byte(here), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := try(t, "systemd-analyze", "verify", "--man=no", path); err != nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestUnitExposure: the unit is not opened further than it is.
func TestUnitExposure(t *testing.T) {
	out, err := try(t, "systemd-analyze", "security", "--no-pager", "--offline=true", fmt.Sprintf("--threshold=%d", exposure), unit)
	found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err != nil {
		t.Errorf("Exposure %s, want %.1f at the most\n%s", found[1], float64(exposure)/10, out)
	}
	if better := fmt.Sprintf("%.1f", float64(exposure)/10); found[1] < better {
		t.Errorf("Exposure %s is better than %s: lower the threshold here and the figure in docs/operations.md", found[1], better)
	}
}

// setting is the values of a setting of the unit, as they stand.
func setting(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, found := range regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		values = append(values, found[1])
	}
	if len(values) == 0 {
		t.Fatalf("The unit has no %s", name)
	}
	return values
}

// syscalls is the names that SystemCallFilter of the unit allows, with sets written out as this systemd has them.
func syscalls(t *testing.T) []string {
	t.Helper()
	allowed := make(map[string]bool)
	for _, value := range setting(t, "SystemCallFilter") {
		names, forbid := strings.CutPrefix(value, "~")
		for _, name := range strings.Fields(names) {
			for _, call := range expand(t, name) {
				allowed[call] = !forbid
			}
		}
	}
	var all []string
	for call, ok := range allowed {
		if ok {
			all = append(all, call)
		}
	}
	slices.Sort(all)
	return all
}

func expand(t *testing.T, name string) []string {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	var all []string
	for line := range strings.Lines(run(t, "systemd-analyze", "syscall-filter", name)) {
		if word := strings.TrimSpace(line); word != name && word != "" && !strings.HasPrefix(word, "#") {
			all = append(all, expand(t, word)...)
		}
	}
	return all
}

// unprivileged is a command line that starts a program in the network of s as what the unit says of its user and its
// capabilities, and no more: no system call is filtered.
func (s *system) unprivileged(args ...string) []string {
	s.t.Helper()
	capability := strings.ToLower(strings.TrimPrefix(setting(s.t, "AmbientCapabilities")[0], "CAP_"))
	line := []string{"ip", "netns", "exec", s.net,
		"setpriv", "--reuid=65532", "--regid=65532", "--clear-groups", "--no-new-privs",
		"--bounding-set=-all,+" + capability, "--inh-caps=-all,+" + capability, "--ambient-caps=-all,+" + capability}
	return append(line, args...)
}

// sandboxed is a command line that starts a program likewise, and under what the unit says of system calls, address families and
// writable code.
func (s *system) sandboxed(args ...string) []string {
	s.t.Helper()
	return s.unprivileged(append([]string{"/usr/bin/python3", "testdata/sandbox.py",
		"--families=" + setting(s.t, "RestrictAddressFamilies")[0], "--calls=" + strings.Join(syscalls(s.t), " "), "--"}, args...)...)
}

// alone is a network of its own for a test that needs no system.
func alone(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, net: fmt.Sprintf("coredns-kms-%d", os.Getpid())}
	run(t, "ip", "netns", "add", s.net)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", s.net).CombinedOutput(); err != nil {
			t.Errorf("The network %s stays: %v %s", s.net, err, out)
		}
	})
	run(t, "ip", "-n", s.net, "link", "set", "lo", "up")
	return s
}

// TestSeccomp shows that the sandbox of TestSandbox is one, and which part of it keeps a process from what: everything is tried
// by the same user with the same capability without the filters and with them. What works without is denied by a filter alone.
func TestSeccomp(t *testing.T) {
	s := alone(t)
	const works, denied, forbidden, unsupported = "", "not permitted", "Permission denied", "not supported"
	for _, tc := range []struct{ what, script, without, with string }{
		// SystemCallFilter: two sets that are taken out, and what was never in.
		{"its priority, of @resources", "os.setpriority(os.PRIO_PROCESS, 0, 19)", works, denied},
		{"taking the user that it is, of @privileged", "os.setresuid(65532, 65532, 65532)", works, denied},
		{"being traced, of @debug", "if libc.ptrace(0, 0, None, None): sys.exit(os.strerror(ctypes.get_errno()))", works, denied},
		// RestrictAddressFamilies: denied to this user as well, but the filter is asked first.
		{"a packet socket", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", denied, unsupported},
		// MemoryDenyWriteExecute
		{"writable code", "mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", works, denied},
		{"code of what was written", "m = mmap.mmap(-1, 4096)\nat = ctypes.addressof(ctypes.c_char.from_buffer(m))\n" +
			"if libc.mprotect(ctypes.c_void_p(at), 4096, mmap.PROT_EXEC): sys.exit(os.strerror(ctypes.get_errno()))", works, denied},
		// The user and what he is not capable of: these say nothing of the filters.
		{"mount", "libc.mount(b'', b'/', b'', 0, None) and sys.exit(os.strerror(ctypes.get_errno()))", denied, denied},
		{"a file of root", "open('/etc/shadow')", forbidden, forbidden},
		{"another host's name", "socket.sethostname('a')", denied, denied},
		// The capability
		{"port 53", "socket.socket().bind(('127.0.0.1', 53))", works, works},
	} {
		script := "import ctypes, mmap, os, socket, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n" + tc.script
		for _, way := range []struct {
			name, want string
			line       []string
		}{
			{"without the filters", tc.without, s.unprivileged("/usr/bin/python3", "-c", script)},
			{"with the filters", tc.with, s.sandboxed("/usr/bin/python3", "-c", script)},
		} {
			out, err := try(t, way.line[0], way.line[1:]...)
			if way.want == works && err != nil || way.want != works && (err == nil || !strings.Contains(out, way.want)) {
				t.Errorf("%s, %s: %v %s, want %q", tc.what, way.name, err, out, way.want)
			}
		}
	}
}

// TestSandbox runs the server on port 53 as an ordinary user with one capability and the unit's system calls, with all that
// makes system calls of its own: the store, the control socket, the responder, a reload, DNS over TLS. And its watchdog, which
// notices when DNS can no longer be answered.
func TestSandbox(t *testing.T) {
	s := alone(t)
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil { // the server is another user
			t.Fatal(err)
		}
	}
	state := filepath.Join(dir, "state")
	run(t, "install", "-d", "-o", "65532", "-g", "65532", state)
	binary := filepath.Join(dir, "coredns-kms")
	run(t, "install", program(t, "1.0.0"), binary)
	run(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
		"-days", "1", "-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem"))
	run(t, "chmod", "0644", filepath.Join(dir, "key.pem"))
	corefile := filepath.Join(dir, "Corefile")
	write := func(hosts string) {
		t.Helper()
		text := fmt.Sprintf(`example.org {
	bind lo
	errors
	log
	prometheus 127.0.0.1:9153
	health 127.0.0.1:8080
	ready 127.0.0.1:8181
	kms {
		%s
		probe rpc interval 1s timeout 500ms
		rehearse 127.0.0.1:1689
		responder 127.0.0.1:1688 {
			advertise kms.example.org
		}
		update {
			allow 127.0.0.0/8
		}
		store %s/kms.db
		control %[2]s/control.sock
	}
	hosts {
		127.0.0.1 kms.example.org kms1.example.org
	}
}
tls://example.org {
	bind 127.0.0.1
	tls %[3]s/cert.pem %[3]s/key.pem
	whoami
}
`, hosts, state, dir)
		if err := os.WriteFile(corefile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("host kms1.example.org:1689 address 127.0.0.1")

	socket := filepath.Join(state, "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	messages := make(chan string, 1000)
	go func() {
		defer close(messages)
		buf := make([]byte, 64<<10)
		for {
			n, err := notify.Read(buf)
			if err != nil {
				return
			}
			messages <- string(buf[:n])
		}
	}()
	wait := func(what string, is func(string) bool) {
		t.Helper()
		for end := time.After(20 * time.Second); ; {
			select {
			case m := <-messages:
				if is(m) {
					return
				}
			case <-end:
				t.Fatalf("systemd did not hear within 20 seconds: %s", what)
			}
		}
	}
	begins := func(with string) func(string) bool { return func(m string) bool { return strings.HasPrefix(m, with) } }

	line := s.sandboxed(binary, "-conf", corefile)
	server := exec.Command(line[0], line[1:]...)
	server.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=1000000")
	log := new(bytes.Buffer)
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Logf("It logged:\n%s", log)
		}
	}()
	wait("READY", begins("READY=1"))
	wait("that the host is up", func(m string) bool { return begins("WATCHDOG=1")(m) && strings.Contains(m, "1 up") })

	dig := func(args ...string) string {
		t.Helper()
		return run(t, "ip", append([]string{"netns", "exec", s.net, "dig", "+short", "+time=2", "+tries=1", "@127.0.0.1"}, args...)...)
	}
	const service = "_vlmcs._tcp.example.org"
	for _, want := range []string{"1689 kms1.example.org.", "1688 kms.example.org."} {
		if got := dig(service, "SRV"); !strings.Contains(got, want) {
			t.Errorf("Answered %q, want %s among it", got, want)
		}
	}
	if got := dig("+tcp", service, "SRV"); got == "" {
		t.Error("No answer over TCP")
	}
	got := run(t, "ip", "netns", "exec", s.net, "kdig", "+tls", "+noall", "+header", "@127.0.0.1", "example.org", "A")
	if !strings.Contains(got, "NOERROR") {
		t.Errorf("Over TLS:\n%s", got)
	}
	kms := func(args ...string) string {
		t.Helper()
		return run(t, "ip", append([]string{"netns", "exec", s.net, binary}, args...)...)
	}
	kms("rehearse", "-domain", "example.org", "-server", "127.0.0.1:53", "-clients", "30", "-rounds", "2")
	run(t, "ip", "netns", "exec", s.net, "sh", "-c", "nsupdate <<END\nserver 127.0.0.1\nzone example.org\n"+
		"update add "+service+" 60 SRV 0 0 1690 kms1.example.org\nsend\nEND")
	write("host kms1.example.org:1689 address 127.0.0.1 priority 3")
	if err := server.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	wait("RELOADING", begins("RELOADING=1"))
	wait("READY again", func(m string) bool { return begins("READY=1")(m) && !strings.Contains(m, "failed") })
	if got := dig(service, "SRV"); !strings.Contains(got, "3 0 1689 kms1.example.org.") {
		t.Errorf("Answered %q after a reload", got)
	}

	// Nobody can ask DNS at 127.0.0.1 any more, and then they can again.
	run(t, "ip", "-n", s.net, "link", "set", "lo", "down")
	// Which of its addresses is noticed first is chance: both are gone.
	wait("what is wrong", func(m string) bool {
		return begins("STATUS=DNS at ")(m) && strings.Contains(m, "does not answer this machine")
	})
	for settle := time.After(3 * time.Second); settle != nil; {
		select {
		case m := <-messages:
			if begins("WATCHDOG=1")(m) {
				t.Errorf("The watchdog is fed although nobody can be answered: %q", m)
				settle = nil
			}
		case <-settle:
			settle = nil
		}
	}
	run(t, "ip", "-n", s.net, "link", "set", "lo", "up")
	wait("that all is well again", begins("WATCHDOG=1"))

	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait("STOPPING", begins("STOPPING=1"))
	if err := server.Wait(); err != nil {
		t.Errorf("The server ended with %v", err)
	}
	for l := range strings.Lines(log.String()) {
		if strings.Contains(l, "not permitted") || strings.Contains(l, "GOMAXPROCS=1\n") {
			t.Errorf("It lacked something: %s", l)
		}
	}
	if log := bufio.NewScanner(bytes.NewReader(log.Bytes())); !log.Scan() {
		t.Error("It logged nothing")
	}
}
