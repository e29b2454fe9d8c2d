// Package dcerpc is the connection-oriented half of DCE/RPC as far as an
// anonymous, single-interface service needs it: the PDUs of C706 chapter 12
// with Microsoft's additions ([MS-RPCE]), how they are framed on a byte
// stream, how presentation contexts are negotiated, and how the fragments of a
// call become one stub. Both directions are here, so that a server, a client
// and a test of either share one codec.
//
// It owns layouts and limits. It must not know what travels in a stub, which
// interface is served, who the peers are or what happens to a connection: no
// KMS, no host pool, no DNS, no net.Conn. It starts no goroutine, keeps no
// global state and sets no deadline; nothing in it may be used from two
// goroutines at once unless said otherwise.
//
// Everything received is hostile until checked: lengths are compared before a
// slice is taken, counts before anything is allocated, and no parser panics.
// Everything sent is appended to a slice that the caller owns.
//
// Out of scope, on purpose: security (auth_length is understood so that a
// verifier is never mistaken for data, but nothing is ever signed or sealed),
// big-endian peers (C706 lets the receiver convert; every known client of the
// services meant here is little-endian) and the connectionless protocol.
package dcerpc
