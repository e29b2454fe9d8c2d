package main

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A scene is a world under a fake clock, in which four hosts of the Corefile and an announced one have been well for an hour.
type scene struct {
	*world
	t *testing.T
}

func play(t *testing.T, f func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := &world{bounds: settings, events: &timeline{began: began}, lag: &lag{began: began},
			tally:    tally{Calls: make(map[string]int), Lost: make(map[string]int)},
			editions: []edition{{from: began, written: began, seen: true}}}
		for i := range 5 {
			h := &host{name: "k" + string(rune('1'+i)) + ".chaos.test.", address: netip.AddrFrom4([4]byte{10, 77, 0, byte(11 + i)}), announced: i == 4}
			h.free, h.known, h.listed, h.weighed, h.weight = began, began, began, began, 7
			w.hosts = append(w.hosts, h)
			w.begins(h)
		}
		w.server = began
		time.Sleep(time.Hour)
		f(&scene{w, t})
	})
}

// answer is one of these hosts by number in the zone of the responder, with their priorities, and of the responder; by the Corefile
// of turn 0.
func (s *scene) answer(priorities map[int]uint16) answer {
	a := answer{zone: viaResponder, asked: time.Now(), over: "udp", ttl: ttl(0)}
	a.entries = []entry{{target: responderName, port: port}}
	for n, p := range priorities {
		h := s.hosts[n-1]
		e := entry{target: h.name, port: port, priority: p, weight: weight(0, n-1), addresses: []netip.Addr{h.address}}
		if h.announced {
			e.weight = h.weight
		}
		if p != all()[n] {
			a.ttl = doubtful
		}
		a.entries = append(a.entries, e)
	}
	time.Sleep(time.Millisecond)
	a.come = time.Now()
	return a
}

// answers has such an answer judged.
func (s *scene) answers(priorities map[int]uint16) { s.judge(s.answer(priorities)) }

// expect wants what was violated, or nothing, and forgets it.
func (s *scene) expect(want string) {
	s.t.Helper()
	switch got := s.broken(); {
	case want == "" && len(got) > 0:
		s.t.Errorf("Violated: %s", strings.Join(got, "; "))
	case want != "" && (len(got) != 1 || !strings.Contains(got[0], want)):
		s.t.Errorf("Got %q, want one with %q", got, want)
	}
	s.violations = nil
}

// dies kills host n.
func (s *scene) dies(n int) *host {
	h := s.hosts[n-1]
	s.fails(h, true)
	s.failed(h)
	return h
}

// all is everybody, each with its own priority.
func all() map[int]uint16 { return map[int]uint16{1: 0, 2: 0, 3: 10, 4: 10, 5: announcedPriority} }

func but(n int) map[int]uint16 {
	m := all()
	delete(m, n)
	return m
}

func TestJudgeWell(t *testing.T) {
	play(t, func(s *scene) {
		s.answers(all())
		s.expect("")
		s.answers(but(2))
		s.expect("k2.chaos.test. is not in the answer")
		s.answers(map[int]uint16{})
		if len(s.broken()) != 5 {
			t.Errorf("Nobody is answered: got %q", s.broken())
		}
	})
}

// TestJudgeDead: a dead host may stand among the others, then behind them, then not at all; each until its bound.
func TestJudgeDead(t *testing.T) {
	play(t, func(s *scene) {
		s.dies(3)
		time.Sleep(settings.lastTier(0) - 10*time.Millisecond)
		s.answers(all())
		s.expect("")
		time.Sleep(20 * time.Millisecond)
		s.answers(all())
		s.expect("is not ahead of it")
		behind := all()
		behind[3] = 21
		s.answers(behind)
		s.expect("")
		time.Sleep(settings.gone(0) - settings.lastTier(0) - 20*time.Millisecond)
		s.answers(behind)
		s.expect("")
		time.Sleep(30 * time.Millisecond)
		s.answers(behind)
		s.expect("is answered, which is dead for")
		s.answers(but(3))
		s.expect("")
		if s.tally.Gone.Times != 1 || s.tally.Gone.Took < settings.gone(0) || s.tally.Gone.Lag != 1 {
			t.Errorf("Measured was %+v", s.tally.Gone)
		}
	})
}

