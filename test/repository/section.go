package repository

import (
	"fmt"
	"os"
	"strings"
)

// ReplaceSection puts text between the lines "<!-- NAME begin -->" and "<!-- NAME end -->" of file.
func ReplaceSection(file, name, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	changed, err := withSection(string(old), name, text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(changed), 0o644)
}

func withSection(page, name, text string) (string, error) {
	begin, end := "<!-- "+name+" begin -->\n", "<!-- "+name+" end -->"
	before, rest, found := strings.Cut(page, begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", fmt.Errorf("no section between %q and %q", strings.TrimSpace(begin), end)
	}
	return before + begin + text + end + after, nil
}
