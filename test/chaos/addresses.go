package main

import "net/netip"

// The hosts of a run.
const (
	fixedHosts     = 4 // in the Corefile
	announcedHosts = 4
)

// The network of a run. Nothing of it is seen from outside: all of it is in namespaces that end with this program.
var (
	ourAddress      = netip.MustParseAddr("10.77.0.1") // of this program, and of the bridge
	serverAddress   = netip.MustParseAddr("10.77.0.2")
	resolverAddress = netip.MustParseAddr("10.77.0.3")
	clientNetwork   = netip.MustParsePrefix("10.77.64.0/20") // each client has an address of its own
)
