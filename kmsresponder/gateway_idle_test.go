package kmsresponder

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

const idleEnv = "KMS_TEST_IDLE_CLIENTS"

// idleMost is how many octets each may take: much less where nobody waits for it.
func idleMost() int64 {
	if runtime.GOOS == "linux" {
		return 1 << 10
	}
	return 16 << 10
}

// TestGatewayIdleConnections is the short form of TestGatewayManyIdleConnections,
// behind the tag interop, and what that runs in the other process.
func TestGatewayIdleConnections(t *testing.T) {
	var (
		addr string
		n    int
	)
	if _, err := fmt.Sscan(os.Getenv(idleEnv), &addr, &n); err == nil {
		stayIdle(t, addr, n)
		return
	}
	idle(t, 1000)
}

// idle has n clients make a call and stay. They are in another process, because a
// descriptor for each end would be more than a process commonly may have.
func idle(t *testing.T, n int) {
	h := startHost(t, &host{})
	addr, g, stop := startGateway(t, GatewayConfig{
		Pool: poolOf(hostAt(h.addr, 0)), Observer: NewMetrics("idle"), Ledger: runLedger(t), Warm: 5,
		Limits: Limits{Connections: -1, Client: -1, Rate: -1},
	})
	mustCall(t, addr, messageV4(1))
	before := inUse()

	clients := exec.Command(os.Args[0], "-test.run=^TestGatewayIdleConnections$")
	clients.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", idleEnv, addr, n))
	stay, err := clients.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := clients.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	clients.Stderr = os.Stderr
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "idle") {
		t.Log(lines.Text())
	}
	if open := g.Connections(); open != n {
		t.Errorf("%d connections, want %d", open, n)
	}
	each := (inUse() - before) / int64(n)
	t.Logf("%d octets of heap and stack for each of %d idle connections", each, n)
	if each > idleMost() {
		t.Errorf("an idle connection takes %d octets, at most %d", each, idleMost())
	}
	mustCall(t, addr, messageV4(2))
	stop() // hangs up on them all
	stay.Close()
	if err := clients.Wait(); err != nil {
		t.Error(err)
	}
}

// stayIdle is the other process: it says "idle" once every client has made its
// call, and waits for the end of its input.
func stayIdle(t *testing.T, addr string, n int) {
	conns := make([]net.Conn, n)
	for i := range conns {
		s := connectTo(t, addr)
		if _, hr, err := s.request(messageV6(i)); hr != 0 || err != nil {
			t.Fatalf("client %d: %v, %v", i, hr, err)
		}
		conns[i] = s.conn
	}
	fmt.Println("idle")
	os.Stdin.Read(make([]byte, 1))
	for i, conn := range conns {
		ended(t, fmt.Sprint("client ", i), conn)
	}
}
