// Package simulate lives through months of a fleet of KMS clients, its hosts and their failures, in a time of its own: what
// share is activated, what each host has to bear, which calls fail.
//
// It has no model of what this project does. Clients are kmsresponder.RehearsalClient, hosts kmsresponder.Rehearsal, the
// responder kmsresponder.Gateway with a ledger.Ledger, and health is a pool.Pool that is probed by its own schedule; each was
// given a clock and a network. What is made up here is the world around them: when clients are installed and switched on,
// when hosts fail and how, and how old a DNS answer is that a client acts on.
//
// One goroutine does everything, in the order of time, and draws from generators seeded by the scenario alone: the same
// scenario has the same result, to the octet.
package simulate
