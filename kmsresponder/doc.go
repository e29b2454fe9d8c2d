// Package kmsresponder is the RPC face: it listens where volume licence clients
// call, and has them answered. It has the gateway between clients and the hosts
// of the pool, and for drills a rehearsal host and the clients of one.
//
// It owns connections, their limits and the rules of an RPC conversation. The
// layouts are those of internal/dcerpc and internal/kmswire. It must not know
// DNS or CoreDNS, nor any secret of the activation protocol: nothing here can
// activate a product or make a client believe that it was.
package kmsresponder
