package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/tuning"
)

const (
	readyTime = 45 * time.Second
	sampling  = 3 * time.Second
)

// awaitReady waits until the ready plugin at address says so.
func awaitReady(ctx context.Context, p *process, address string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-p.ended:
			return fmt.Errorf("the server ended: %v", p.err)
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready in %s", readyTime)
		case <-time.After(50 * time.Millisecond):
		}
		answer, err := client.Get("http://" + address + "/ready")
		if err != nil {
			continue // it does not listen yet
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// A watcher reads what the server takes of the machine.
type watcher struct {
	arena   *arena
	metrics string
	collect string // asking for that has the garbage collector run
	stacks  string // what goroutines do
	began   time.Time

	samples map[int][]sample // by process
}

type sample struct {
	at                                 time.Duration
	rss, live, goroutines, descriptors float64
}

// series is what is read, and how much growth is none. live is what is on the heap right after the garbage collector ran, which
// it is made to do before each reading: what it would let gather until it runs by itself would hide a leak for minutes. Resident
// memory has the most slack: it is as large as it ever was, and when all hosts are cut off hundreds of calls wait at once.
var series = []struct {
	name  string
	of    func(sample) float64
	slack float64
}{
	{"resident memory, MB", func(s sample) float64 { return s.rss / 1e6 }, 6},
	{"live heap, without the ballast, MB", func(s sample) float64 { return (s.live - tuning.BallastOctets) / 1e6 }, 1.5},
	{"goroutines, but for the responder's spare ones", func(s sample) float64 { return s.goroutines }, 10},
	{"descriptors", func(s sample) float64 { return s.descriptors }, 10},
}

// run reads again and again until ctx is done.
func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(sampling)
	defer tick.Stop()
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p := w.arena.present()
		if p == nil {
			continue
		}
		if s, err := w.read(client, p.pid()); err == nil {
			s.at = time.Since(w.began)
			w.samples[p.pid()] = append(w.samples[p.pid()], s)
		}
	}
}

// read reads all series once. It fails while the server starts, ends, or has its sockets closed for others.
func (w *watcher) read(client http.Client, pid int) (s sample, err error) {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return s, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return s, err
	}
	if _, err := get(client, w.collect); err != nil {
		return s, err
	}
	page, err := get(client, w.metrics)
	if err != nil {
		return s, err
	}
	stacks, err := get(client, w.stacks)
	if err != nil {
		return s, err
	}
	s.descriptors = float64(len(fds))
	var err1, err2, err3 error
	s.rss, err1 = figure(status, "VmRSS:")
	s.rss *= 1024
	s.live, err2 = figure(page, "go_memstats_heap_alloc_bytes")
	s.goroutines, err3 = busyGoroutines(stacks)
	return s, errors.Join(err1, err2, err3)
}

func get(client http.Client, url string) ([]byte, error) {
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(io.LimitReader(answer.Body, 8<<20))
}

// figure is the number behind a word at the beginning of a line.
func figure(text []byte, word string) (float64, error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == word {
			return strconv.ParseFloat(fields[1], 64)
		}
	}
	return 0, fmt.Errorf("there is no %s", word)
}

// spareHands is how many idle goroutines the responder keeps, for good, once so many were needed (kmsresponder/hands.go).
const spareHands = 64

// busyGoroutines is how many goroutines there are in a profile (debug=1), but for those that the responder may keep idle.
func busyGoroutines(profile []byte) (float64, error) {
	var all, group, idle int
	if _, err := fmt.Sscanf(string(profile), "goroutine profile: total %d", &all); err != nil {
		return 0, fmt.Errorf("the profile of goroutines: %w", err)
	}
	first := false // the innermost function of a group comes next
	for line := range strings.Lines(string(profile)) {
		switch {
		case strings.Contains(line, " @ "):
			first = true
			group, _ = strconv.Atoi(line[:strings.Index(line, " @ ")])
		case first && strings.HasPrefix(line, "#\t0x"):
			first = false
			if strings.Contains(line, "kmsresponder.(*hands[...]).work+") {
				idle += group
			}
		}
	}
	return float64(all - min(idle, spareHands)), nil
}

// trends is the line through the floor of each series of one process of the server, but for its first quarter, or 90 seconds at
// the most, until until: then it has all the clients that it will ever have.
func (w *watcher) trends(pid int, until time.Duration) ([]trend, error) {
	samples := w.samples[pid]
	for len(samples) > 0 && samples[len(samples)-1].at > until {
		samples = samples[:len(samples)-1]
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("nothing was read of process %d", pid)
	}
	first := samples[0].at
	warm := first + min(90*time.Second, (until-first)/4)
	var all []trend
	for _, s := range series {
		var readings []reading
		for _, one := range samples {
			if one.at >= warm {
				readings = append(readings, reading{one.at, s.of(one)})
			}
		}
		t, err := trendOf(s.name, floor(readings, flooring), s.slack)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}
