//go:build interop

package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/control"

	"github.com/miekg/dns"
)

const (
	kills        = 200
	killZone     = "kill.example.org."
	killStreams  = 4 // updaters at once
	killPerHosts = 4 // hosts of each
	killSecret   = "bm90IGEgc2VjcmV0IGF0IGFsbCwgYnV0IGEga2V5Lg=="
)

// announcedHost is what its updater knows of one host: what was acknowledged last, and, if a change was on its way when the
// server died, that, which may have been made or not. A weight of -1 is a host that is not announced.
type announcedHost struct {
	name           string
	acked, pending int
	changing       bool
}

// TestKill kills the server 200 times in the middle of a stream of updates. Whatever was acknowledged is there when it is
// back, with the weight that it had; whatever was withdrawn is not.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "coredns")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../build").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	k := &killed{binary: binary, port: freePort(t), socket: filepath.Join(dir, "s"), corefile: filepath.Join(dir, "Corefile"),
		rnd: rand.New(rand.NewPCG(1, 2))}
	text := fmt.Sprintf("%s:%d {\nbind 127.0.0.1\ntsig {\nsecret key. %s\n}\nkms {\nupdate {\nkey key. target *.%s\nmax 16\n}\nstore %s\ncontrol %s\n}\n}\n",
		killZone, k.port, killSecret, killZone, filepath.Join(dir, "kms.db"), k.socket)
	if err := os.WriteFile(k.corefile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for s := range killStreams {
		for h := range killPerHosts {
			k.hosts[s] = append(k.hosts[s], &announcedHost{name: fmt.Sprintf("host%d-%d.%s", s, h, killZone), acked: -1})
		}
	}
	acknowledged, uncertain := 0, 0
	for n := range kills {
		a, u := k.life(t)
		acknowledged, uncertain = acknowledged+a, uncertain+u
		if t.Failed() {
			t.Fatalf("at kill %d", n+1)
		}
	}
	if acknowledged < 5*kills || uncertain < kills/10 {
		t.Errorf("Only %d updates were acknowledged, and %d under way when the server died: that proves little", acknowledged, uncertain)
	}
	t.Logf("%d kills, %d updates acknowledged, %d under way at a kill", kills, acknowledged, uncertain)
}

// killed is a server that is killed again and again, and its updaters.
type killed struct {
	binary, corefile, socket string
	port                     uint16
	hosts                    [killStreams][]*announcedHost
	rnd                      *rand.Rand
}

// life starts the server, checks what it knows, sends it updates, and kills it.
func (k *killed) life(t *testing.T) (acknowledged, uncertain int) {
	t.Helper()
	cmd := exec.Command(k.binary, "-conf", k.corefile)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	defer func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("The server said:\n%s", log.Bytes())
		}
	}()
	k.check(t)

	// Death comes with one of the first acknowledgements, or at any moment up to the time that the next takes.
	var streams sync.WaitGroup
	var acks atomic.Int64
	last, die := int64(1+k.rnd.IntN(15)), make(chan struct{})
	for i := range k.hosts {
		rnd := rand.New(rand.NewPCG(k.rnd.Uint64(), 0))
		streams.Go(func() {
			k.stream(t, k.hosts[i], rnd, ended, func() {
				if acks.Add(1) == last {
					close(die)
				}
			})
		})
	}
	select {
	case <-die:
		<-time.After(time.Duration(k.rnd.IntN(8000)) * time.Microsecond)
	case <-ended:
		t.Error("The server ended by itself")
	case <-time.After(20 * time.Second):
		t.Errorf("Only %d updates were acknowledged in 20 s", acks.Load())
	}
	cmd.Process.Kill()
	streams.Wait()
	acknowledged = int(acks.Load())
	for _, hosts := range k.hosts {
		for _, h := range hosts {
			if h.changing {
				uncertain++
			}
		}
	}
	return acknowledged, uncertain
}

// check waits until the server is there and compares what it says of each host.
func (k *killed) check(t *testing.T) {
	t.Helper()
	var known control.Hosts
	await(t, 20*time.Second, "the server answers at its socket", func() bool {
		var err error
		known, err = control.Client{Socket: k.socket}.Hosts(t.Context())
		return err == nil && len(known.Pools) == 1
	})
	await(t, 20*time.Second, "the server takes connections", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", k.port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	weights := make(map[string]int)
	for _, h := range known.Pools[0].Hosts {
		name, _, _ := strings.Cut(h.Endpoint, ":")
		weights[name+"."] = int(h.Weight)
	}
	for _, hosts := range k.hosts {
		for _, h := range hosts {
			now, there := weights[h.name]
			if !there {
				now = -1
			}
			if now != h.acked && !(h.changing && now == h.pending) {
				t.Errorf("%s: weight %d, acknowledged was %d, under way (%t) %d", h.name, now, h.acked, h.changing, h.pending)
			}
			h.acked, h.changing = now, false
			delete(weights, h.name)
		}
	}
	if len(weights) > 0 {
		t.Errorf("Hosts that nobody announced: %v", weights)
	}
}

// stream changes one of hosts after the other until the server is gone, and calls acknowledged after each.
func (k *killed) stream(t *testing.T, hosts []*announcedHost, rnd *rand.Rand, ended <-chan struct{}, acknowledged func()) {
	for {
		h := hosts[rnd.IntN(len(hosts))]
		h.pending, h.changing = rnd.IntN(1000), true
		if h.acked >= 0 && rnd.IntN(3) == 0 {
			h.pending = -1
		}
		err := k.update(h)
		if err == nil {
			h.acked, h.changing = h.pending, false
			acknowledged()
			continue
		}
		if refused := new(refusedUpdate); errors.As(err, &refused) {
			t.Error(err)
		}
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Errorf("The server lives, and does not answer: %v", err)
		}
		return
	}
}

type refusedUpdate struct{ reply *dns.Msg }

func (e *refusedUpdate) Error() string { return "An update was answered\n" + e.reply.String() }

// update makes h as it is to be. It goes over TCP: who dies is noticed at once.
func (k *killed) update(h *announcedHost) error {
	record := func(weight int) dns.RR {
		rr, err := dns.NewRR(fmt.Sprintf("_vlmcs._tcp.%s 0 IN SRV 0 %d 1688 %s", killZone, weight, h.name))
		if err != nil {
			panic(err)
		}
		return rr
	}
	m := new(dns.Msg)
	m.SetUpdate(killZone)
	if h.acked >= 0 {
		m.Remove([]dns.RR{record(h.acked)})
	}
	if h.pending >= 0 {
		m.Insert([]dns.RR{record(h.pending)})
	}
	m.SetTsig("key.", dns.HmacSHA256, 300, time.Now().Unix())
	c := dns.Client{Net: "tcp", Timeout: 5 * time.Second, TsigSecret: map[string]string{"key.": killSecret}}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	reply, _, err := c.ExchangeContext(ctx, m, fmt.Sprintf("127.0.0.1:%d", k.port))
	if reply != nil && reply.Rcode != dns.RcodeSuccess {
		return &refusedUpdate{reply}
	}
	return err
}
