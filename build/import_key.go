package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// tsigKey signs messages (RFC 8945). Without a name it does nothing.
type tsigKey struct{ name, algorithm, secret string }

var tsigAlgorithms = map[string]string{
	"hmac-sha1": dns.HmacSHA1, "hmac-sha224": dns.HmacSHA224, "hmac-sha256": dns.HmacSHA256,
	"hmac-sha384": dns.HmacSHA384, "hmac-sha512": dns.HmacSHA512,
}

func (k tsigKey) sign(m *dns.Msg) {
	if k.name != "" {
		m.SetTsig(k.name, tsigAlgorithms[k.algorithm], 300, time.Now().Unix())
	}
}

func (k tsigKey) secrets() map[string]string { return map[string]string{k.name: k.secret} }

// readKey reads NAME:ALGORITHM:SECRET, or ALGORITHM:NAME:SECRET as dig takes it, or a file.
func readKey(text, file string) (tsigKey, error) {
	switch {
	case text != "" && file != "":
		return tsigKey{}, errors.New("-key and -keyfile: leave one")
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return tsigKey{}, err
		}
		k, err := parseKeyFile(string(b))
		if err != nil {
			return k, fmt.Errorf("-keyfile %s: %w", file, err)
		}
		return k, nil
	case text == "":
		return tsigKey{}, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return tsigKey{}, errors.New("-key NAME:ALGORITHM:SECRET, as in update.example.org:hmac-sha256:BASE64")
	}
	if _, ok := tsigAlgorithms[strings.ToLower(parts[0])]; ok {
		parts[0], parts[1] = parts[1], parts[0]
	}
	return newKey(parts[0], parts[1], parts[2])
}

// newKey checks the parts of a key. Its errors never show the secret.
func newKey(name, algorithm, secret string) (k tsigKey, err error) {
	if k.name, err = canonicalName(name); err != nil || k.name == "." {
		return k, fmt.Errorf("key %q: a domain name, as in update.example.org", name)
	}
	k.algorithm = strings.ToLower(strings.TrimSuffix(algorithm, "."))
	if _, ok := tsigAlgorithms[k.algorithm]; !ok {
		return k, fmt.Errorf("key %s: algorithm %q: one of %s", name, algorithm, strings.Join(slices.Sorted(maps.Keys(tsigAlgorithms)), ", "))
	}
	if b, err := base64.StdEncoding.DecodeString(secret); err != nil || len(b) == 0 {
		return k, fmt.Errorf("key %s: the secret is not in base64", name)
	}
	k.secret = secret
	return k, nil
}

var (
	keyComment = regexp.MustCompile(`(?ms)"[^"]*"|(?:^|\s)(?://[^\n]*|#[^\n]*)|/\*.*?\*/`) // base64 has slashes, but not behind a blank
	keyBlock   = regexp.MustCompile(`(?s)\bkey\s+("[^"]*"|[^\s{]+)\s*\{([^}]*)\}`)
	keyOption  = regexp.MustCompile(`(algorithm|secret)\s+("[^"]*"|[^\s;"]+)\s*;`)
)

// parseKeyFile reads the one key clause of a piece of named.conf:
//
//	key "update.example.org" { algorithm hmac-sha256; secret "..."; };
func parseKeyFile(text string) (tsigKey, error) {
	text = keyComment.ReplaceAllStringFunc(text, func(s string) string {
		if s[0] == '"' {
			return s
		}
		return " "
	})
	blocks := keyBlock.FindAllStringSubmatch(text, 2)
	if len(blocks) != 1 {
		return tsigKey{}, errors.New("one key clause, as tsig-keygen writes it: key \"NAME\" { algorithm hmac-sha256; secret \"BASE64\"; };")
	}
	option := make(map[string]string)
	for _, m := range keyOption.FindAllStringSubmatch(blocks[0][2], -1) {
		option[m[1]] = strings.Trim(m[2], `"`)
	}
	return newKey(strings.Trim(blocks[0][1], `"`), option["algorithm"], option["secret"])
}
