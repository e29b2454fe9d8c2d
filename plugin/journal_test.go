package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/pool"
)

var node = pool.Record{Endpoint: "node.example.org:1688", Name: "node.example.org.", Port: 1688}

// running starts j until the test ends.
func running(t *testing.T, j *Journal) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func TestPace(t *testing.T) {
	at := time.Unix(1000, 0)
	for name, tt := range map[string]struct {
		published, settled, now time.Duration
		want                    time.Duration
	}{
		"after a calm":               {0, 0, time.Hour, 0},
		"just long enough":           {0, 0, versionPause, 0},
		"right after another":        {0, 0, 0, versionPause},
		"soon after another":         {0, 0, 3 * time.Second, 7 * time.Second},
		"after a calm, new":          {0, time.Hour + time.Second, time.Hour, time.Second},
		"soon after another, newer":  {0, 20 * time.Second, 4 * time.Second, 16 * time.Second},
		"soon after another, as new": {0, 5 * time.Second, 4 * time.Second, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := pace(at.Add(tt.published), at.Add(tt.settled), at.Add(tt.now)); got != tt.want {
				t.Errorf("Got %s, want %s", got, tt.want)
			}
		})
	}
}

// TestVersions: the first change after a calm is a version at once; what follows is gathered for ten seconds; what is back to
// what it was is none.
func TestVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cutSite(t, "example.org.", "kms1.example.org=up")
		j := s.Journals[serviceOrg]
		running(t, j)
		start := time.Now()
		if got := j.SOA().Serial; got != uint32(start.Unix()) {
			t.Errorf("The first serial is %d, want the time, %d", got, start.Unix())
		}
		join, leave := func() { s.Pool.Advertise(node) }, s.Pool.Withdraw
		const with, without = "node/0", ""
		for _, step := range []struct {
			at      time.Duration
			happens func()
			made    time.Duration // when the version was made that is the newest now
			want    string        // of the node in it
		}{
			{60 * time.Second, join, 60 * time.Second, with},
			{61 * time.Second, leave, 60 * time.Second, with},
			{62 * time.Second, join, 60 * time.Second, with},
			{63 * time.Second, leave, 60 * time.Second, with},
			{70*time.Second - time.Millisecond, nil, 60 * time.Second, with},
			{70 * time.Second, nil, 70 * time.Second, without},
			{71 * time.Second, join, 70 * time.Second, without},
			{72 * time.Second, leave, 70 * time.Second, without}, // as it was
			{80 * time.Second, nil, 70 * time.Second, without},
			{81 * time.Second, join, 81 * time.Second, with}, // that was calm enough
			{200 * time.Second, nil, 81 * time.Second, with},
		} {
			time.Sleep(time.Until(start.Add(step.at)))
			synctest.Wait()
			if step.happens != nil {
				step.happens()
				synctest.Wait()
			}
			rrs, _ := j.state.Load().stream(0)
			serial := start.Add(step.made).Unix()
			want := fmt.Sprintf("%d NS=ns1.example.org. NS=ns2.example.org. kms1/0 %s %d", serial, step.want, serial)
			if got := shorthand(rrs); got != strings.Join(strings.Fields(want), " ") {
				t.Fatalf("After %s: got %s\nwant %s", step.at, got, want)
			}
		}
		first := uint32(start.Unix())
		if rrs, _ := j.state.Load().stream(first); shorthand(rrs) != fmt.Sprintf("%[4]d %[1]d %[2]d node/0 %[2]d node/0 %[3]d %[3]d %[4]d node/0 %[4]d",
			first, first+60, first+70, first+81) {
			t.Errorf("The differences since the first version: %s", shorthand(rrs))
		}
	})
}

