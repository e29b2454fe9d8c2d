package kms

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	golog "log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/coredns-kms/coredns-kms/internal/control"
	"github.com/coredns-kms/coredns-kms/internal/engine"
	"github.com/coredns-kms/coredns-kms/internal/pool"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// kept is a place for a store and a control socket, whose path must be short.
type kept struct{ store, socket string }

func keep(t *testing.T) kept {
	t.Helper()
	dir, err := os.MkdirTemp("", "kms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return kept{filepath.Join(dir, "kms.db"), filepath.Join(dir, "s")}
}

func (k kept) lines() string { return fmt.Sprintf("store %s\n control %s\n", k.store, k.socket) }

func (k kept) drain(t *testing.T, host string) control.Decision {
	t.Helper()
	d, err := control.Client{Socket: k.socket}.Drain(t.Context(), control.Request{Host: host, Why: "new disks", By: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// hosts is the hosts as the control socket tells: "kms1.example.org:1688 drained by alice: new disks".
func (k kept) hosts(t *testing.T) string {
	t.Helper()
	all, err := control.Client{Socket: k.socket}.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, p := range all.Pools {
		for _, h := range p.Hosts {
			w := h.Endpoint + " " + h.State
			if h.Drained != nil {
				w += " by " + h.Drained.By + ": " + h.Drained.Why
			}
			words = append(words, w)
		}
	}
	return strings.Join(words, ", ")
}

// logged collects what is logged from now to the end of the test.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func logs(t *testing.T) *logged {
	l := new(logged)
	golog.SetOutput(l)
	t.Cleanup(func() { golog.SetOutput(io.Discard) })
	return l
}

// Write implements io.Writer.
func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

func storeUp(t *testing.T, k kept, want int) {
	t.Helper()
	text := "# HELP coredns_kms_store_up Gauge that is 1 while the store is open and takes changes, as of the last minute, else 0.\n" +
		"# TYPE coredns_kms_store_up gauge\n" + fmt.Sprintf("coredns_kms_store_up{path=%q} %d\n", k.store, want)
	if err := testutil.CollectAndCompare(storeCollector{}, strings.NewReader(text)); err != nil {
		t.Error(err)
	}
}

// TestDrainPersists: over a reload that replaces the pool, and over a restart, with who and why.
func TestDrainPersists(t *testing.T) {
	k := keep(t)
	a, b := freePort(t), freePort(t)
	text := corefile(0, []int{a, b}, []int{a, b}, k.lines())
	s := start(t, text)
	storeUp(t, k, 1)
	eventually(t, fmt.Sprintf("0 %d, 1 %d", a, b), func() string { return targets(s.ask(service)) })
	d := k.drain(t, "KMS1.example.org")
	if !d.Kept || len(d.Warnings) > 0 {
		t.Errorf("Drained: %+v", d)
	}
	if got, want := targets(s.ask(service)), fmt.Sprintf("1 %d", b); got != want {
		t.Errorf("Right after: %q, want %q", got, want)
	}
	h := pools()[0].Hosts()[0]
	if h.Drainage == nil || !strings.HasSuffix(h.Drainage.By, " (alice)") {
		t.Fatalf("Drained by %+v, want the user and who it says to be", h.Drainage)
	}
	drained := fmt.Sprintf("kms1.example.org:%d drained by %s: new disks", a, h.Drainage.By)
	if err := s.reload(corefile(0, []int{a, b, freePort(t)}, []int{a, b}, k.lines())); err != nil {
		t.Fatal(err)
	}
	if got := k.hosts(t); !strings.HasPrefix(got, drained) {
		t.Errorf("After a reload: %q, want %q", got, drained)
	}
	s.nothingLeft()
	if _, err := os.Lstat(k.socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("The socket is still there: %v", err)
	}

	s = start(t, text)
	if got, want := targets(s.ask(service)), fmt.Sprintf("1 %d", b); got != want {
		t.Errorf("Right after a restart: %q, want %q", got, want)
	}
	if got := k.hosts(t); !strings.HasPrefix(got, drained) {
		t.Errorf("After a restart: %q, want %q", got, drained)
	}
	back, err := control.Client{Socket: k.socket}.Undrain(t.Context(), control.Request{Host: "kms1.example.org"})
	if err != nil || !back.Kept {
		t.Fatal(back, err)
	}
	s.nothingLeft()
	s = start(t, text)
	eventually(t, fmt.Sprintf("0 %d, 1 %d", a, b), func() string { return targets(s.ask(service)) })
	s.nothingLeft()
}

// TestHealthSurvivesARestart: a process that starts soon knows what the last one knew, before it asked anybody.
func TestHealthSurvivesARestart(t *testing.T) {
	k := keep(t)
	a, b := freePort(t), freePort(t)
	text := corefile(0, []int{a, b}, []int{b}, k.lines())
	s := start(t, text)
	down := fmt.Sprintf("kms1.example.org:%d down, kms2.example.org:%d up", a, b)
	eventually(t, down, states)
	s.nothingLeft()
	s = start(t, text)
	if got, want := targets(s.ask(service)), fmt.Sprintf("1 %d", b); got != want || !pools()[0].Snapshot().Checked {
		t.Errorf("Right after a restart: %q, want %q; states %s", got, want, states())
	}
	s.nothingLeft()
}

// TestBrokenStores: whatever is wrong with the file, clients are answered, somebody is told, and the file stays as it is.
func TestBrokenStores(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(t *testing.T, path string)
		want   string
	}{
		"damaged": {func(t *testing.T, path string) {
			good := start(t, corefile(0, []int{freePort(t)}, nil, "store "+path))
			good.nothingLeft()
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range b[:len(b)/2] {
				b[i] ^= 0x55
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "nothing was changed"},
		"foreign": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("somebody's diary\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "it is not a store of coredns-kms"},
	} {
		t.Run(name, func(t *testing.T) {
			k := keep(t)
			tt.damage(t, k.store)
			before, err := os.ReadFile(k.store)
			if err != nil {
				t.Fatal(err)
			}
			l := logs(t)
			a := freePort(t)
			text := corefile(0, []int{a}, []int{a}, k.lines()) +
				"example.net:0 {\n bind 127.0.0.1\n kms {\n host 192.0.2.7\n store " + k.store + "\n }\n}\n"
			s := start(t, text)
			if got, want := targets(s.ask(service)), fmt.Sprintf("0 %d", a); got != want {
				t.Errorf("Answer %q, want %q", got, want)
			}
			eventually(t, "1", func() string { return fmt.Sprint(l.count("[ERROR] plugin/kms: store " + k.store)) })
			if l.count(tt.want) != 1 {
				t.Errorf("Logged %q, want %q", l.text.String(), tt.want)
			}
			storeUp(t, k, 0)
			if d := k.drain(t, "kms1.example.org"); d.Kept || len(d.Warnings) != 2 || !strings.Contains(d.Warnings[0], tt.want) || states() != fmt.Sprintf("192.0.2.7:1688 unchecked, kms1.example.org:%d drained", a) {
				t.Errorf("Drained without a store: %+v, %s", d, states())
			}
			// A reload tries again, and what is in force is kept when it succeeds.
			if after, err := os.ReadFile(k.store); err != nil || !bytes.Equal(before, after) {
				t.Errorf("The file was changed: %v", err)
			}
			if err := s.reload(text); err != nil {
				t.Fatal(err)
			}
			eventually(t, "2", func() string { return fmt.Sprint(l.count(tt.want)) })
			if err := os.Remove(k.store); err != nil {
				t.Fatal(err)
			}
			if err := s.reload(text); err != nil {
				t.Fatal(err)
			}
			storeUp(t, k, 1)
			s.nothingLeft()
			s = start(t, text)
			if got := k.hosts(t); !strings.Contains(got, fmt.Sprintf("kms1.example.org:%d drained by ", a)) {
				t.Errorf("After the store came back and a restart: %q", got)
			}
			s.nothingLeft()
		})
	}
}

// TestAFailedReloadKeepsToItsStore: a reload that names another store, in which another host is drained and one more announced,
// and fails, leaves who is drained and announced as it was, and both files. One that succeeds brings it all together.
func TestAFailedReloadKeepsToItsStore(t *testing.T) {
	k, other := keep(t), keep(t)
	a, b, c := freePort(t), freePort(t), freePort(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	text := func(lines string, rehearsed ...int) string {
		return corefile(0, []int{a, b}, append([]int{a, b, c}, rehearsed...), "update {\n allow 127.0.0.0/8\n }\n"+lines)
	}
	kms1, kms2 := fmt.Sprintf("kms1.example.org:%d", a), fmt.Sprintf("kms2.example.org:%d", b)
	s := start(t, text(other.lines()))
	s.announce(c)
	other.drain(t, "kms1.example.org")
	drained := strings.Split(other.hosts(t), ", ")[0]
	s.nothingLeft()
	before, err := os.ReadFile(other.store)
	if err != nil {
		t.Fatal(err)
	}

	s = start(t, text(k.lines()))
	k.drain(t, "kms2.example.org")
	as := fmt.Sprintf("%s up, %s drained", kms1, kms2)
	eventually(t, as, states)
	for name, discarded := range map[string]string{
		"at a rehearsal host":   text("store " + other.store + "\n rehearse 127.0.0.1:" + fmt.Sprint(port)),
		"at its control socket": text("store " + other.store + "\n control " + k.socket + "x/s\n"),
		"in another block": text("store "+other.store) + fmt.Sprintf(
			"example.net:0 {\n bind 127.0.0.1\n kms {\n host 192.0.2.7\n rehearse %s\n }\n}\n", taken.Addr()),
		"as it listens": text("store "+other.store) + fmt.Sprintf("example.net:%d {\n bind 127.0.0.1\n}\n", port),
	} {
		if err := s.reload(discarded); err == nil {
			t.Fatalf("%s: the reload did not fail", name)

		}
		if got := states(); got != as {
			t.Errorf("%s: after the reload that failed: %s, want %s", name, got, as)
		}
		if got, want := targets(s.ask(service)), fmt.Sprintf("0 %d", a); got != want {
			t.Errorf("%s: answered %q, want %q", name, got, want)
		}
		if after, err := os.ReadFile(other.store); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the store that it named was changed: %v", name, err)
		}
	}
	s.nothingLeft()
	s = start(t, text(k.lines()))
	if got := states(); got != as {
		t.Errorf("After a restart: %s, want %s", got, as)
	}
	s.ask(service) // CoreDNS cannot stop a server that does not serve yet

	if err := s.reload(text("store " + other.store + "\n control " + k.socket)); err != nil {
		t.Fatal(err)
	}
	if got := k.hosts(t); !strings.HasPrefix(got, drained) || strings.Count(got, " drained by ") != 2 || len(pools()[0].Hosts()) != 3 {
		t.Errorf("After a reload that named the other store: %s, want %s, kms2 drained too, and kms9 announced", got, drained)
	}
	s.nothingLeft()
}

// TestLedgerSurvivesARestart: also when the store stands in another server block than the responder.
func TestLedgerSurvivesARestart(t *testing.T) {
	k := keep(t)
	a, port := freePort(t), freePort(t)
	text := responding(0, port, []int{a}, "", "") +
		"example.net:0 {\n bind 127.0.0.1\n kms {\n host 192.0.2.7\n" + k.lines() + " }\n}\n"
	s := start(t, text)
	eventually(t, "1", func() string { return fmt.Sprint(strings.Count(states(), " up")) })
	clients(30, port).Round(t.Context(), nil)
	s.nothingLeft()
	s = start(t, text)
	books := engine.Each[*engine.Book](running)
	if len(books) != 1 || books[0].Clients(fmt.Sprintf("kms1.example.org:%d", a)) != 30 {
		t.Errorf("After a restart: %d ledgers, want one with 30 clients", len(books))
	}
	s.nothingLeft()
}

// TestControlSocketsThatCannotBe stop a start and a reload, and leave what is there alone.
func TestControlSocketsThatCannotBe(t *testing.T) {
	k := keep(t)
	a := freePort(t)
	good := corefile(0, []int{a}, []int{a}, k.lines())
	s := start(t, good)
	drained := k.drain(t, "kms1.example.org")
	for name, tt := range map[string]struct{ path, want string }{
		"a file":       {k.store, "not a socket"},
		"no directory": {k.socket + "x/s", "no directory"},
	} {
		err := s.reload(corefile(0, []int{a}, []int{a}, "control "+tt.path))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	// The failed reloads named no store; the configuration that runs has one still.
	back, err := control.Client{Socket: k.socket}.Undrain(t.Context(), control.Request{Host: drained.Host})
	if err != nil || !back.Kept {
		t.Errorf("After failed reloads: %+v, %v", back, err)
	}
	// A reload without one ends it.
	if err := s.reload(corefile(0, []int{a}, []int{a}, "store "+k.store)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(k.socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("The socket is there after it is gone from the Corefile: %v", err)
	}
	if len(pools()) != 1 || pools()[0].Hosts()[0].State == pool.Drained {
		t.Errorf("The pool: %s", states())
	}
	s.nothingLeft()
}

// TestTheEndIsToldAsAWhole: while the server ends, which a client of its responder holds up, nobody is told of some of its hosts.
func TestTheEndIsToldAsAWhole(t *testing.T) {
	host, port := freePort(t), freePort(t)
	k := keep(t)
	s := start(t, fmt.Sprintf(`
example.org:0 {
	bind 127.0.0.1
	kms {
		host kms1.example.org:%d address 127.0.0.1
		rehearse 127.0.0.1:%[1]d
		responder 127.0.0.1:%d
		%s
	}
}
example.net:0 {
	bind 127.0.0.1
	kms {
		host kms2.example.net:%[1]d address 127.0.0.1
	}
}`, host, port, k.lines()))
	const both = "kms2.example.net up, kms1.example.org up" // pools by name
	all := func() string { return strings.ReplaceAll(k.hosts(t), fmt.Sprintf(":%d", host), "") }
	eventually(t, both, all)
	client, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte{5}); err != nil { // and no more of a PDU
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.instance.ShutdownCallbacks()
	}()
	for {
		hosts, err := control.Client{Socket: k.socket}.Hosts(t.Context())
		if err != nil {
			break
		}
		if len(hosts.Pools) != 2 {
			t.Errorf("At the end there are pools %+v", hosts.Pools)
			break
		}
	}
	client.Close()
	<-ended
}
