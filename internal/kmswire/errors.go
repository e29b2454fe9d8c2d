package kmswire

import "errors"

// What can be wrong with received octets. Every error of a parser wraps exactly
// one of these.
var (
	// ErrTruncated: the octets end before what they announce does.
	ErrTruncated = errors.New("message ends before its contents do")

	// ErrLength: two lengths that must be the same are not, or one is
	// impossible.
	ErrLength = errors.New("lengths contradict each other")

	// ErrTooLong: a length beyond MaxMessage, or beyond what a field may have.
	ErrTooLong = errors.New("longer than the limit")

	// ErrVersion: a message of another version than the parser reads.
	ErrVersion = errors.New("not the expected protocol version")
)
