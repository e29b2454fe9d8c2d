package config

import "fmt"

// Misplaced is an error of Validate that is about one property, which may stand in another line than the end of its block.
type Misplaced struct {
	What string // in Places: "responder warm"
	error
}

// Unwrap returns what is wrong.
func (m Misplaced) Unwrap() error { return m.error }

// misplaced is fmt.Errorf for what stands at a place.
func misplaced(what, format string, args ...any) error {
	return Misplaced{what, fmt.Errorf(format, args...)}
}
