package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const storeSize = 2 << 20 // octets of the disk that the store is on

// An arena is all that runs: the network, the hosts, the server, and what is done to them.
type arena struct {
	*world
	binary string
	dir    string
	config *corefile

	machines []*machine // of the hosts, in their order
	home     *namespace // of the server
	resolver *resolver
	cleanup  []func() // the latest first

	announcing []*announcer // from before the first fault on

	clockMu sync.RWMutex // held for writing while the clock is stepped
	lifeMu  sync.Mutex   // held from the end of one server until the next is ready, which a broken resolver delays

	mu      sync.Mutex // guards what follows
	running *process   // the server, nil while there is none
	lives   []life     // of the server, the present one last
	offset  time.Duration
	fulls   []time.Time    // when the disk was filled and freed, by turns
	lonely  []time.Time    // when the server lost all hosts and had them again, by turns
	badness []time.Time    // when the Corefile was spoilt and put right, by turns
	logged  map[string]int // lines of the log that have an excuse, by that

	logMu   sync.Mutex
	logFile *bufio.Writer // nil if nobody wants it

	hoarded int // names with addresses, kept to fill the disk; of the goroutine that fills it
}

// A life is one process of the server.
type life struct {
	pid  int
	from time.Time
}

// A machine is where one host runs.
type machine struct {
	host *host
	at   *namespace

	mu        sync.Mutex
	process   *process
	unplugged []time.Time // when it lost the server and found it again, by turns
	deaf      int         // reasons for it to drop what it has to say to the server
	parted    int         // reasons for it to have no way to the server
}

// newArena makes the network, and starts the hosts and the resolver. Whatever it returns is to be closed.
func newArena(binary, dir string, w *world) (*arena, error) {
	a := &arena{world: w, binary: binary, dir: dir, logged: make(map[string]int)}
	if err := newBridge(); err != nil {
		return a, err
	}
	var err error
	if a.home, err = newNamespace("server", serverAddress); err != nil {
		return a, err
	}
	if err := a.newStore(); err != nil {
		return a, err
	}
	named, err := newNamespace("resolver", resolverAddress)
	if err != nil {
		return a, err
	}
	a.resolver = &resolver{names: make(map[string]netip.Addr)}
	for i := range fixedHosts + announcedHosts {
		zone := "direct.chaos.test." // inside both zones, so that both answer with addresses
		if i >= fixedHosts {
			zone = updatesZone
		}
		h := &host{name: fmt.Sprintf("k%d.%s", i+1, zone), address: netip.AddrFrom4([4]byte{10, 77, 0, byte(11 + i)}),
			byName: i == 1 || i == 2, announced: i >= fixedHosts, signed: i >= fixedHosts && i < fixedHosts+announcedHosts/2}
		a.hosts = append(a.hosts, h)
		a.resolver.names[h.name] = h.address
		at, err := newNamespace(fmt.Sprintf("k%d", i+1), h.address)
		if err != nil {
			return a, err
		}
		m := &machine{host: h, at: at}
		a.machines = append(a.machines, m)
		if err := a.startHost(m); err != nil {
			return a, err
		}
		a.begins(h)
	}
	stop, err := a.resolver.serve(named)
	if err != nil {
		return a, err
	}
	a.cleanup = append(a.cleanup, stop)
	a.config = &corefile{path: filepath.Join(dir, "Corefile"), zone: filepath.Join(dir, "zone"),
		store:  filepath.Join(dir, "store", "kms.db"),
		socket: filepath.Join(dir, "control.sock"), hosts: a.hosts}
	if err := a.config.writeZone(); err != nil {
		return a, err
	}
	now := time.Now()
	for _, h := range a.hosts {
		h.free, h.known = now, now
		if !h.announced {
			h.listed = now
		}
	}
	a.publishes(0)
	a.editions[0].seen = true // or there would be no server
	err = a.config.change(0)
	a.published()
	return a, err
}