// TestJudgeLag: what the machine withheld is allowed on top, and no more.
func TestJudgeLag(t *testing.T) {
	play(t, func(s *scene) {
		s.dies(3)
		behind := all()
		behind[3] = 21
		time.Sleep(settings.gone(0))
		s.lag.note(time.Now(), 2*time.Second)
		time.Sleep(1900 * time.Millisecond)
		s.answers(behind)
		s.expect("")
		time.Sleep(200 * time.Millisecond)
		s.answers(behind)
		s.expect("is answered, which is dead for")
	})
}

// TestJudgeAllDead: without anybody who lives there is no bound, but for an answer that is not empty.
func TestJudgeAllDead(t *testing.T) {
	play(t, func(s *scene) {
		for n := range 5 {
			s.dies(n + 1)
		}
		time.Sleep(time.Minute)
		s.answers(all())
		s.expect("")
		s.judge(answer{zone: direct, asked: time.Now(), ttl: 5})
		s.expect("an empty answer")
	})
}

// TestJudgeBack: a host that is back is answered by its bound.
func TestJudgeBack(t *testing.T) {
	play(t, func(s *scene) {
		s.answers(all())
		h := s.dies(3)
		time.Sleep(20 * time.Second)
		s.answers(but(3))
		s.heals(h)
		s.healed(h, true)
		time.Sleep(s.bounds.back(illness{long: 20 * time.Second}))
		s.answers(but(3))
		s.expect("")
		time.Sleep(10 * time.Millisecond)
		s.answers(but(3))
		s.expect("is not in the answer, which lives for")
		s.answers(all())
		s.expect("")
		if s.tally.Back.Times != 1 || s.tally.Back.Lag != 1 {
			t.Errorf("Measured was %+v", s.tally.Back)
		}
	})
}

func TestJudgeDrained(t *testing.T) {
	play(t, func(s *scene) {
		h := s.hosts[1]
		h.free = time.Time{} // asked for
		s.answers(all())
		s.answers(but(2))
		s.expect("")
		h.drained = time.Now()
		time.Sleep(time.Microsecond)
		s.answers(all())
		s.expect("is answered, which was drained")
		s.answers(but(2))
		s.expect("")
		s.called(call{way: "x", zone: -1, began: time.Now(), end: time.Now(), by: h.id()})
		s.expect("was served by k2.chaos.test., which was drained")
	})
}

func TestJudgeAnnounced(t *testing.T) {
	play(t, func(s *scene) {
		h := s.hosts[4]
		h.listed, h.gone = time.Time{}, time.Now()
		time.Sleep(time.Microsecond)
		s.answers(but(5))
		s.expect("")
		s.answers(all())
		s.expect("which took its announcement back")
		h.listed, h.gone = time.Now(), time.Time{}
		s.answers(but(5))
		s.expect("")
		time.Sleep(time.Minute)
		s.answers(but(5))
		s.expect("k5.chaos.test. is not in the answer")
	})
}

// TestJudgeForm: an answer has to be one.
func TestJudgeForm(t *testing.T) {
	play(t, func(s *scene) {
		for _, tc := range []struct {
			want  string
			spoil func(a *answer)
		}{
			{"NXDOMAIN", func(a *answer) { a.problem = "it is NXDOMAIN" }},
			{"TTL 31", func(a *answer) { a.ttl = 31 }},
			{"TTL 5, not 20", func(a *answer) { a.ttl = doubtful }},
			{"has weight 11, not 10", func(a *answer) { a.entries[0].weight++ }},
			{"although there is no host to be suspected", func(a *answer) { a.entries[0].priority, a.ttl = 11, doubtful }},
			{"octets: false", func(a *answer) { a.octets = false }},
			{"octets: true", func(a *answer) { a.way = byRecords }},
			{"stands twice", func(a *answer) { a.entries = append(a.entries, a.entries[0]) }},
			{"which is no host", func(a *answer) { a.entries = append(a.entries, entry{target: "evil.example."}) }},
			{"with port 1689", func(a *answer) { a.entries[0].port = 1689 }},
			{"[10.77.0.99]", func(a *answer) { a.entries[0].addresses = []netip.Addr{netip.MustParseAddr("10.77.0.99")} }},
		} {
			a := answer{zone: direct, asked: time.Now(), come: time.Now(), ttl: ttl(0), octets: true, way: byOctets}
			for i, h := range s.hosts[:4] {
				a.entries = append(a.entries, entry{target: h.name, port: port, priority: priority(i), weight: weight(0, i)})
			}
			tc.spoil(&a)
			s.judge(a)
			s.expect(tc.want)
		}
	})
}

