// Package tuning has a server process take less processor time for the same answers. It is for programs: a plugin does not change
// the process that it is part of.
package tuning

import "runtime"

// BallastOctets is memory that is never touched, and so never had from the system, but that the garbage collector counts as in
// use. What lives on our heap is a few megabytes, so small that it would be collected ten times a second at full load, for a
// twentieth of the processor time; with this it lets as much garbage gather before it begins. Unlike a higher GOGC it makes no
// difference to large heaps.
const BallastOctets = 32 << 20

// Run runs serve, which starts DNS servers and does not return while they serve, with everything of this package.
func Run(serve func()) {
	growStacks()
	ballast := make([]byte, BallastOctets)
	serve()
	runtime.KeepAlive(ballast)
}
