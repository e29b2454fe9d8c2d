// Package history remembers what lately happened, for people to look at: of hosts, how fast they answered and when their state
// changed; of clients, what they asked and what they were answered. It is in memory alone, outlives a reload, and everything
// in it is bounded: the oldest goes.
//
// It is fed by the faces and the pools and knows neither; nothing is decided by what it says.
package history
