package main

import (
	"encoding/base64"
	"strings"
	"testing"
)

// FuzzKeyFile: whatever stands in a key file, either it is refused, or it is a key with which a message can be signed, and the
// same when it is written down as tsig-keygen does.
func FuzzKeyFile(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseKeyFile(text)
		if err != nil {
			return
		}
		name, err := canonicalName(k.name)
		if secret, notBase64 := base64.StdEncoding.DecodeString(k.secret); err != nil || name != k.name || notBase64 != nil || len(secret) == 0 || tsigAlgorithms[k.algorithm] == "" {
			t.Errorf("%q is read as %+v", text, k)
		}
		if strings.Contains(k.name, `"`) {
			return // cannot be written
		}
		again, err := parseKeyFile("key \"" + k.name + "\" {\n\talgorithm " + k.algorithm + ";\n\tsecret \"" + k.secret + "\";\n};\n")
		if err != nil || again != k {
			t.Errorf("%+v was written and is read as %+v, %v", k, again, err)
		}
	})
}
