package lint

import (
	"fmt"
	"slices"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// Load is the rule of what the server itself refuses. Whoever reads the Corefile finds that out.
const Load = "load"

// Rule is one thing to look for.
type Rule struct {
	Name     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Reason   string   `json:"reason"` // why it is unwise

	block  func(v view, say sayer) // looks at one kms block; nil: the rule is about something else
	server func(v view, say sayer) // looks at one server block
	whole  func(c *Corefile, say sayer)
}

// view is what a rule looks at, and where that stands. The block is empty where a rule looks at a whole server block.
type view struct {
	file   *Corefile
	server Server
	block  Block
}

// sayer reports a finding of the rule.
type sayer func(at config.Place, format string, args ...any)

// Rules is every rule, in the order of the manual.
func Rules() []Rule {
	return slices.Concat([]Rule{
		{Name: Load, Severity: Error, Reason: "the server does not start with this Corefile; on a reload the old one stays " +
			"in charge"},
		{Name: unknownRule, Severity: Warning, Reason: "a comment that is to silence a rule names none that there is"},
	}, hostRules, weightRules, answerRules, zoneRules, updateRules, responderRules, rehearseRules, listenRules,
		serverRules)
}

// known says whether there is a rule of that name.
func known(name string) bool {
	return slices.ContainsFunc(Rules(), func(r Rule) bool { return r.Name == name })
}

// Check returns what is unwise in c, in the order of its lines.
func Check(c *Corefile) []Finding {
	var found []Finding
	for _, r := range Rules() {
		say := func(at config.Place, format string, args ...any) {
			found = append(found, Finding{at, r.Severity, r.Name, fmt.Sprintf(format, args...)})
		}
		if r.whole != nil {
			r.whole(c, say)
		}
		for _, s := range c.Servers {
			if r.server != nil {
				r.server(view{file: c, server: s}, say)
			}
			for _, b := range s.Blocks {
				if r.block != nil {
					r.block(view{c, s, b}, say)
				}
			}
		}
	}
	return tidy(found)
}
