package main

import (
	"path/filepath"
	"testing"
)

// TestSettingsEdit: what a setting replaces is in the program.
func TestSettingsEdit(t *testing.T) {
	b := bench{root: filepath.Join("..", ".."), dir: t.TempDir()}
	for _, s := range settings {
		if len(s.edit) == 0 {
			continue
		}
		if _, err := s.overlay(b, "setting"); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}
