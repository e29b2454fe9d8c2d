package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/test/repository"
)

// A setting is a way to build or run kms that might make it faster.
type setting struct {
	name  string
	flags []string          // of go build
	edit  map[string]string // what is replaced in file
	file  string            // from the top of the repository; tuned if empty
	env   []string
	lines string // more of its Corefile
}

// tuned is where the program's own settings are, from the top of the repository.
const tuned = "internal/tuning/tuning.go"

// duties is the line of the program that says when a loop has help.
const duties = "dutyHigh, dutyLow = 0.75, 0.55"

// withoutBallast and withoutStacks are edits that take from the program what it has there.
var (
	withoutBallast = map[string]string{"BallastOctets = 32 << 20": "BallastOctets = 1"}
	withoutStacks  = map[string]string{"growStacks()\n": "\n"}
)

// settings begins with what there is.
var settings = []setting{
	{name: "as it is: a ballast of 32 MiB, stacks grown"},
	{name: "no ballast, GOGC=100", edit: withoutBallast},
	{name: "no ballast, GOGC=400", edit: withoutBallast, env: []string{"GOGC=400"}},
	{name: "no ballast, GOGC=off, GOMEMLIMIT=128MiB", edit: withoutBallast, env: []string{"GOGC=off", "GOMEMLIMIT=128MiB"}},
	{name: "a ballast of 128 MiB", edit: map[string]string{"BallastOctets = 32 << 20": "BallastOctets = 128 << 20"}},
	{name: "stacks not grown", edit: withoutStacks},
	{name: "stacks not grown, GODEBUG=adaptivestackstart=1", edit: withoutStacks, env: []string{"GODEBUG=adaptivestackstart=1"}},
	{name: "multisocket 2", lines: "multisocket 2\n"},
	{name: "no profile-guided optimisation", flags: []string{"-pgo=off"}},
	{name: "one loop for calls", file: "kmsresponder/gateway_loop_linux.go", edit: map[string]string{"maxLoops = 4": "maxLoops = 1"}},
	{name: "a loop helps at 0.9 of another's time, until 0.8", file: "kmsresponder/gateway_relief_linux.go",
		edit: map[string]string{duties: "dutyHigh, dutyLow = 0.9, 0.8"}},
	{name: "all loops take calls, little as there may be", file: "kmsresponder/gateway_relief_linux.go",
		edit: map[string]string{duties: "dutyHigh, dutyLow = 0.0, -1.0"}},
}

// set is what one round found of one setting.
type set struct {
	sample
	calls  callSample
	few    used // for each call, at fewCalls a second
	memory float64
}

// fewCalls is what the responder may have to do where it is much used, and far from all it can.
const fewCalls = 1000

// benchSettings measures the default build under every setting, answers and calls, in each of several rounds. A process may be
// luckier than another of the same program for as long as it lives, in where its memory lies; so each round has its own.
func benchSettings(ctx context.Context, b bench) (finding, error) {
	a, err := newArena(ctx, b, 4, 100)
	if err != nil {
		return finding{}, err
	}
	defer a.stop()
	ways, err := newSettingWays(ctx, a)
	if err != nil {
		return finding{}, err
	}
	found := make([][]set, len(settings))
	for round := range b.rounds {
		for turn := range settings {
			i := (turn + round) % len(settings)
			var s set
			err := again(b, settings[i].name, func() (err error) {
				s, err = a.measureSetting(ctx, ways[i])
				return err
			})
			if err != nil {
				return finding{}, fmt.Errorf("%s: %w", settings[i].name, err)
			}
			found[i] = append(found[i], s)
			fmt.Fprintf(b.progress, "round %d: %-40s %5.1f µs/answer %5.1f µs/call %6.0f calls/s %5.1f µs/call of few\n", round+1, settings[i].name,
				microseconds(s.cpu), microseconds(s.calls.proxy), s.calls.perSecond, microseconds(s.few.proxy))
		}
	}
	return finding{section: settingTable(found)}, nil
}

// settingWay is how the program is started under a setting, and the load of calls to it.
type settingWay struct {
	contender
	calls *calls
}

// newSettingWays builds the program under every setting.
func newSettingWays(ctx context.Context, a *arena) ([]settingWay, error) {
	var hosts []string
	for i := range a.records.hosts {
		hosts = append(hosts, fmt.Sprintf("%s:%d", hostAddress(i), a.records.port))
	}
	visits, err := recordVisits(ctx, hosts[0], clientCount)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	gateway := "127.0.0.1:" + ports[0]
	var ways []settingWay
	for i, s := range settings {
		fmt.Fprintf(a.progress, "building: %s\n", s.name)
		binary, err := s.build(ctx, a.bench, i)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		c := contender{name: s.name, command: func(r records, p place) ([]string, error) {
			argv, err := coreDNS(binary, func(r records) (string, error) {
				block, err := r.kms()
				return s.lines + "errors\nprometheus 127.0.0.1:0\n" + strings.Replace(block, "{\n", "{\nresponder "+gateway+" {\n"+
					"limit connections 1000000 client 1000000 rate 1000000\n}\n", 1), err
			})(r, p)
			return append([]string{"env"}, append(s.env, argv...)...), err
		}}
		ways = append(ways, settingWay{c, &calls{addresses: []string{gateway}, visits: visits}})
	}
	return ways, nil
}

