package plugin

import "time"

// newer says whether serial a comes after b (RFC 1982 3.2). Of two that are 2^31 apart neither does.
func newer(a, b uint32) bool { return a != b && a-b < 1<<31 }

// nextSerial is the serial after last, which is 0 if none is known: the time in seconds since 1970, or, where that is not
// newer, one more than last. By the time it grows over a restart that forgot the last one; by the last it grows under a clock
// that was set back. It is never 0, which the transfer plugin takes for a request for the whole zone.
func nextSerial(last uint32, now time.Time) uint32 {
	next, clock := last+1, uint32(now.Unix())
	if last == 0 || newer(clock, next) {
		next = clock
	}
	if next == 0 {
		next = 1
	}
	return next
}
