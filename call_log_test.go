package kms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	golog "log"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/internal/history"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// TestCallLogNeverWaits: with nobody writing, as many calls wait as may; the rest are counted, and none is lost of those at
// the end.
func TestCallLogNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallLog()
		for range callLines + 7 {
			c.add("example.org", kmsresponder.CallRecord{At: time.Now()})
		}
		if len(c.calls) != callLines || c.missed.Load() != 7 {
			t.Errorf("%d wait, %d missed; want %d and 7", len(c.calls), c.missed.Load(), callLines)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		c.run(ctx)
		if len(c.calls) != 0 || c.missed.Load() != 0 {
			t.Errorf("%d still wait at the end, %d missed are not told", len(c.calls), c.missed.Load())
		}
	})
}

// inBackground runs f, and returns how to end it: when that returns, f has.
func inBackground(t *testing.T, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// TestCallLogGathers: what comes within a moment is logged together, and is logged.
func TestCallLogGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallLog()
		stop := inBackground(t, c.run)
		c.add("example.org", kmsresponder.CallRecord{})
		synctest.Wait()
		if len(c.calls) != 0 {
			t.Error("The first call is not logged at once")
		}
		c.add("example.org", kmsresponder.CallRecord{})
		synctest.Wait()
		if len(c.calls) != 1 {
			t.Error("The second does not wait for others")
		}
		time.Sleep(callPause)
		synctest.Wait()
		if len(c.calls) != 0 {
			t.Error("The second is not logged after the pause")
		}
		stop()
	})
}

// TestCallsAreRemembered: what each host said, and how often, whether or not the first ended the call.
func TestCallsAreRemembered(t *testing.T) {
	const pool, one, two = "remembered.example", "kms1.remembered.example:1688", "kms2.remembered.example:1688"
	now, from := time.Now(), netip.MustParseAddr("192.0.2.211")
	for _, r := range []kmsresponder.CallRecord{
		{Result: kmsresponder.ForwardedOK, Host: one, Count: 26, Request: &kmswire.RequestV4{CMID: kmswire.GUID{211}, MachineName: "PC211", Required: 25}},
		{Result: kmsresponder.ForwardedError, Host: one, HRESULT: kmswire.ClockSkew},
		{Result: kmsresponder.ForwardedOK, Host: two, Asks: []kmsresponder.Ask{
			{Host: one, Outcome: kmsresponder.Declined, HRESULT: kmswire.HostUnusable},
			{Host: one, Outcome: kmsresponder.Dead, Err: errors.New("connection refused")},
			{Host: two, Outcome: kmsresponder.Answered},
		}},
	} {
		r.At, r.From = now, from
		loggedCall{pool, r}.remember()
	}
	p := past.hosts.Past(pool, one, now)
	var failures []string
	for _, f := range p.Failures {
		failures = append(failures, fmt.Sprint(f.Code, " ", f.Count))
	}
	want := []string{kmswire.ClockSkew.Code() + " 1", kmswire.HostUnusable.Code() + " 1", "dead 1"}
	slices.Sort(want)
	slices.Sort(failures)
	if p.Served != 1 || p.Count != 26 || !slices.Equal(failures, want) {
		t.Errorf("%s: %+v, want 1 call with a count of 26, and %s", one, p, want)
	}
	if p := past.hosts.Past(pool, two, now); p.Served != 1 || p.Failures != nil {
		t.Errorf("%s: %+v", two, p)
	}
	calls := past.clients.Calls(func(c history.Call) bool { return c.From == from })
	if len(calls) != 3 {
		t.Fatalf("%d calls are remembered: %+v", len(calls), calls)
	}
	for _, c := range calls {
		if named := c.Machine == "PC211" && c.Required == 25; named != (c.Client == ledger.ByCMID([16]byte{211})) {
			t.Errorf("%+v", c)
		}
		for i, said := range []string{kmswire.HostUnusable.String(), "connection refused", ""}[:len(c.Asked)] {
			if c.Asked[i].Err != said {
				t.Errorf("Host %d said %q, want %q", i, c.Asked[i].Err, said)
			}
		}
	}
}

// TestTurnedAwayIsLogged: once a minute, however many there are, with the address, the limit and how often.
func TestTurnedAwayIsLogged(t *testing.T) {
	var lines bytes.Buffer
	golog.SetOutput(&lines)
	defer golog.SetOutput(io.Discard)
	synctest.Test(t, func(t *testing.T) {
		c := newCallLog()
		stop := inBackground(t, c.run)
		o := callObserver{kmsresponder.NewMetrics("turned.example"), "turned.example", limitsOf(config.Responder{Rate: 10, PerClient: 3}), c}
		for range 20 {
			o.Refused(kmsresponder.RefusedRate, netip.MustParseAddr("192.0.2.7"))
		}
		o.Refused(kmsresponder.RefusedClient, netip.MustParseAddr("192.0.2.8"))
		time.Sleep(turnedPause)
		synctest.Wait()
		o.Refused(kmsresponder.RefusedRate, netip.MustParseAddr("192.0.2.9"))
		stop()
	})
	for _, want := range []string{
		"pool turned.example: clients were turned away 20 times in the last minute, the last one from 192.0.2.7: limit rate 10\n",
		"turned away 1 times in the last minute, the last one from 192.0.2.8: limit client 3\n",
		"turned away 1 times in the last minute, the last one from 192.0.2.9: limit rate 10\n",
	} {
		if strings.Count(lines.String(), want) != 1 {
			t.Errorf("No line %q, or two, in:\n%s", want, lines.String())
		}
	}
	if n := strings.Count(lines.String(), "WARNING"); n != 3 {
		t.Errorf("%d lines, want 3", n)
	}
	if last, n := past.clients.TurnedAway(netip.MustParseAddr("192.0.2.7")); n != 20 || last[0].Limit != "limit rate 10" {
		t.Errorf("%d times, %+v", n, last)
	}
}
