package kmsresponder

import "syscall"

// deferSeconds is how long the system waits for the first octets of a connection
// before it is accepted without; it makes 7 of it (1 + 2 + 4, see tcp(7)). A
// connection that waits so counts for no limit of ours, but for the backlog's.
const deferSeconds = 5

// deferAccept asks for it. That it is not granted is no error: all goes on, a
// little slower.
func deferAccept(fd uintptr) {
	syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, deferSeconds)
}
