package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clog "github.com/coredns/coredns/plugin/pkg/log"
)

// TestNotify: not before the sockets may be open, one at a time, and once for what happened meanwhile.
func TestNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cutSite(t, "example.org.", "kms1.example.org=up")
		var told []string
		start := time.Now()
		under := atomic.Int32{}
		f := Feed{Site: s, Zone: "example.org.", Notify: func(zone string) error {
			if under.Add(1) > 1 {
				t.Error("Two at a time")
			}
			told = append(told, fmt.Sprintf("%s %s", time.Since(start), zone))
			time.Sleep(25 * time.Second)
			under.Add(-1)
			return nil
		}}
		ctx, cancel := context.WithCancel(context.Background())
		j := NewJournal(f)
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(ctx) })
		time.Sleep(time.Minute - time.Nanosecond)
		for i := range 5 { // versions after 60 s, 70 s, 80 s, 90 s, 100 s, of which the NOTIFY at 60 s lasts until 85 s
			time.Sleep(time.Nanosecond)
			if i%2 == 0 {
				s.Pool.Advertise(node)
			} else {
				s.Pool.Withdraw()
			}
			time.Sleep(10*time.Second - time.Nanosecond)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		want := []string{"1s " + serviceOrg, "1m0s " + serviceOrg, "1m25s " + serviceOrg, "1m50s " + serviceOrg}
		if !slices.Equal(told, want) {
			t.Errorf("Told %q, want %q", told, want)
		}
		// At the end it waits for the one under way, but only so long: that has 25 seconds to go.
		s.Pool.Withdraw()
		synctest.Wait()
		before := time.Now()
		cancel()
		wg.Wait()
		if took := time.Since(before); took != patience {
			t.Errorf("Run took %s to return, want %s", took, patience)
		}
		time.Sleep(time.Minute) // let it end
	})
}

// TestTroubleIsLoggedOnce: and its end.
func TestTroubleIsLoggedOnce(t *testing.T) {
	var lines bytes.Buffer
	clog.SetOutput(&lines)
	defer clog.Discard()
	var x trouble
	for _, err := range []error{nil, errors.New("first"), errors.New("second"), nil, nil, errors.New("third")} {
		x.report(err, "example.org.", "telling")
	}
	got := lines.String()
	for text, n := range map[string]int{"first": 1, "second": 0, "works again": 1, "third": 1} {
		if strings.Count(got, text) != n {
			t.Errorf("%q stands %d times, want %d, in\n%s", text, strings.Count(got, text), n, got)
		}
	}
}