// TestANewFeed: a reload that changes the zone is a version soon, but not before it may have been taken back; and the journal
// follows the new pool.
func TestANewFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := cutSite(t, "example.org.", "kms1.example.org=up")
		j := old.Journals[serviceOrg]
		running(t, j)
		time.Sleep(time.Minute)
		first := j.SOA().Serial

		other := cutSite(t, "example.org.", "kms2.example.org=up")
		other.NS = []string{"ns3.example.org."}
		j.Configure(Feed{Site: other, Zone: "example.org."})
		time.Sleep(settling / 2)
		j.Configure(Feed{Site: old, Zone: "example.org."})
		time.Sleep(time.Minute)
		if got := j.SOA().Serial; got != first {
			t.Errorf("Taken back, and still a version: %d after %d", got, first)
		}

		j.Configure(Feed{Site: other, Zone: "example.org."})
		time.Sleep(settling)
		synctest.Wait()
		rrs, _ := j.state.Load().stream(first)
		second := j.SOA().Serial
		if want := fmt.Sprintf("%[2]d %[1]d NS=ns1.example.org. NS=ns2.example.org. kms1/0 %[2]d NS=ns3.example.org. kms2/0 %[2]d", first, second); shorthand(rrs) != want {
			t.Errorf("Got %s\nwant %s", shorthand(rrs), want)
		}
		if j.SOA().Ns != "ns3.example.org." {
			t.Errorf("Got %s", j.SOA())
		}
		time.Sleep(time.Minute)
		old.Pool.Advertise(node)
		synctest.Wait()
		if got := j.SOA().Serial; got != second {
			t.Error("The old pool still makes versions")
		}
		other.Pool.Advertise(node)
		synctest.Wait()
		if got := j.SOA().Serial; !newer(got, second) {
			t.Error("The new pool makes none")
		}
	})
}

// serials keeps the last one, as a store does.
type serials struct {
	mu     sync.Mutex
	last   uint32
	broken error
}

func (s *serials) feed(f Feed) Feed {
	f.Last = func() (uint32, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.last, s.broken
	}
	f.Keep = func(serial uint32) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.broken == nil {
			s.last = serial
		}
		return s.broken
	}
	return f
}

// TestSerialsOverRestarts: with a store they grow though the clock was set back; without one, or with a broken one, the zone is
// published all the same.
func TestSerialsOverRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cutSite(t, "example.org.", "kms1.example.org=up")
		ahead := uint32(time.Now().Unix()) + 1<<20
		kept := &serials{last: ahead}
		j := NewJournal(kept.feed(Feed{Site: s, Zone: "example.org."}))
		if got := j.SOA().Serial; got != ahead+1 || kept.last != got {
			t.Errorf("After %d: %d, kept %d", ahead, got, kept.last)
		}
		again := NewJournal(kept.feed(Feed{Site: s, Zone: "example.org."}))
		if got := again.SOA().Serial; got != ahead+2 {
			t.Errorf("After a restart: %d, want %d", got, ahead+2)
		}

		// A reload with another store, which knows a newer serial.
		running(t, again)
		time.Sleep(time.Minute)
		other := &serials{last: ahead + 100}
		again.Configure(other.feed(Feed{Site: s, Zone: "example.org."}))
		s.Pool.Advertise(node)
		time.Sleep(time.Minute)
		if got := again.SOA().Serial; got != ahead+101 || other.last != got || kept.last != ahead+2 {
			t.Errorf("Got %d, kept %d and %d", got, kept.last, other.last)
		}
		// And one that knows nothing does not take it back.
		again.Configure((&serials{}).feed(Feed{Site: s, Zone: "example.org."}))
		s.Pool.Withdraw()
		time.Sleep(time.Minute)
		if got := again.SOA().Serial; got != ahead+102 {
			t.Errorf("Got %d, want %d", got, ahead+102)
		}
		broken := &serials{broken: errors.New("disk full")}
		j = NewJournal(broken.feed(Feed{Site: s, Zone: "example.org."}))
		if got := j.SOA().Serial; got != uint32(time.Now().Unix()) {
			t.Errorf("With a store that fails: %d, want the time", got)
		}
	})
}
