package lint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// Severity is how bad a finding is.
type Severity uint8

const (
	Note    Severity = iota // worth knowing; may well be meant
	Warning                 // will hurt somebody, some day
	Error                   // the server does not start with it
)

func (s Severity) String() string { return [...]string{"note", "warning", "error"}[s] }

// MarshalJSON is the word.
func (s Severity) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// Finding is one thing that was found.
type Finding struct {
	config.Place
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule"`
	Text     string   `json:"text"` // what is so, what comes of it, and what would be better
}

// String is the line that compilers write, so that editors jump to the place.
func (f Finding) String() string {
	at := f.File
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return fmt.Sprintf("%s: %s: [%s] %s", at, f.Severity, f.Rule, f.Text)
}

// tidy brings findings into the order of files and lines, the worse first on a line, and drops repetitions: a snippet may
// stand in many blocks.
func tidy(all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(b.Severity, a.Severity),
			strings.Compare(a.Rule, b.Rule), strings.Compare(a.Text, b.Text))
	})
	return slices.Compact(all)
}
