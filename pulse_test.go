package kms

import (
	"fmt"
	"strings"
	"testing"
)

// TestPulse: the line says how many hosts are how, and of what pool nobody is left.
func TestPulse(t *testing.T) {
	if got, err := Pulse(); got != "no kms block in the Corefile" || err != nil {
		t.Errorf("Got %q, %v before the start", got, err)
	}
	a, b := freePort(t), freePort(t)
	start(t, corefile(0, []int{a, b}, []int{a}, ""))
	eventually(t, "KMS hosts: 1 up, 1 down", func() string {
		line, err := Pulse()
		return fmt.Sprint(line, strings.TrimPrefix(fmt.Sprint(err), "<nil>"))
	})
}

func TestPulseNamesFew(t *testing.T) {
	if got := first([]string{"a", "b", "c"}); got != "a, b, c" {
		t.Errorf("Got %q", got)
	}
	if got := first([]string{"a", "b", "c", "d", "e"}); got != "a, b, c and 2 more" {
		t.Errorf("Got %q", got)
	}
}
