package config

import (
	"fmt"
	"slices"
	"strings"
)

// word is the Corefile's word for v, an index into words.
func word[T ~uint8](words []string, v T) string {
	if int(v) >= len(words) {
		return fmt.Sprintf("unknown(%d)", uint8(v))
	}
	return words[v]
}

// parseWord finds s among words; property is what the error calls the place where s stood.
func parseWord[T ~uint8](property string, words []string, s string) (T, error) {
	if i := slices.Index(words, s); i >= 0 {
		return T(i), nil
	}
	return 0, fmt.Errorf("%s %q: one of %s", property, s, strings.Join(words, ", "))
}
