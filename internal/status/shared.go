package status

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"
)

var timeType = reflect.TypeFor[time.Time]()

// fresh is how old a Report may be that somebody is shown: many open pages are to cost as much as one.
const fresh = time.Second

// shared is the last Report that was made. Whoever comes when it is too old makes the next, and others wait for that.
type shared struct {
	mu     sync.Mutex // guards what follows, and is held while a Report is made
	made   time.Time
	report *Report
}

// report is what is true now, give or take a second. It is everybody's: nobody may change it.
func (s *Site) report() *Report {
	l := &s.last
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.report == nil || now.Sub(l.made) >= fresh {
		r := s.Source.Report()
		scrub(&r)
		l.report, l.made = &r, now
	}
	return l.report
}

// places bounds how many do something at once. The zero value has none taken.
type places struct {
	once  sync.Once
	taken chan struct{}
}

// errBusy is for those who waited too long for a place.
var errBusy = errors.New("too many ask this at the same time: try again in a few seconds")

// take takes one of n places, or waits for one for at most wait. Whoever has one calls leave.
func (p *places) take(ctx context.Context, n int, wait time.Duration) (leave func(), err error) {
	p.once.Do(func() { p.taken = make(chan struct{}, n) })
	leave = func() { <-p.taken }
	select {
	case p.taken <- struct{}{}:
		return leave, nil
	default:
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case p.taken <- struct{}{}:
		return leave, nil
	case <-late.C:
		return nil, errBusy
	case <-ctx.Done():
		return nil, errBusy
	}
}

// search looks through the ledger.
func (s *Site) search(ctx context.Context, q ClientQuery) (Clients, error) {
	leave, err := s.searches.take(ctx, maxSearches, 5*time.Second)
	if err != nil {
		return Clients{}, err
	}
	defer leave()
	c := s.Source.Clients(q)
	scrub(&c)
	return c, nil
}

// story is all about one client.
func (s *Site) story(ctx context.Context, client string) (Why, error) {
	leave, err := s.searches.take(ctx, maxSearches, 5*time.Second)
	if err != nil {
		return Why{}, err
	}
	defer leave()
	w, err := s.Source.Why(client)
	scrub(&w)
	return w, err
}
