package main

import (
	"strings"
	"testing"
)

func TestReadKey(t *testing.T) {
	for text, want := range map[string]tsigKey{
		"Update.example.org:HMAC-SHA512:c2VjcmV0": {"update.example.org.", "hmac-sha512", "c2VjcmV0"},
		"hmac-sha256:a:c2VjcmV0":                  {"a.", "hmac-sha256", "c2VjcmV0"},
	} {
		if got, err := readKey(text, ""); got != want || err != nil {
			t.Errorf("readKey(%q) = %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"a:c2VjcmV0":             "NAME:ALGORITHM:SECRET",
		"a:hmac-md5:c2VjcmV0":    "one of hmac-sha1, hmac-sha224",
		"a:hmac-sha256:c2VjcmV":  "not in base64",
		"a:hmac-sha256:":         "not in base64",
		"a..b:hmac-sha256:c2Vj":  "a domain name",
		"hmac-sha256::c2VjcmV0":  "a domain name",
		"a:hmac-sha256:c2Vj:c2V": "NAME:ALGORITHM:SECRET",
	} {
		if _, err := readKey(text, ""); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "c2V") {
			t.Errorf("readKey(%q): %v, want %q and no secret", text, err, want)
		}
	}
}

func TestParseKeyFile(t *testing.T) {
	want := tsigKey{"update.example.org.", "hmac-sha256", "c2V/cmV0//AA"}
	for _, text := range []string{
		"key \"update.example.org\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2V/cmV0//AA\";\n};\n",
		"// made by hand\nkey Update.example.org. { /* } */ secret c2V/cmV0//AA; # the secret\nalgorithm \"HMAC-SHA256\" ; };",
	} {
		if got, err := parseKeyFile(text); got != want || err != nil {
			t.Errorf("parseKeyFile(%q) = %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "one key clause",
		"key a { algorithm hmac-sha256; secret \"c2Vj\"; }; key b { algorithm hmac-sha256; secret \"c2Vj\"; };": "one key clause",
		"key a { secret \"c2Vj\"; };":                                "algorithm \"\"",
		"key a { algorithm hmac-sha256; };":                          "not in base64",
		"Private-key-format: v1.3\nAlgorithm: 163 (HMAC_SHA256)\n":   "as tsig-keygen writes it",
		"# key a { algorithm hmac-sha256; secret \"c2Vj\"; };\nkey ": "one key clause",
	} {
		if _, err := parseKeyFile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseKeyFile(%q): %v, want %q", text, err, want)
		}
	}
}