// newStore mounts a small disk for the store, and gives this program's namespace of mounts, which the server inherits, a
// resolver of its own.
func (a *arena) newStore() error {
	store := filepath.Join(a.dir, "store")
	if err := os.Mkdir(store, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("chaos", store, "tmpfs", 0, fmt.Sprintf("size=%d", storeSize)); err != nil {
		return fmt.Errorf("a disk for the store: %w", err)
	}
	conf := filepath.Join(a.dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver "+resolverAddress.String()+"\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(conf, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("a resolver of its own: %w", err)
	}
	return nil
}

// close ends every process that is left. Namespaces and mounts end with this program.
func (a *arena) close() {
	for i := len(a.cleanup) - 1; i >= 0; i-- {
		a.cleanup[i]()
	}
	a.mu.Lock()
	p := a.running
	a.mu.Unlock()
	if p != nil {
		p.kill()
	}
	for _, m := range a.machines {
		if m.process != nil {
			m.process.kill() // also if it is stopped
		}
	}
}

// startHost starts the rehearsal host of m, and waits until it listens.
func (a *arena) startHost(m *machine) error {
	listens := make(chan struct{})
	var once sync.Once
	p, err := m.at.start(false, func(line string) {
		if strings.HasPrefix(line, "rehearsal KMS host on ") {
			once.Do(func() { close(listens) })
			return
		}
		a.requested(m.host, line)
	}, a.binary, "kms", "rehearse", "-listen", netip.AddrPortFrom(m.host.address, port).String(),
		"-name", strings.TrimSuffix(m.host.name, "."))
	if err != nil {
		return err
	}
	select {
	case <-listens:
	case <-p.ended:
		return fmt.Errorf("the rehearsal host %s ended: %w", m.host.name, p.err)
	case <-time.After(20 * time.Second):
		p.kill()
		return fmt.Errorf("the rehearsal host %s does not listen", m.host.name)
	}
	m.mu.Lock()
	m.process = p
	m.mu.Unlock()
	return nil
}

// requested hears a host's line about a request. A drained host gets none from the server, but for what was on its way, and for
// calls that had begun: the line does not say when, so that a second is allowed.
func (a *arena) requested(h *host, line string) {
	if !strings.Contains(line, " from "+serverAddress.String()+":") {
		return
	}
	a.set(func(now time.Time) {
		if h.drained.IsZero() {
			return
		}
		if since := now.Sub(h.drained); since <= time.Second+a.lag.since(h.drained) {
			a.tally.Straggling++
		} else {
			a.violated("the server sent %s a request, which was drained %s before: %s", h.name, since, strings.TrimSpace(line))
		}
	})
}

// startServer starts the server and waits until it is ready. Nobody announces anything before it is taken for that, so that what
// it knows by then is what it kept.
func (a *arena) startServer(ctx context.Context) error {
	a.spawns()
	p, err := a.home.start(true, a.heard, a.binary, "-conf", a.config.path)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.running = p
	a.lives = append(a.lives, life{p.pid(), time.Now()})
	a.mu.Unlock()
	if err := a.stepClock(a.clockOffset()); err != nil {
		a.events.say("the clock cannot be stepped: %v", err)
	}
	// In this order: CoreDNS says for a moment that it is ready before any plugin was asked.
	if err := a.restored(ctx, p); err != nil {
		return err
	}
	if err := awaitReady(ctx, p, netip.AddrPortFrom(serverAddress, 8181).String()); err != nil {
		return err
	}
	a.set(func(now time.Time) { a.server = now })
	a.events.say("the server is ready, process %d", p.pid())
	return nil
}

// restored holds what a new server knows, as soon as it can be asked, against what the ones before it acknowledged.
func (a *arena) restored(ctx context.Context, p *process) error {
	if len(a.announcing) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	for {
		n, err := compare(ctx, a.world, a.announcing, a.config.socket)
		if err == nil {
			a.set(func(time.Time) { a.tally.Restored += n })
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("the server ended: %v", p.err)
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// hurry has everybody announce himself at once, and gives them up to some milliseconds, by turn: about as long as an update takes,
// so that some are under way then, in whichever of their steps.
func (a *arena) hurry(turn int) {
	for _, one := range a.announcing {
		select {
		case one.hurry <- struct{}{}:
		default:
		}
	}
	time.Sleep(time.Duration(turn%16) * 200 * time.Microsecond)
}

// stopServer has the server killed or stopped.
func (a *arena) stopServer(killed bool) error {
	a.mu.Lock()
	p := a.running
	a.running = nil
	a.mu.Unlock()
	if p == nil {
		return errors.New("there is no server")
	}
	if !killed {
		a.stores()
	}
	a.set(func(time.Time) { a.server = time.Time{} })
	if killed {
		p.kill()
		return nil
	}
	return p.stop(20 * time.Second)
}

// present is the server, nil while there is none.
func (a *arena) present() *process {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running
}

// watchServer says when the server ends by itself.
func (a *arena) watchServer(ctx context.Context) {
	for {
		p := a.present()
		if p != nil {
			select {
			case <-ctx.Done():
				return
			case <-p.ended:
				if a.present() == p {
					a.violate("the server ended by itself: %v", p.err)
					a.set(func(time.Time) { a.server = time.Time{} })
					return
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (a *arena) clockOffset() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.offset
}

// holdClock keeps the clock from being stepped until the function it returns is called.
func (a *arena) holdClock() (release func()) {
	a.clockMu.RLock()
	return a.clockMu.RUnlock
}

// errNoClock: there is no way to the clock of a process alone on this machine.
var errNoClock = errors.New("on this machine the clock of one process cannot be stepped")

// stepClock sets the clock of the server.
func (a *arena) stepClock(offset time.Duration) error {
	a.clockMu.Lock()
	defer a.clockMu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running == nil {
		return errors.New("there is no server")
	}
	if a.running.clock == nil {
		return errNoClock
	}
	if err := a.running.clock.step(offset); err != nil {
		return err
	}
	a.offset = offset
	return nil
}

// fill takes the rest of the disk of the store, or gives it back.
func (a *arena) fill(full bool) error {
	ballast := filepath.Join(a.dir, "store", "ballast")
	if !full {
		err := os.Remove(ballast)
		a.mu.Lock()
		a.fulls = append(a.fulls, time.Now())
		a.mu.Unlock()
		return err
	}
	a.mu.Lock()
	a.fulls = append(a.fulls, time.Now())
	a.mu.Unlock()
	f, err := os.Create(ballast)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		err = nil
	}
	return nil
}

// full is whether the disk was full at any time since then.
func (a *arena) full(since time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return during(a.fulls, since, 0)
}

// unplugged is whether h has no link.
func (a *arena) unplugged(h *host) bool { return a.wasUnplugged(h, time.Now()) }

// wasUnplugged is whether h had no link at any time since then.
func (a *arena) wasUnplugged(h *host, since time.Time) bool {
	for _, m := range a.machines {
		if m.host == h {
			m.mu.Lock()
			defer m.mu.Unlock()
			return during(m.unplugged, since, 2*time.Second) // the time that neighbours need to find each other
		}
	}
	return false
}

// announcers makes one for each announced host.
func (a *arena) announcers(seed uint64) []*announcer {
	var all []*announcer
	for i, m := range a.machines {
		if m.host.announced {
			all = append(all, &announcer{world: a.world, host: m.host, home: m.at, arena: a, weight: -1,
				hurry: make(chan struct{}, 1), rnd: rand.New(rand.NewPCG(seed, uint64(1000+i)))})
		}
	}
	return all
}