// TestJudgeUndrained: a host that is put back counts at once for what it was found to be while it was drained.
func TestJudgeUndrained(t *testing.T) {
	play(t, func(s *scene) {
		h := s.dies(2)
		time.Sleep(10 * time.Second)
		s.heals(h)
		s.healed(h, true)
		h.free, h.drained = time.Time{}, time.Now()
		time.Sleep(time.Minute)
		h.free, h.drained = time.Now(), time.Time{}
		time.Sleep(time.Millisecond)
		s.answers(but(2))
		s.expect("k2.chaos.test. is not in the answer")
		if got, want := s.back(h), s.bounds.back(illness{long: 10 * time.Second}); got != want {
			t.Errorf("Got %s, want %s: how long ago it fell ill is not how long it was ill", got, want)
		}
	})
}

// TestJudgeIllAgain: how long a host may be left alone is by its last illness, if it was seen to be well before; it flaps after
// three.
func TestJudgeIllAgain(t *testing.T) {
	play(t, func(s *scene) {
		ill := func(n int, between time.Duration) time.Duration {
			for range n {
				h := s.dies(2)
				time.Sleep(10 * time.Second)
				s.heals(h)
				s.healed(h, true)
				time.Sleep(between)
			}
			return s.back(s.hosts[1])
		}
		once := s.bounds.back(illness{long: 10 * time.Second})
		if got := ill(2, once+time.Second); got != once {
			t.Errorf("Twice, and well between: got %s, want %s", got, once)
		}
		if got, want := ill(1, once+time.Second), s.bounds.back(illness{long: 10 * time.Second, flapping: true}); got != want {
			t.Errorf("For the third time: got %s, want %s", got, want)
		}
		time.Sleep(time.Hour)
		if got := ill(2, time.Second); got <= once {
			t.Errorf("Ill again before it can have been seen to be well: got %s, as if it were ill once", got)
		}
	})
}

// TestSteady: a host that came back is to be held back with all others once it was seen to be well; one that flaps, which its first
// failure takes out, not before its failures are forgotten.
func TestSteady(t *testing.T) {
	play(t, func(s *scene) {
		const seen = 13 * time.Second
		h := s.hosts[1]
		steady := func() bool {
			now := time.Now()
			for i := range h.faces {
				h.faces[i].last, h.faces[i].missing = now, time.Time{}
			}
			return s.steady(h, now)
		}
		for bout := range 3 {
			s.dies(2)
			time.Sleep(10 * time.Second)
			s.heals(h)
			s.healed(h, true)
			if steady() {
				t.Errorf("At once after bout %d", bout+1)
			}
			time.Sleep(seen)
			if got, want := steady(), bout < 2; got != want {
				t.Errorf("%s after bout %d: %t, want %t", seen, bout+1, got, want)
			}
		}
		time.Sleep(s.bounds.soundFor() + s.back(h))
		if !steady() {
			t.Error("Its failures are forgotten, and it is not to be held back")
		}
	})
}

// TestJudgeClaimed: a host that announces itself anew while it is dead, or falls ill before it can have proved itself, is left alone
// from its first failure on; one that has proved itself is not.
func TestJudgeClaimed(t *testing.T) {
	for _, tc := range []struct {
		name    string
		proving time.Duration // since it announced itself, until it falls ill
		claimed bool
	}{
		{"dead when it came", 0, true},
		{"dead before it can have proved itself", time.Second, true},
		{"dead when it had", time.Minute, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			play(t, func(s *scene) {
				h := s.hosts[4]
				if tc.proving == 0 {
					s.dies(5)
				}
				s.set(func(now time.Time) {
					h.leaves(now)
					h.listed = now
				})
				if time.Sleep(tc.proving); tc.proving > 0 {
					s.dies(5)
				}
				time.Sleep(3 * time.Second)
				s.heals(h)
				s.healed(h, true)
				if got, want := s.back(h), s.bounds.back(illness{long: 3 * time.Second, claimed: tc.claimed}); got != want {
					t.Errorf("Got %s, want %s", got, want)
				}
			})
		})
	}
	if settings.back(illness{long: 3 * time.Second}) == settings.back(illness{long: 3 * time.Second, claimed: true}) {
		t.Error("The bounds are the same")
	}
}

