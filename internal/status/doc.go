// Package status is what an operator sees of a running server: the shapes of it (report.go, the contract with programs), the
// same as pages for people, and the HTTP in front of both. It is read-only, whoever asks.
//
// It knows pools, the ledger and what the process remembers of clients; not DNS messages, not RPC and not CoreDNS: what only
// the faces know it is told by its Source.
package status
