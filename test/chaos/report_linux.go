package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A report is what came of a run.
type report struct {
	Seed       uint64         `json:"seed"`
	Ran        time.Duration  `json:"ran_ns"`
	Asked      time.Duration  `json:"for_ns"`
	Date       string         `json:"date"`
	Commit     string         `json:"commit"`
	Machine    string         `json:"machine"`
	Load       string         `json:"load"`
	Faults     map[kind]int   `json:"faults"`
	Tally      tally          `json:"tally"`
	Skipped    int            `json:"skipped"` // calls and questions that were not made
	Lookups    int            `json:"lookups"` // questions to the resolver
	Logged     map[string]int `json:"logged"`  // errors in the log, by what they were excused by
	Trends     []trend        `json:"trends"`
	Lives      int            `json:"lives"` // of the server
	WorstLag   time.Duration  `json:"worst_lag_ns"`
	Lag        time.Duration  `json:"lag_ns"`
	Violations []string       `json:"violations"`
	planned    []fault
}

// report sums up. What grew is a violation.
func (e *trial) report() report {
	r := report{Seed: e.options.seed, Ran: time.Since(e.began).Round(time.Second), Asked: e.options.length,
		Date: e.began.UTC().Format("2006-01-02"), Commit: os.Getenv(built),
		Machine: machineWords(), Load: settledWords(),
		Faults: e.done, Skipped: e.traffic.skipped, Lookups: e.resolver.questions(), Logged: e.logged, planned: e.faults}
	r.WorstLag, r.Lag = e.lag.measured()
	e.mu.Lock()
	r.Lives = len(e.lives)
	e.mu.Unlock()
	if len(e.broken()) == 0 {
		e.judgeTrends(&r)
		for _, text := range e.tally.lacking(e.options.length, e.faults) {
			e.violate("%s", text)
		}
	}
	e.set(func(time.Time) { r.Tally, r.Violations = e.tally, slices.Clone(e.violations) })
	return r
}

// judgeTrends looks at the longest life of the server.
func (e *trial) judgeTrends(r *report) {
	pid, most := 0, 0
	for one, samples := range e.watcher.samples {
		if len(samples) > most {
			pid, most = one, len(samples)
		}
	}
	var err error
	if r.Trends, err = e.watcher.trends(pid, e.ends.Sub(e.began)); err != nil {
		e.violate("what the server takes: %v", err)
	}
	for _, t := range r.Trends {
		if !t.flat() {
			e.violate("%s: grew by %.1f ± %.1f in %s, from a mean of %.1f", t.Name, t.Grown, t.Error, t.Over.Round(time.Second), t.Mean)
		}
	}
}

func (r report) printJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// table is the report in Markdown.
func (r report) table() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("")
	say("%s of the server %s on %s, %s, `go run ./test/chaos -for %s -seed %d`: **%s**.",
		r.Ran, r.Commit, r.Date, r.Machine, r.Asked, r.Seed, r.verdict())
	say("")
	say("| what went wrong | times |")
	say("| --- | ---: |")
	for _, k := range kinds {
		say("| %s | %d |", k, r.Faults[k])
	}
	t := r.Tally
	answered := t.Questions - t.Unanswered
	say("")
	say("| meanwhile | |")
	say("| --- | ---: |")
	say("| questions answered, each answer checked | %d |", answered)
	say("| of those over TCP | %d |", t.AnswersTCP)
	say("| of those written as octets | %d |", t.Octets)
	say("| of those over TCP | %d |", t.OctetsTCP)
	say("| answers while no host was in doubt, with the TTL and the priorities of the Corefile | %d |", t.Calm)
	say("| answers while the Corefile was bad, with the weights of the last good one | %d |", t.DuringBad)
	say("| questions without an answer, while the server was down or CoreDNS changed its sockets | %d |", t.Excused)
	for _, way := range slices.Sorted(maps.Keys(t.Calls)) {
		say("| calls served: %s | %d |", way, t.Calls[way])
	}
	for _, why := range slices.Sorted(maps.Keys(t.Lost)) {
		say("| calls not served: %s | %d |", why, t.Lost[why])
	}
	say("| calls not made, since the last one of that client was under way | %d |", t.Busy)
	say("| slowest call that the responder served | %s |", t.SlowestCall.Round(time.Millisecond))
	say("| announcements acknowledged | %d |", t.Registered)
	say("| announcements taken back | %d |", t.Withdrawn)
	say("| updates turned away because the disk was full | %d |", t.Refused)
	say("| updates under way when the server was killed, or whose answer was lost | %d |", t.Uncertain)
	say("| comparisons of a host's announcement with what was acknowledged | %d |", t.Compared)
	say("| of those with a server that had just been started again | %d |", t.Restored)
	say("| requests that a host told of within a second of its drain | %d |", t.Straggling)
	say("| records checked to stay while all hosts were cut off at once | %d |", t.HeldBack)
	say("")
	say("| | worst | its bound | cases | late by no more than the machine withheld |")
	say("| --- | ---: | ---: | ---: | ---: |")
	for _, one := range []struct {
		name string
		worst
	}{{"a dead host behind all others", t.Demoted}, {"a dead host out of the answer", t.Gone}, {"a host that is back in the answer", t.Back},
		{"a good Corefile in force", t.InForce}} {
		say("| %s | %s | %s | %d | %d |", one.name, one.Took.Round(10*time.Millisecond), one.Bound.Round(10*time.Millisecond), one.Times, one.Lag)
	}
	say("")
	say("| what could break a promise | judged | least | not judged |")
	say("| --- | ---: | ---: | --- |")
	for _, p := range t.promises(r.Asked, r.planned) {
		say("| %s | %d | %d | %s |", p.name, p.Judged, p.least, p.reasons())
	}
	if len(r.Trends) > 0 {
		say("")
		say("| of the server, least of each 15s, over %s | at the start | at the end | by a straight line |", r.Trends[0].Over.Round(time.Second))
		say("| --- | ---: | ---: | ---: |")
		for _, one := range r.Trends {
			say("| %s | %.1f | %.1f | %+.1f ± %.1f |", one.Name, one.First, one.Last, one.Grown, one.Error)
		}
	}
	say("")
	say("Probes were %s apart with a timeout of %s, so the bounds are shorter than those of the defaults. The machine withheld at most",
		settings.interval, settings.timeout)
	say("%s at a time from the program that checks, %s in all, which was allowed on top of each bound that it fell in; load averages at the end", r.WorstLag.Round(time.Millisecond), r.Lag.Round(time.Second))
	say("were %s. %d processes of the server. Calls and questions not made because %d were under way: %d.", r.Load, r.Lives, busiest, r.Skipped)
	if r.Faults[clock] == 0 {
		say("The clock was not stepped: that takes linux/amd64, and a longer run.")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Logged)) {
		say("Errors in the log because %s: %d.", name, r.Logged[name])
	}
	return b.String()
}

func (r report) verdict() string {
	if n := len(r.Violations); n > 0 {
		return fmt.Sprintf("promises broken: %d", n)
	}
	return "no promise was broken"
}

// machineWords says what machine this is.
func machineWords() string {
	kernel, err := exec.Command("uname", "-sr").Output()
	if err != nil {
		return "an unknown machine"
	}
	return fmt.Sprintf("%d processors, %s", runtime.NumCPU(), strings.TrimSpace(string(kernel)))
}
