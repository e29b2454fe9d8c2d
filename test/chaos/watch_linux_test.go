package main

import (
	"os"
	"strings"
	"testing"
)

// TestBallast: what is taken off the heap is what the program puts on it.
func TestBallast(t *testing.T) {
	source, err := os.ReadFile("../../build/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), "const ballastOctets = 32 << 20\n") || ballastOctets != 32<<20 {
		t.Error("build/main.go has another ballast")
	}
}