// TestJudgeRestarted: after a restart, a host that is well needs no longer for its past than the server can know of it.
func TestJudgeRestarted(t *testing.T) {
	for _, tc := range []struct {
		name    string
		well    time.Duration // before the stop
		killed  bool
		forgets bool
	}{
		{"killed", time.Second, true, true},
		{"stopped", time.Second, false, false},
		{"stopped when it was well for long", 10 * time.Minute, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			play(t, func(s *scene) {
				h := s.dies(2)
				time.Sleep(time.Minute)
				s.heals(h)
				s.healed(h, true)
				time.Sleep(tc.well)
				if !tc.killed {
					s.stores()
				}
				s.spawns()
				if got := s.back(h) == s.bounds.back(illness{}); got != tc.forgets {
					t.Errorf("Its past is forgotten: %t", got)
				}
			})
		})
	}
}

// TestJudgeEdition: a good Corefile may be in force when it is written, must be soon after, and stays so while a bad one is there.
func TestJudgeEdition(t *testing.T) {
	play(t, func(s *scene) {
		s.publishes(1)
		time.Sleep(time.Millisecond)
		s.published()
		newer := func() answer {
			a := s.answer(all())
			a.ttl = ttl(1)
			for i := range s.hosts[:4] {
				for j := range a.entries {
					if a.entries[j].target == s.hosts[i].name {
						a.entries[j].weight = weight(1, i)
					}
				}
			}
			return a
		}
		s.answers(all())
		s.judge(newer())
		s.answers(all()) // from the sockets of the old one
		mixed := newer()
		mixed.ttl = ttl(0)
		s.expect("")
		s.judge(mixed)
		s.expect("none of the 2 Corefiles")
		time.Sleep(seenTime)
		s.answers(all())
		s.expect("none of the 1 Corefiles")
		s.spoilt = time.Now()
		time.Sleep(time.Millisecond)
		s.judge(newer())
		s.expect("")
		if s.tally.InForce.Times != 1 || s.tally.DuringBad != 1 {
			t.Errorf("Measured was %+v, %d during a bad one", s.tally.InForce, s.tally.DuringBad)
		}
		s.publishes(2)
		s.published()
		s.judge(newer())
		s.expect("")
		time.Sleep(time.Millisecond)
		s.spawned = time.Now() // it has read the new one
		s.judge(newer())
		s.expect("none of the 1 Corefiles")
	})
}

// TestJudgeAnnouncedWeight: the weight that was acknowledged is answered from then on.
func TestJudgeAnnouncedWeight(t *testing.T) {
	play(t, func(s *scene) {
		old := s.answer(all())
		h := s.hosts[4]
		h.weighed = time.Time{} // asked for
		s.judge(old)
		h.weight, h.weighed = 8, time.Now()
		s.judge(old)
		s.expect("")
		time.Sleep(time.Millisecond)
		s.answers(all())
		s.expect("")
		h.weight = 9
		again := s.answer(all())
		again.entries[slices.IndexFunc(again.entries, func(e entry) bool { return e.target == h.name })].weight = 8
		s.judge(again)
		s.expect("has weight 8, not 9")
	})
}

