package repository

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

func TestReplaceSection(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page")
	for _, tc := range []struct{ name, old, want string }{ // want is "" for an error
		{"as it should be", "a\n<!-- x begin -->\nold\n<!-- x end -->\nb\n", "a\n<!-- x begin -->\nnew\n<!-- x end -->\nb\n"},
		{"empty section", "<!-- x begin -->\n<!-- x end -->\n", "<!-- x begin -->\nnew\n<!-- x end -->\n"},
		{"no section", "a\n", ""},
		{"no end", "<!-- x begin -->\nold\n", ""},
		{"end before begin", "<!-- x end -->\n<!-- x begin -->\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := os.WriteFile(page, []byte(tc.old), 0o600); err != nil {
				t.Fatal(err)
			}
			err := ReplaceSection(page, "x", "new\n")
			got, _ := os.ReadFile(page)
			switch {
			case tc.want == "" && (err == nil || string(got) != tc.old):
				t.Errorf("Got %q, %v, want an error and the page as it was", got, err)
			case tc.want != "" && (err != nil || string(got) != tc.want):
				t.Errorf("Got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

// TestDocuments: there is a place for the figures of each program, or a run with -write ends in an error after minutes.
func TestDocuments(t *testing.T) {
	places := map[string]string{"chaos": "docs/reliability.md", "fuzz": "docs/reliability.md", "bench targets": "docs/performance.md"}
	bench, err := os.ReadFile(filepath.Join("..", "bench", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\t\{"(\w+)", \d+, \d+, `).FindAllSubmatch(bench, -1) {
		places["bench "+string(m[1])] = "docs/performance.md"
	}
	if len(places) < 3+7 {
		t.Errorf("Not all benchmarks were found, only %q", slices.Sorted(maps.Keys(places)))
	}
	for section, document := range places {
		page, err := os.ReadFile(filepath.Join("..", "..", document))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := withSection(string(page), section, "figures\n"); err != nil {
			t.Errorf("%s: %v", document, err)
		}
	}
}
