package main

import (
	"strings"
	"testing"
)

// TestTargetReport: a median on the limit is met, in either direction, and one beyond it is said to be missed.
func TestTargetReport(t *testing.T) {
	got := targetReport([]target{
		{name: "a", limit: 1.5, measured: spread{1.5, 1, 2}},
		{name: "b", limit: 1.5, measured: spread{1.49, 1, 2}},
		{name: "c", limit: 1, most: true, measured: spread{1, 0.5, 2}},
		{name: "d", limit: 1, most: true, measured: spread{1.01, 0.5, 2}},
	})
	for _, want := range []string{
		"2 of 4 met, all in one run.",
		"| a      | at least 1.50 | 1.50 (1.00–2.00) | met        |",
		"| b      | at least 1.50 | 1.49 (1.00–2.00) | **missed** |",
		"| c      | at most 1.00  | 1.00 (0.50–2.00) | met        |",
		"| d      | at most 1.00  | 1.01 (0.50–2.00) | **missed** |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("No line\n%s\nin\n%s", want, got)
		}
	}
}