// TestCoverage: what was judged, and what was not since nobody else lived or nobody had said yet that a host is drained.
func TestCoverage(t *testing.T) {
	play(t, func(s *scene) {
		s.dies(3)
		s.hosts[0].free = time.Time{}
		time.Sleep(settings.gone(0) + time.Millisecond)
		s.answers(map[int]uint16{2: 0, 4: 10, 5: announcedPriority})
		s.hosts[0].drained = time.Now()
		time.Sleep(time.Millisecond)
		s.answers(map[int]uint16{2: 0, 4: 10, 5: announcedPriority})
		s.expect("")
		for _, n := range []int{2, 4, 5} {
			s.dies(n)
		}
		time.Sleep(time.Hour)
		s.answers(map[int]uint16{2: 0})
		s.expect("")
		dead, drained, living := s.tally.Dead, s.tally.Drained, s.tally.Living
		if dead.Judged != 2 || dead.Void != 4 || drained.Judged != 2 || len(drained.Not) != 1 || living.Judged != 6 {
			t.Errorf("Got dead %+v, drained %+v, living %+v", dead, drained, living)
		}
		if dead.share() != 1 || drained.share() != 2./3 {
			t.Errorf("Shares of %.2f and %.2f", dead.share(), drained.share())
		}
		faults := []fault{{Kind: drain, For: 10 * time.Second}, {Kind: hang, For: 10 * time.Second}, {Kind: clock}}
		if lacking := s.tally.lacking(telling, faults); len(lacking) != 4 {
			t.Errorf("Too little of four promises was seen: got %q", lacking)
		}
		plenty := tally{Living: coverage{Judged: 1e6}, Questions: 100, Octets: 25, OctetsTCP: 3}
		if lacking := plenty.lacking(telling, nil); len(lacking) != 0 {
			t.Errorf("Enough was seen, of what was there: got %q", lacking)
		}
		plenty.Octets = 24
		if lacking := plenty.lacking(10*time.Minute, nil); len(lacking) != 4 {
			t.Errorf("Nobody died or was drained in a long run, and octets are few: got %q", lacking)
		}
	})
}

// TestCallExcused: why a call could be lost.
func TestCallExcused(t *testing.T) {
	play(t, func(s *scene) {
		lost := func(want string) {
			t.Helper()
			began := time.Now()
			time.Sleep(time.Second)
			s.called(call{way: "x", zone: direct, began: began, end: time.Now(), failure: "refused"})
			if s.expect(""); s.tally.Lost[want] != 1 {
				t.Errorf("Got %v, want one more because %s", s.tally.Lost, want)
			}
			clear(s.tally.Lost)
		}
		for n := range 4 {
			s.dies(n + 1)
		}
		lost("no host lived for all of the call")
		s.heals(s.hosts[0])
		s.healed(s.hosts[0], true)
		time.Sleep(time.Millisecond)
		lost("hosts lived, for less than their bounds or out of the client's reach")
		s.server = time.Now().Add(time.Millisecond)
		lost("there was no server for all of the call")
	})
}

// TestCallLost: a call may be lost only if nobody lived all the while.
func TestCallLost(t *testing.T) {
	play(t, func(s *scene) {
		lost := func(zone int) {
			began := time.Now()
			time.Sleep(time.Second)
			s.called(call{way: "x", zone: zone, began: began, end: time.Now(), failure: "refused"})
		}
		lost(-1)
		s.expect("is lost, although")
		for n := range 4 {
			s.dies(n + 1)
		}
		lost(-1)
		s.expect("k5.chaos.test. lived all the while")
		lost(direct)
		s.expect("")
		s.dies(5)
		lost(-1)
		s.expect("")
		h := s.hosts[0]
		began := time.Now()
		s.heals(h)
		s.healed(h, true)
		s.called(call{way: "x", zone: -1, began: began.Add(-time.Second), end: time.Now(), failure: "refused"})
		s.expect("")
		lost(direct) // it may not be answered yet
		s.expect("")
		time.Sleep(time.Microsecond)
		lost(-1) // the responder asks it all the same
		s.expect("k1.chaos.test. lived all the while")
		time.Sleep(2 * time.Minute)
		lost(direct)
		s.expect("k1.chaos.test. lived all the while")
	})
}

func TestUnanswered(t *testing.T) {
	play(t, func(s *scene) {
		s.unanswered(direct, "udp", time.Now(), errors.New("timeout"))
		s.expect("got no answer")
		s.reloaded = time.Now()
		s.unanswered(direct, "udp", time.Now(), errors.New("timeout"))
		s.server = time.Time{}
		s.unanswered(direct, "udp", time.Now().Add(time.Hour), errors.New("timeout"))
		s.expect("")
	})
}

// TestJudgeTwoReasons: a host that fails for two reasons is well when both are gone.
func TestJudgeTwoReasons(t *testing.T) {
	play(t, func(s *scene) {
		h := s.dies(1)
		s.dies(1)
		s.heals(h)
		s.healed(h, true)
		if h.dead.IsZero() || !h.serves.IsZero() || !h.open.IsZero() {
			t.Errorf("It is well for one reason less: %+v", h)
		}
		s.heals(h)
		s.healed(h, true)
		if !h.dead.IsZero() || h.serves.IsZero() || h.open.IsZero() {
			t.Errorf("It is not well: %+v", h)
		}
	})
}
