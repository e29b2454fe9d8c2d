//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// watchSize says when the terminal gets another size.
func watchSize() (resized <-chan os.Signal, ignore func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	return c, func() { signal.Stop(c) }
}
