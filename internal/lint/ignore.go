package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/coredns-kms/coredns-kms/internal/config"
)

// unknownRule is what a comment that ignores nothing gets.
const unknownRule = "unknown-rule"

// ignoring is the comment that says that a finding on its line, or the next, is known and meant; behind a colon it may say why.
var ignoring = regexp.MustCompile(`#\s*kms-lint:\s*ignore\b([^:]*)`)

// Ignore drops those of found that comments in the files say are meant, and adds a warning for each comment that names a rule
// that there is not. files are the texts by their names, as the findings have them. An error cannot be ignored.
func Ignore(found []Finding, files map[string]string) []Finding {
	type where struct {
		config.Place
		rule string
	}
	meant := make(map[where]bool)
	var wrong []Finding
	for file, text := range files {
		for i, line := range strings.Split(text, "\n") {
			comment := ignoring.FindStringSubmatch(line)
			if comment == nil {
				continue
			}
			at := config.Place{File: file, Line: i + 1}
			names := strings.FieldsFunc(comment[1], func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' })
			for _, rule := range names {
				meant[where{at, rule}] = true
				if strings.HasPrefix(strings.TrimSpace(line), "#") {
					meant[where{config.Place{File: file, Line: at.Line + 1}, rule}] = true
				}
				if !known(rule) {
					wrong = append(wrong, Finding{at, Warning, unknownRule,
						fmt.Sprintf("there is no rule %q to ignore; \"kms lint -rules\" lists them", rule)})
				}
			}
			if len(names) == 0 {
				wrong = append(wrong, Finding{at, Warning, unknownRule, "this ignores nothing; say which rule, as in \"# " +
					"kms-lint: ignore one-host\""})
			}
		}
	}
	left := slices.DeleteFunc(slices.Clone(found), func(f Finding) bool {
		return f.Severity < Error && meant[where{f.Place, f.Rule}]
	})
	return tidy(append(left, wrong...))
}
