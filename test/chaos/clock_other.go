//go:build !(linux && amd64)

package main

import (
	"errors"
	"time"
)

// A wallClock is that of one process. Only where there is a stub for the processor can it be stepped.
type wallClock struct{}

var errNoStub = errors.New("the clock of a process can be stepped on linux/amd64 only")

func newWallClock(int) (*wallClock, error)    { return nil, errNoStub }
func (c *wallClock) step(time.Duration) error { return errNoStub }
func (c *wallClock) close() error             { return nil }
