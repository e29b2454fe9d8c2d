package status

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// shapes are what is answered, and with what is in it, all that docs/status.md has to say.
var shapes = []any{Report{}, Clients{}, Why{}, Problem{}}

// gather adds t and what it is made of to found.
func gather(t reflect.Type, found map[string]reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		gather(t.Elem(), found)
	case reflect.Struct:
		if t == timeType || found[t.Name()] != nil {
			return
		}
		found[t.Name()] = t
		for i := range t.NumField() {
			gather(t.Field(i).Type, found)
		}
	}
}

// TestDocument: docs/status.md has a table for each shape, with each of its fields and no other.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := make(map[string]string)
	for _, s := range strings.Split(string(text), "\n### ")[1:] {
		name, rest, _ := strings.Cut(s, "\n")
		rest, _, _ = strings.Cut(rest, "\n## ")
		tables[name] = rest
	}
	found := make(map[string]reflect.Type)
	for _, s := range shapes {
		gather(reflect.TypeOf(s), found)
	}
	if len(found) < 20 {
		t.Fatalf("Only %d shapes", len(found))
	}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\|$")
	for name, shape := range found {
		if _, ok := tables[name]; !ok {
			t.Errorf("docs/status.md has no part about %s", name)
			continue
		}
		said := make(map[string][]string)
		for _, m := range row.FindAllStringSubmatch(tables[name], -1) {
			said[m[1]] = m
		}
		for i := range shape.NumField() {
			tag, option, _ := strings.Cut(shape.Field(i).Tag.Get("json"), ",")
			m, ok := said[tag]
			delete(said, tag)
			if !ok || strings.TrimSpace(m[3]) == "" {
				t.Errorf("docs/status.md does not say what %s.%s is", name, tag)
			} else if optional := strings.HasSuffix(m[2], ", optional"); optional != (option != "") {
				t.Errorf("docs/status.md says of %s.%s that it is %q; it is %q", name, tag, m[2], option)
			}
		}
		for tag := range said {
			t.Errorf("docs/status.md tells of %s.%s, which there is not", name, tag)
		}
		delete(tables, name)
	}
	for name := range tables {
		t.Errorf("docs/status.md tells of %s, which there is not", name)
	}
}

// TestExamples: what docs/status.md shows is what would be answered, field by field.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^~~~ json (\\w+)\n(.*?)^~~~$").FindAllStringSubmatch(string(text), -1)
	shown := make(map[string]bool)
	for _, b := range blocks {
		shown[b[1]] = true
		var into any
		for _, s := range shapes {
			if reflect.TypeOf(s).Name() == b[1] {
				into = reflect.New(reflect.TypeOf(s)).Interface()
			}
		}
		if into == nil {
			t.Errorf("There is an example of %s, which there is not", b[1])
			continue
		}
		d := json.NewDecoder(strings.NewReader(b[2]))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Errorf("The example of %s: %v", b[1], err)
			continue
		}
		again, err := json.Marshal(into)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(again, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(b[2]), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("The example of %s is not as it would be answered:\n%s", b[1], again)
		}
	}
	if len(shown) != len(shapes) {
		t.Errorf("There are examples of %v, want one of each", shown)
	}
}
