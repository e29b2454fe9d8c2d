package test

import (
	"encoding/json"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// requirements is what a go.mod asks for itself, as a module or as a tool, without the major version at the end.
func requirements(t *testing.T, file string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", file).Output()
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	direct := make(map[string]bool)
	for _, r := range mod.Require {
		direct[r.Path] = !r.Indirect
		for _, tool := range mod.Tool {
			direct[r.Path] = direct[r.Path] || strings.HasPrefix(tool.Path+"/", r.Path+"/")
		}
	}
	maps.DeleteFunc(direct, func(_ string, is bool) bool { return !is })
	if len(direct) == 0 {
		t.Fatalf("%s asks for nothing", file)
	}
	var all []string
	for path := range direct {
		all = append(all, regexp.MustCompile(`/v\d+$`).ReplaceAllString(path, ""))
	}
	return all
}

// TestDependencies: docs/dependencies.md has a row for everything that go.mod asks for, and none for what it does not; and a
// word about what the module of the packages asks for.
func TestDependencies(t *testing.T) {
	text := documents(t)["docs/dependencies.md"]
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([\w.-]+\.[a-z]+/\S+)`).FindAllStringSubmatch(text, -1) {
		rows = append(rows, regexp.MustCompile(`/v\d+$`).ReplaceAllString(m[1], ""))
	}
	wanted := requirements(t, "../go.mod")
	for _, module := range wanted {
		if !slices.Contains(rows, module) {
			t.Errorf("docs/dependencies.md has no row for %s", module)
		}
	}
	for _, row := range rows {
		if !slices.Contains(wanted, row) {
			t.Errorf("docs/dependencies.md has a row for %s, which go.mod does not ask for", row)
		}
	}
	for _, module := range requirements(t, "../packaging/go.mod") {
		if !slices.Contains(regexp.MustCompile(`[^\s,;()]+`).FindAllString(text, -1), module) {
			t.Errorf("docs/dependencies.md does not name %s, which packaging/go.mod asks for", module)
		}
	}
}
