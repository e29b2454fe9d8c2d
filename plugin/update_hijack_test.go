package plugin

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestOthersHostsAreNotTaken: who speaks for itself alone gets hold of nobody else's host by an address for its name, whether
// that has none yet, or nobody can say what it has.
func TestOthersHostsAreNotTaken(t *testing.T) {
	const attack = "192.0.2.66"
	for name, tt := range map[string]struct {
		before   []sent
		resolver string // what the machine's resolver says of kms7 during the attack
		behind   func(dns.Question) *dns.Msg
		target   string
	}{
		"of a key, without an address": {before: []sent{{key: "any.", changes: service("kms7.example.org.")}}, target: "kms7.example.org."},
		"of a key, after another of its ports": {before: []sent{{key: "any.", changes: service("kms7.example.org.")},
			{key: "corp.", changes: service("kms9.example.org.")}}, target: "kms7.example.org."},
		"of an address, while the resolver is down": {before: []sent{{changes: service("kms9.example.org.")}}, resolver: "?",
			target: "kms9.example.org."},
		"of the next plugin, while that is down": {resolver: "?", behind: broken, target: "www.example.org."},
	} {
		t.Run(name, func(t *testing.T) {
			for _, changes := range []string{
				tt.target + " 60 IN A " + attack,
				tt.target + " 60 IN A " + attack + "; " + service(tt.target),
			} {
				u := settings()
				w := newUpdateWorld(t, &u, "kms1.example.org=up")
				for _, s := range tt.before {
					if m := w.send(t, s); m.Rcode != dns.RcodeSuccess {
						t.Fatalf("Got %s before", dns.RcodeToString[m.Rcode])
					}
				}
				was := strings.Join(w.state(), "; ")
				w.resolver[tt.target] = tt.resolver
				if tt.behind != nil {
					w.Next = &below{answer: tt.behind}
				}
				m := w.send(t, sent{from: attack, changes: changes})
				if got := strings.Join(w.state(), "; "); m.Rcode == dns.RcodeSuccess || got != was {
					t.Errorf("%s: got %s and %q, want a refusal and %q", changes, dns.RcodeToString[m.Rcode], got, was)
				}
			}
		})
	}
}

// broken is a next plugin whose source does not answer.
func broken(q dns.Question) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(q.Name, q.Qtype)
	m.Response, m.Rcode = true, dns.RcodeServerFailure
	return m
}

// TestOneMachineTakesNotAllPlaces: one that speaks for itself alone leaves places for others.
func TestOneMachineTakesNotAllPlaces(t *testing.T) {
	u := settings()
	u.Max = 16
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	for _, port := range strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16") {
		w.send(t, sent{changes: "_vlmcs._tcp.example.org. 60 IN SRV 0 0 " + port + " kms9.example.org."})
	}
	if m := w.send(t, sent{from: "192.0.2.8", changes: service("kms8.example.org.")}); m.Rcode != dns.RcodeSuccess {
		t.Errorf("Got %s for another host beside %q", dns.RcodeToString[m.Rcode], w.state())
	}
}

// TestForeignMessageCost: what a stranger's message costs must not grow with the square of its length: as long as a message
// can be, it took two seconds. Every name that is looked at is an allocation, so those are counted.
func TestForeignMessageCost(t *testing.T) {
	u := settings()
	w := newUpdateWorld(t, &u, "kms1.example.org=up")
	long := strings.Repeat(strings.Repeat("A", 60)+".", 3) + "example.org."
	r := sent{changes: "b." + long + " 60 IN A 192.0.2.1; c." + long + " 60 IN SRV 0 0 1 d." + long}.message(t)
	cost := func(n int) float64 {
		m := &update{site: w.site, zone: "example.org.", service: "_vlmcs._tcp.example.org.", barred: refuse("a stranger")}
		for range n {
			m.changes = append(m.changes, r.Ns[0], r.Ns[1])
		}
		return testing.AllocsPerRun(1, func() {
			if ours, _ := m.concerns(false); ours {
				t.Error("Got a message of others taken for ours")
			}
		})
	}
	if few, many := cost(100), cost(1600); few == 0 || many > 20*few { // 16 times as long; the square is 256
		t.Errorf("Got %.0f allocations for 200 records and %.0f for 3200", few, many)
	}
}

// TestUpdateLimits: allow may be for some hosts only, and port for all.
func TestUpdateLimits(t *testing.T) {
	u := settings()
	u.Targets, u.Ports = []string{"*.kms.example.org.", "kms9.example.org."}, []uint16{1688, 1689}
	srv := func(port, target string) string {
		return "_vlmcs._tcp.example.org. 60 IN SRV 0 0 " + port + " " + target
	}
	for name, tt := range map[string]struct {
		sent
		rcode int
	}{
		"a host that allow has":               {sent{changes: service("kms9.example.org.")}, dns.RcodeSuccess},
		"one that it has not":                 {sent{from: "192.0.2.8", changes: service("kms8.example.org.")}, dns.RcodeRefused},
		"the address of one that it has not":  {sent{from: "192.0.2.8", changes: "kms7.example.org. 60 IN A 192.0.2.8"}, dns.RcodeRefused},
		"the address of one that it has":      {sent{from: "192.0.2.8", changes: "a.kms.example.org. 60 IN A 192.0.2.8"}, dns.RcodeSuccess},
		"a key for one that allow has not":    {sent{key: "any.", changes: service("kms8.example.org.")}, dns.RcodeSuccess},
		"another port":                        {sent{changes: srv("1689", "kms9.example.org.")}, dns.RcodeSuccess},
		"a port that port has not":            {sent{changes: srv("1690", "kms9.example.org.")}, dns.RcodeRefused},
		"a port that port has not, by a key":  {sent{key: "any.", changes: srv("1690", "kms9.example.org.")}, dns.RcodeRefused},
		"to take back what was never allowed": {sent{from: "192.0.2.8", changes: "_vlmcs._tcp.example.org. 0 NONE SRV 0 0 1690 kms8.example.org."}, dns.RcodeSuccess},
	} {
		t.Run(name, func(t *testing.T) {
			w := newUpdateWorld(t, &u, "kms1.example.org=up")
			if m := w.send(t, tt.sent); m.Rcode != tt.rcode {
				t.Errorf("Got %s, want %s", dns.RcodeToString[m.Rcode], dns.RcodeToString[tt.rcode])
			}
		})
	}
}