// build builds the program under setting number i and returns the name of the binary.
func (s setting) build(ctx context.Context, b bench, i int) (string, error) {
	name, flags := fmt.Sprintf("setting%d", i), s.flags
	if len(s.edit) > 0 {
		overlay, err := s.overlay(b, name)
		if err != nil {
			return "", err
		}
		flags = append(flags, "-overlay="+overlay)
	}
	return name, repository.BuildAs(ctx, b.root, filepath.Join(b.dir, name), "./build", flags...)
}

// overlay writes a changed copy of the file that s edits, and the file that has go build take it.
func (s setting) overlay(b bench, name string) (string, error) {
	source := cmp.Or(s.file, tuned)
	original := filepath.Join(b.root, filepath.FromSlash(source))
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	changed := string(text)
	for from, to := range s.edit {
		if !strings.Contains(changed, from) {
			return "", fmt.Errorf("%s has no %q any more", source, from)
		}
		changed = strings.Replace(changed, from, to, 1)
	}
	copied := filepath.Join(b.dir, name+".go")
	if err := os.WriteFile(copied, []byte(changed), 0o644); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {original: copied}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.dir, name+".json")
	return file, os.WriteFile(file, list, 0o644)
}

// measureSetting starts the program and loads it with questions, after a second that does not count, and then with calls.
func (a *arena) measureSetting(ctx context.Context, w settingWay) (found set, err error) {
	s, err := startServer(ctx, a.bench, w.contender, a.records, "setting")
	if err != nil {
		return found, err
	}
	defer s.stop()
	if _, _, err := s.loaded(ctx, a.records, 1); err != nil {
		return found, err
	}
	if found.sample, _, err = s.loaded(ctx, a.records, a.seconds); err != nil {
		return found, err
	}
	var took time.Duration
	lasting := time.Duration(a.seconds) * time.Second
	latencies, each, err := s.costing(func() (latencies []time.Duration, err error) {
		latencies, took, err = w.calls.closed(ctx, lasting)
		return latencies, err
	})
	if err != nil {
		return found, err
	}
	found.calls = callSample{perSecond: float64(len(latencies)) / took.Seconds(), used: used{proxy: each}, busy: quantilesOf(latencies)}
	if _, found.few.proxy, err = s.costing(func() ([]time.Duration, error) { return w.calls.steady(ctx, lasting, fewCalls) }); err != nil {
		return found, err
	}
	memory, err := s.memory()
	found.memory = float64(memory)
	return found, err
}

// settingTable compares every setting with the first, round by round.
func settingTable(found [][]set) string {
	rows := [][]string{{"setting", "CPU, µs/answer", "CPU, µs/call", "calls/s", "p99, µs", "CPU, µs/call at 1,000/s",
		"memory, MiB", "CPU per answer, of the first", "CPU per call, of the first", "calls/s, of the first", "CPU per call at 1,000/s, of the first"}}
	for i, s := range settings {
		column := func(verb string, f func(set, set) float64) string {
			var values []float64
			for round, one := range found[i] {
				values = append(values, f(one, found[0][round]))
			}
			return spreadOf(values).with(verb)
		}
		rows = append(rows, []string{s.name,
			column("%.1f", func(s, _ set) float64 { return microseconds(s.cpu) }),
			column("%.1f", func(s, _ set) float64 { return microseconds(s.calls.proxy) }),
			column("%.0f", func(s, _ set) float64 { return s.calls.perSecond }),
			column("%.0f", func(s, _ set) float64 { return microseconds(s.calls.busy.p99) }),
			column("%.0f", func(s, _ set) float64 { return microseconds(s.few.proxy) }),
			column("%.0f", func(s, _ set) float64 { return s.memory / (1 << 20) }),
			column("%.2f", func(s, first set) float64 { return float64(s.cpu) / float64(first.cpu) }),
			column("%.2f", func(s, first set) float64 { return float64(s.calls.proxy) / float64(first.calls.proxy) }),
			column("%.2f", func(s, first set) float64 { return s.calls.perSecond / first.calls.perSecond }),
			column("%.2f", func(s, first set) float64 { return float64(s.few.proxy) / float64(first.few.proxy) }),
		})
	}
	return table(rows)
}

// profileSettings writes the profile that the program is built with into file: of answers and of calls, equally long.
func profileSettings(ctx context.Context, b bench, file string) error {
	answers, carried := filepath.Join(b.dir, "dns.pprof"), filepath.Join(b.dir, "rpc.pprof")
	if err := profileDNS(ctx, b, answers); err != nil {
		return err
	}
	if err := profileRPC(ctx, b, carried); err != nil {
		return err
	}
	merged, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-proto", "-output="+file, answers, carried).CombinedOutput()
	if err != nil {
		return fmt.Errorf("merging profiles: %w\n%s", err, merged)
	}
	return nil
}
