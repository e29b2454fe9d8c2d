package kms

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeSyntax: README.md shows every property of a block, in order, and explains each.
func TestReadmeSyntax(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Syntax\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, _ := strings.Cut(section, "~~~\n")
	block, _, _ = strings.Cut(block, "\n~~~")
	var shown []string
	for _, m := range regexp.MustCompile(`(?m)^    ([a-z_]+)`).FindAllStringSubmatch(block, -1) {
		if !slices.Contains(shown, m[1]) {
			shown = append(shown, m[1])
		}
	}
	if !slices.Equal(shown, properties) {
		t.Errorf("README.md has the properties %q, the parser %q", shown, properties)
	}
	for _, p := range properties {
		if !strings.Contains(section, "\n* `"+p+"`") {
			t.Errorf("README.md does not explain %s", p)
		}
	}
}
