package main

import (
	"strings"
	"testing"
)

// TestBusyGoroutines: of a profile, those that wait in the responder for something to do do not count, up to as many as it keeps.
func TestBusyGoroutines(t *testing.T) {
	const (
		hands = "github.com/coredns-kms/coredns-kms/kmsresponder.(*hands[...]).work+0x"
		idle  = "#\t0xac882a\t" + hands + "6a\t/hands.go:42\n#\t0x4a3269\tsync.(*WaitGroup).Go.func1+0x49\t/waitgroup.go:258\n"
		busy  = "#\t0x4d71e6\tinternal/poll.runtime_pollWait+0x86\t/netpoll.go:351\n#\t0xac87f2\t" + hands + "32\t/hands.go:38\n"
	)
	profile := "goroutine profile: total 180\n100 @ 0x4901ee 0x451657\n" + busy + "\n20 @ 0x4901ee 0x41ea6e\n" + idle + "\n"
	if got, err := busyGoroutines([]byte(profile)); err != nil || got != 160 {
		t.Errorf("Got %.0f, %v, want 160", got, err)
	}
	if got, err := busyGoroutines([]byte(strings.Replace(profile, "20 @", "70 @", 1))); err != nil || got != 180-spareHands {
		t.Errorf("Got %.0f, %v, want all but %d", got, err, spareHands)
	}
	if got, err := busyGoroutines([]byte("404 page not found")); err == nil {
		t.Errorf("Got %.0f of no profile", got)
	}
}
