//go:build !linux

package main

import "errors"

func run(options) error {
	return errors.New("it needs Linux: namespaces keep what it does away from everything else")
}
