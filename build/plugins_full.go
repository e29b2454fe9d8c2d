//go:build full

package main

// Everything CoreDNS itself is released with.
import _ "github.com/coredns/coredns/core/plugin"
