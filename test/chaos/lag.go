package main

import (
	"context"
	"sync"
	"time"
)

const (
	beat    = 5 * time.Millisecond  // how often lag looks at the clock
	nothing = 15 * time.Millisecond // what is over a beat by less is no lag
	maxLags = 20000
)

// lag is the time that the machine withheld from this program while it wanted to run. The server runs on the same processors
// and is not treated better, so that what is withheld is allowed to it on top of each bound. Any number of goroutines may use it.
type lag struct {
	mu    sync.Mutex
	spans []reading // from the start of the run; value is in seconds
	worst time.Duration
	all   time.Duration
	began time.Time
}

// run measures until ctx is done.
func (l *lag) run(ctx context.Context) {
	last := time.Now()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if over := now.Sub(last) - beat; over > nothing {
			l.note(now, over)
		}
		last = now
	}
}

func (l *lag) note(now time.Time, over time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worst, l.all = max(l.worst, over), l.all+over
	l.spans = append(l.spans, reading{now.Sub(l.began), over.Seconds()})
	if len(l.spans) > maxLags {
		l.spans = append(l.spans[:0], l.spans[maxLags/2:]...)
	}
}

// since is how much was withheld from then to now.
func (l *lag) since(then time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := 0.0
	for i := len(l.spans) - 1; i >= 0 && l.spans[i].at >= then.Sub(l.began); i-- {
		sum += l.spans[i].value
	}
	return time.Duration(sum * float64(time.Second))
}

// measured is the worst and the sum.
func (l *lag) measured() (worst, all time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.worst, l.all
}
