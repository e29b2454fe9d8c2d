package main

import (
	"encoding/base64"
	"strings"
	"testing"
)

// FuzzKeyFile: whatever stands in a key file, either it is refused, or it is a key with which a message can be signed, and the
// same when it is written down as tsig-keygen does.
func FuzzKeyFile(f *testing.F) {
	f.Add("key \"update.example.org\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2V/cmV0//AA\";\n};\n")
	f.Add("// made by hand\nkey Update.example.org. { /* } */ secret c2V/cmV0//AA; # the secret\nalgorithm \"HMAC-SHA256\" ; };")
	f.Add("key a { algorithm hmac-sha256; secret \"c2Vj\"; }; key b { algorithm hmac-sha256; secret \"c2Vj\"; };")
	f.Add("key \"a/*b\" { secret \"c2Vj\"; algorithm hmac-sha512; algorithm hmac-sha1 };\n*/")
	f.Add("Private-key-format: v1.3\nAlgorithm: 163 (HMAC_SHA256)\n")
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
