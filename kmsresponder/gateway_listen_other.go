//go:build !linux

package kmsresponder

func deferAccept(uintptr) {}
