package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// settings are what the server is asked to do: as it does by default, only five times as fast, so that more happens in a minute.
var settings = bounds{interval: 2 * time.Second, timeout: time.Second, rise: 2, fall: 3}

// seenTime is by when a Corefile that was written is in force: the server looks every two seconds, give or take a quarter (half
// the jitter of one second), and is given a second to change over.
const seenTime = 2500*time.Millisecond + time.Second

const (
	keyName   = "chaos-key."
	keySecret = "bm90IGEgc2VjcmV0IGF0IGFsbCwgYnV0IGEga2V5Lg==" // of a network that nobody else is in
)

// doubtful is the TTL of answers at doubtful moments, in seconds.
const doubtful = 5

// A corefile is where the server's is, and what stands in it now.
type corefile struct {
	path, zone, store, socket string
	hosts                     []*host
	n                         int // Corefiles written so far
	turn                      int // of the last good one: another turn is another Corefile
}

// turns is how many good Corefiles there are.
const turns = 90

// ttl is the TTL of a good Corefile, in seconds.
func ttl(turn int) uint32 { return uint32(20 + turn%3*10) }

// weight and priority are those of the i-th host in a good Corefile.
func weight(turn, i int) uint16 { return uint16(10 + (turn*7+i*30)%turns) }
func priority(i int) uint16     { return uint16(i / 2 * 10) }

// text is a good Corefile; turn says which of them.
//
// Its two zones are in server blocks of their own, for the two ways that answers are made: loadbalance puts a writer of its own
// around the server's and works on the records of replies, so that in chaos.test they are made of records; nothing does so in
// direct.chaos.test, so that they are written as octets there (direct.go, "straight"), as they are by default. The judge holds
// each answer to the way that it should have gone.
func (c *corefile) text(turn int) string {
	var listed strings.Builder
	for i, h := range c.hosts {
		if h.announced {
			continue
		}
		fmt.Fprintf(&listed, "\t\thost %s priority %d weight %d", strings.TrimSuffix(h.name, "."), priority(i), weight(turn, i))
		if !h.byName {
			fmt.Fprintf(&listed, " address %s", h.address)
		}
		listed.WriteString("\n")
	}
	probe := fmt.Sprintf("\t\tprobe rpc interval %s timeout %s rise %d fall %d\n\t\tttl %ds\n",
		settings.interval, settings.timeout, settings.rise, settings.fall, ttl(turn))
	return fmt.Sprintf(`# number %d
chaos.test:53 {
	bind %[2]s
	errors
	reload 2s 1s
	loadbalance
	tsig {
		secret %[3]s %[4]s
	}
	kms chaos.test {
%[5]s%[6]s		responder %[2]s:%[7]d {
			advertise %[8]s
			warm 20
		}
		update {
			allow 10.77.0.0/24 target *.chaos.test
			key %[3]s target *.chaos.test
		}
		store %[9]s
		control %[10]s
	}
	file %[11]s chaos.test
	prometheus %[2]s:9153
	ready %[2]s:8181
	pprof %[2]s:6053
}
direct.chaos.test:53 {
	bind %[2]s
	errors
	prometheus %[2]s:9153
	kms direct.chaos.test {
%[5]s%[6]s	}
}
`, c.n, serverAddress, strings.TrimSuffix(keyName, "."), keySecret, listed.String(), probe, port,
		strings.TrimSuffix(responderName, "."), c.store, c.socket, c.zone)
}

// writeZone writes the zone that the server's lies over: it has the addresses of hosts that announce themselves.
func (c *corefile) writeZone() error {
	var zone strings.Builder
	fmt.Fprintf(&zone, "$ORIGIN chaos.test.\n$TTL 60\n@ IN SOA %[1]s hostmaster 1 7200 1800 86400 5\n"+
		"@ IN NS %[1]s\n%[1]s IN A %[2]s\n", responderName, serverAddress)
	for _, h := range c.hosts {
		if h.announced {
			fmt.Fprintf(&zone, "%s IN A %s\n", h.name, h.address)
		}
	}
	return os.WriteFile(c.zone, []byte(zone.String()), 0o644)
}

// mistakes are ways to spoil a Corefile.
var mistakes = []struct {
	name  string
	spoil func(good string) string
}{
	{"a brace is missing", func(g string) string { return strings.Replace(g, "\t\tupdate {", "\t\tupdate", 1) }},
	{"an unknown property", func(g string) string { return strings.Replace(g, "\t\tstore ", "\t\tstorr ", 1) }},
	{"an unknown plugin", func(g string) string { return strings.Replace(g, "\terrors\n", "\terorrs\n", 1) }},
	{"a host twice", func(g string) string {
		return strings.Replace(g, "\t\tprobe", strings.Repeat("\t\thost k9.chaos.test address 10.77.0.99\n", 2)+"\t\tprobe", 1)
	}},
	{"a timeout above the interval", func(g string) string { return strings.Replace(g, "timeout 1s", "timeout 3s", 1) }},
	{"a priority above 65535", func(g string) string { return strings.Replace(g, "priority 0", "priority 70000", 1) }},
	{"an address to listen on that this machine does not have", func(g string) string {
		return g + "other.test:53 {\n\tbind 10.77.0.250\n\terrors\n}\n"
	}},
	{"a responder where this machine cannot listen", func(g string) string {
		return strings.Replace(g, fmt.Sprintf("responder %s:%d", serverAddress, port), "responder 10.77.0.250:1688", 1)
	}},
	{"a control socket where there is no directory", func(g string) string {
		return strings.Replace(g, "\t\tcontrol ", "\t\tcontrol /nowhere", 1)
	}},
	{"the end is missing", func(g string) string { return g[:strings.LastIndex(g, "\t\tprobe")+10] }},
	{"the file is gone", func(string) string { return "" }},
}

// other is a turn that gives another good Corefile than the last, by that.
func (c *corefile) other(turn int) int {
	if c.n > 0 && turn%turns == c.turn%turns {
		turn++
	}
	return turn
}

// change writes a good Corefile.
func (c *corefile) change(turn int) error {
	c.n++
	c.turn = turn
	return c.write(c.text(turn))
}

// spoil writes a bad one and says what is bad about it.
func (c *corefile) spoil(turn int) (string, error) {
	c.n++
	m := mistakes[turn%len(mistakes)]
	text := m.spoil(c.text(c.turn))
	if text == "" {
		return m.name, os.Remove(c.path)
	}
	return m.name, c.write(text)
}

// write replaces the file at once, as editors do.
func (c *corefile) write(text string) error {
	next := filepath.Join(filepath.Dir(c.path), "Corefile.next")
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(next, c.path)
}
