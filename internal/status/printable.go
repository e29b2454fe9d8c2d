package status

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable is s with a mark (U+FFFD) for whatever has no picture of its own: control characters, marks that turn the line
// around, what is not UTF-8. A run of them is one mark.
func printable(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	marked := false
	for _, r := range s {
		bad := r == utf8.RuneError || !unicode.IsPrint(r)
		switch {
		case !bad:
			b.WriteRune(r)
		case !marked:
			b.WriteRune(utf8.RuneError)
		}
		marked = bad
	}
	return b.String()
}

// isPlain is whether s is printable ASCII, as nearly all is.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// scrub makes every text below v, a pointer, printable. That is promised of a Report already, but here is the last place where
// somebody who forgot can be helped, and a field that is new is not forgotten.
func scrub(v any) { scrubValue(reflect.ValueOf(v)) }

func scrubValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			scrubValue(v.Elem())
		}
	case reflect.String:
		if s := v.String(); !isPlain(s) {
			v.SetString(printable(s))
		}
	case reflect.Slice:
		for i := range v.Len() {
			scrubValue(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == timeType {
			return
		}
		for i := range v.NumField() {
			scrubValue(v.Field(i))
		}
	case reflect.Map: // of numbers, by word
		for _, key := range v.MapKeys() {
			if s := key.String(); !isPlain(s) {
				value := v.MapIndex(key)
				v.SetMapIndex(key, reflect.Value{})
				v.SetMapIndex(reflect.ValueOf(printable(s)), value)
			}
		}
	}
}
