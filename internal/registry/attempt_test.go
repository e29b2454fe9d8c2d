package registry

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

func TestAttempts(t *testing.T) {
	r, err := New(settings(1), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Attempts(); len(got) != 0 {
		t.Errorf("Got %v before any", got)
	}
	for n := range 1000 {
		r.Tried(Attempt{What: fmt.Sprint(n), Records: []string{"a"}})
		got := r.Attempts()
		if want := min(n+1, maxAttempts); len(got) != want {
			t.Fatalf("After %d: %d are remembered", n+1, len(got))
		}
		for i, a := range got {
			if a.What != fmt.Sprint(n-i) {
				t.Fatalf("After %d: number %d is %s", n+1, i, a.What)
			}
		}
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	r, err := New(settings(1), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	long, records := strings.Repeat("x", 10000), make([]string, 10000)
	for i := range records {
		records[i] = long
	}
	r.Tried(Attempt{Key: long, Zone: long, What: long, Reason: long, Records: records})
	a := r.Attempts()[0]
	for _, s := range append(a.Records, a.Key, a.Zone, a.What, a.Reason) {
		if len(s) != 255 {
			t.Errorf("A string of %d octets is kept, want 255", len(s))
		}
	}
	if len(a.Records) != 16 || cap(a.Records) > 32 {
		t.Errorf("%d records, with place for %d", len(a.Records), cap(a.Records))
	}
	if records[0] != long {
		t.Error("The caller's records were cut")
	}
}

func TestCut(t *testing.T) {
	for s, want := range map[string]int{
		"":                                   0,
		strings.Repeat("x", 255):             255,
		strings.Repeat("x", 256):             255,
		strings.Repeat("x", 254) + "é":       254,
		strings.Repeat("x", 253) + "é" + "x": 255,
		strings.Repeat("€", 100):             255,
		strings.Repeat("𝄞", 100):             252,
		strings.Repeat("\x80", 300):          251, // no text at all
	} {
		if got := cut(s); len(got) != want || !strings.HasPrefix(s, got) || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q was cut to %d octets, want %d", s, len(got), want)
		}
	}
}

func TestAttemptsFromAnywhere(t *testing.T) {
	r, err := New(settings(1), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 300 {
				r.Tried(Attempt{What: "x"})
				for _, a := range r.Attempts() {
					if a.What != "x" {
						t.Error("Got one that nobody made")
					}
				}
			}
		})
	}
	wg.Wait()
}
