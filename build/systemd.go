package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	plugin "github.com/coredns-kms/coredns-kms"

	"github.com/coredns/caddy"
	clog "github.com/coredns/coredns/plugin/pkg/log"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/miekg/dns"
)

// unit is this process as systemd sees it: a service of Type=notify, which says when it is ready, when it reads its
// configuration again and when it ends, and perhaps has a watchdog to feed. CoreDNS does nothing of the kind.
//
// It lives here and not in the plugin because a server without a kms block must start too.
type unit struct {
	watchdog time.Duration // within which systemd wants to hear of us; 0 if it does not wait

	mu      sync.Mutex // guards what follows, and the order of messages
	serves  bool       // since the first configuration does, until the end
	failed  bool       // the last reload did, and the configuration before it serves
	sockets []string   // UDP addresses that answered once, and so have to go on answering
}

// statusPace is how often the status line is renewed where there is no watchdog.
const statusPace = 30 * time.Second

// reportToSystemd has the process report to systemd for as long as it lives, if systemd started it and wants that. It must be
// called before CoreDNS reads its configuration.
func reportToSystemd() error {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("systemd's watchdog: %w", err)
	}
	u := &unit{watchdog: watchdog}
	caddy.RegisterParsingCallback("dns", "kms", func(caddy.Context) error { return u.follow() })
	go u.run()
	return nil
}

// follow hangs u on the configuration that is being read, and on the events of CoreDNS. It is called for each configuration:
// a reload by SIGUSR1 forgets who wanted to hear of events.
func (u *unit) follow() error {
	instances := caddy.Instances()
	if len(instances) == 0 {
		return errors.New("a configuration is read for no instance of CoreDNS")
	}
	i := instances[len(instances)-1]                         // CoreDNS lists it before it reads
	i.OnRestart = slices.Insert(i.OnRestart, 0, u.reloading) // before whoever may break the reload off
	i.OnRestartFailed = append(i.OnRestartFailed, func() error { return u.kept(i) })
	const name = "kms-systemd"
	if !slices.Contains(caddy.ListPlugins()["event_hooks"], name) {
		caddy.RegisterEventHook(name, u.event)
	}
	return nil
}

// event hears that a configuration serves, and that the process is about to end.
func (u *unit) event(event caddy.EventName, info any) error {
	switch event {
	case caddy.InstanceStartupEvent:
		awaitReloads(2 * time.Second)
		u.ready(false, watched(addresses(info.(*caddy.Instance))))
	case caddy.ShutdownEvent:
		u.mu.Lock()
		defer u.mu.Unlock()
		u.serves = false
		u.tell(daemon.SdNotifyStopping, "STATUS=ending: what is under way is finished")
	}
	return nil
}

// awaitReloads waits until CoreDNS takes the signal for a reload, but not longer than d. It does so in a goroutine that it starts
// first and that a busy machine may run last: a reload right after READY=1 was lost then.
func awaitReloads(d time.Duration) {
	for end := time.Now().Add(d); !takesReloads(stacks()) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// stacks is those of all goroutines.
func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// takesReloads is whether, by the stacks of all goroutines, the one that CoreDNS takes signals in waits for one. Nothing else
// tells.
func takesReloads(stacks string) bool {
	for g := range strings.SplitSeq(stacks, "\n\n") {
		if strings.Contains(g, "caddy.trapSignalsPosix.func1(") {
			return strings.Contains(g, "[chan receive") && !strings.Contains(g, "os/signal.Notify(")
		}
	}
	return false
}

func (u *unit) reloading() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	// The time lets Type=notify-reload (systemd 253) tell this reload from an earlier one.
	u.tell(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()), "STATUS=reading the Corefile again")
	return nil
}

// kept is called when a reload failed and i goes on, and also when it succeeded and some plugin of i ended badly.
func (u *unit) kept(i *caddy.Instance) error {
	instances := caddy.Instances()
	if slices.Contains(instances, i) {
		u.mu.Lock()
		sockets := u.sockets
		u.mu.Unlock()
		u.ready(true, sockets)
	} else if len(instances) > 0 {
		u.ready(false, watched(addresses(instances[len(instances)-1])))
	}
	return nil
}

// ready tells that a configuration serves, which sockets have to answer, and whether a newer configuration failed.
func (u *unit) ready(failed bool, sockets []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.serves, u.failed, u.sockets = true, failed, sockets
	line, _ := plugin.Pulse()
	u.tell(daemon.SdNotifyReady, u.status(line))
}

// status is the line that "systemctl status" shows.
func (u *unit) status(line string) string {
	if u.failed {
		line = "the last reload failed (see the log), the configuration before it serves; " + line
	}
	return "STATUS=" + line
}

// run feeds the watchdog, twice in the time that it waits, and renews the status line.
func (u *unit) run() {
	pace := cmp.Or(u.watchdog/2, statusPace)
	for range time.Tick(pace) {
		u.beat(pace)
	}
}

// beat looks whether everything works, for half of pace at the most, and says so. If it does not, the watchdog gets nothing.
func (u *unit) beat(pace time.Duration) {
	u.mu.Lock()
	sockets := u.sockets
	u.mu.Unlock()
	line, err := plugin.Pulse()
	if e := knock(sockets, pace/2); e != nil {
		err = e
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case !u.serves:
	case err == nil:
		u.tell(daemon.SdNotifyWatchdog, u.status(line))
	case slices.Equal(sockets, u.sockets): // and not those of a configuration that was replaced meanwhile
		clog.Errorf("systemd is not told that this process works: %v", err)
		u.tell(u.status(err.Error()))
	}
}

// tell sends systemd one message of these lines. That systemd cannot be told is nothing to end for.
func (u *unit) tell(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		clog.Warningf("systemd cannot be told %q: %v", lines[0], err)
	}
}

// addresses is where i takes DNS over UDP, or something that looks like it.
func addresses(i *caddy.Instance) []string {
	var all []string
	for _, s := range i.Servers() {
		if a := s.LocalAddr(); a != nil && !slices.Contains(all, a.String()) {
			all = append(all, a.String()) // multisocket has several of one address
		}
	}
	return all
}

// watched is those of addresses that answer now. Others speak something else than DNS (DoQ, a PROXY header), or are blocked
// from here: they have not answered later either, and that must not end the process.
func watched(addresses []string) []string {
	var all []string
	for _, a := range addresses {
		if err := knock([]string{a}, 3*time.Second); err != nil {
			clog.Warningf("systemd's watchdog does not watch %s: %v", a, err)
			continue
		}
		all = append(all, a)
	}
	return all
}

// knock asks the sockets, each up to three times and all for at most the given time, and says which one does not answer.
//
// It asks what nobody serves (opcode STATUS), which CoreDNS refuses before any plugin sees it: such a question is in no log
// and in no metric, and waits for no upstream. So it covers the sockets, the goroutines that read them and what they need of
// the system, and not the plugins.
func knock(sockets []string, within time.Duration) error {
	if len(sockets) == 0 {
		return nil
	}
	const tries = 3
	c := dns.Client{Net: "udp", Timeout: within / time.Duration(tries*len(sockets))}
	for _, s := range sockets {
		var err error
		for range tries {
			q := new(dns.Msg)
			q.Id, q.Opcode = dns.Id(), dns.OpcodeStatus
			if _, _, err = c.ExchangeContext(context.Background(), q, s); err == nil {
				break
			}
		}
		if err != nil {
			return fmt.Errorf("DNS at %s does not answer this machine: %w", s, err)
		}
	}
	return nil
}
