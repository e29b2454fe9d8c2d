package control

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	known := []string{"kms1.example.org:1688", "kms2.example.org:1688", "kms2.example.org:1689", "192.0.2.10:1688", "[2001:db8::10]:1689",
		"kms1.example.org:1688"} // in two pools
	for host, want := range map[string]string{
		"kms1.example.org":       "kms1.example.org:1688",
		"KMS1.Example.ORG.":      "kms1.example.org:1688",
		"kms1.example.org:1688":  "kms1.example.org:1688",
		"kms1.example.org.:1688": "kms1.example.org:1688",
		"kms1.example.org:1689":  "error: no host",
		"kms2.example.org":       "error: kms2.example.org:1688, kms2.example.org:1689",
		"kms2.example.org:1689":  "kms2.example.org:1689",
		"kms2.example.org:1688":  "kms2.example.org:1688",
		"kms1":                   "error: no host \"kms1\": there is 192.0.2.10:1688, [2001:db8::10]:1689, kms1",
		"192.0.2.10":             "192.0.2.10:1688",
		"::ffff:192.0.2.10":      "192.0.2.10:1688",
		"192.0.2.10:1689":        "error: no host",
		"2001:DB8:0::10":         "[2001:db8::10]:1689",
		"[2001:db8::10]":         "[2001:db8::10]:1689",
		"[2001:db8::10]:1689":    "[2001:db8::10]:1689",
		"[2001:db8::10]:1688":    "error: no host",
		"":                       "error: no host: a name",
		"kms1.example.org:":      "error: port",
		"kms1.example.org:0":     "error: port",
		"a:b:c":                  "error: NAME:PORT",
		strings.Repeat("x", 301): "error: 301 octets",
		"\x1b[31m":               "error: \\x1b[31m",
	} {
		got, err := match(host, known)
		if reason, bad := strings.CutPrefix(want, "error: "); bad {
			if err == nil || !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%q: %q, %v; want an error with %q", host, got, err, reason)
			}
		} else if err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", host, got, err, want)
		}
	}
	if _, err := match("kms1", nil); err == nil || !strings.Contains(err.Error(), "no hosts at all") {
		t.Errorf("With no hosts: %v", err)
	}
	many := make([]string, 300)
	for i := range many {
		many[i] = strings.Repeat("k", i+1) + ".example.org:1688"
	}
	if _, err := match("x.example.org", many); err == nil || len(err.Error()) > 1000 || !strings.Contains(err.Error(), "280 more") {
		t.Errorf("With 300 hosts: %v", err)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		" plain text ":           "plain text",
		"two\nlines\x1b[31m red": "two lines [31m red",
		"right\u202eleft":        "right left",
		"bad \xff octet":         "bad   octet",
		"äöü äöü":                "äöü äö", // 11 octets are left of 13
	} {
		n := 100
		if strings.HasPrefix(in, "ä") {
			n = 12
		}
		if got := clean(in, n); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
