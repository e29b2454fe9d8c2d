// Package ledger remembers who called: for each client its first and last call, the host that answered it, and how; and
// from that, how many distinct clients each host has had in thirty days, which is what a KMS host counts by.
//
// It owns that table and its bounds. It knows no DNS, no RPC and no pool, and is never on the path of a call: Record does
// not wait, and what it cannot take at once is dropped and counted.
package ledger
