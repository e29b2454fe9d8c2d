package kms

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

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

// TestCallLogGathers: what comes within a moment is logged together, and is logged.
func TestCallLogGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallLog()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			c.run(ctx)
			close(ended)
		}()
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
		<-ended
	})
}
