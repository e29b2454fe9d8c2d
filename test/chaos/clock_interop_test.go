//go:build interop && linux && amd64

package main

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is a clock that says what time it is, when it is asked for that.
func TestMain(m *testing.M) {
	if os.Getenv("CHAOS_CLOCK") == "" {
		os.Exit(m.Run())
	}
	began := time.Now()
	for range 2000 {
		now := time.Now()
		os.Stdout.WriteString(strconv.FormatInt(now.Unix(), 10) + " " + now.Sub(began).String() + "\n")
		time.Sleep(5 * time.Millisecond)
	}
}

// TestWallClock: the clock of a process is stepped, there and back; the machine's and the process's monotonic one are not.
func TestWallClock(t *testing.T) {
	t.Setenv("CHAOS_CLOCK", "1")
	n, err := newNamespaceAlone(netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10000)
	p, err := n.start(true, func(line string) { lines <- line }, "/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	if p.clock == nil {
		t.Fatal("The clock could not be taken over")
	}
	for _, offset := range []time.Duration{0, time.Hour, -10 * time.Hour, 0} {
		if err := p.clock.step(offset); err != nil {
			t.Fatal(err)
		}
		deadline := time.After(5 * time.Second)
		for {
			var line string
			select {
			case line = <-lines:
			case <-deadline:
				t.Fatalf("Its clock is not %s off", offset)
			}
			unix, mono, _ := strings.Cut(strings.TrimSpace(line), " ")
			seconds, err := strconv.ParseInt(unix, 10, 64)
			if err != nil {
				t.Fatalf("It said %q", line)
			}
			if ran, err := time.ParseDuration(mono); err != nil || ran < 0 || ran > time.Minute {
				t.Fatalf("It runs for %s, as it sees it", mono)
			}
			if off := time.Until(time.Unix(seconds, 0).Add(-offset)); off.Abs() < 3*time.Second {
				break
			}
		}
	}
}

// newNamespaceAlone is a namespace without a link to anywhere.
func newNamespaceAlone(address netip.Addr) (*namespace, error) {
	n := &namespace{name: "alone", address: address}
	return n, onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("a network namespace: %w", err)
		}
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
}
