//go:build !unix

package main

import "os"

// watchSize says when the terminal gets another size, which here is seen when it is drawn again.
func watchSize() (resized <-chan os.Signal, ignore func()) { return nil, func() {} }
