package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// maxEvents is how many events are remembered: some minutes of them.
const maxEvents = 4000

// A timeline is what happened lately. Any number of goroutines may use it.
type timeline struct {
	began time.Time

	mu     sync.Mutex
	events [maxEvents]event
	n      int // how many there ever were
}

type event struct {
	at   time.Time
	text string
}

// say adds an event.
func (t *timeline) say(format string, args ...any) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events[t.n%maxEvents] = event{now, fmt.Sprintf(format, args...)}
	t.n++
}

// print writes what happened from from to to, at most lines of it, the latest.
func (t *timeline) print(to io.Writer, from, until time.Time, lines int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var chosen []event
	for i := max(0, t.n-maxEvents); i < t.n; i++ {
		if e := t.events[i%maxEvents]; !e.at.Before(from) && !e.at.After(until) {
			chosen = append(chosen, e)
		}
	}
	if left := len(chosen) - lines; left > 0 {
		fmt.Fprintf(to, "    (%d events before)\n", left)
		chosen = chosen[left:]
	}
	for _, e := range chosen {
		fmt.Fprintf(to, "    %9.3f  %s\n", e.at.Sub(t.began).Seconds(), e.text)
	}
}

// during is whether a state that began and ended at these times, by turns, lasted, or had ended less than after ago, at any
// time since then.
func during(turns []time.Time, since time.Time, after time.Duration) bool {
	return len(turns)%2 == 1 || len(turns) > 0 && turns[len(turns)-1].Add(after).After(since)
}
