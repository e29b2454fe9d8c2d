package status

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/coredns-kms/coredns-kms/internal/explain"
	"github.com/coredns-kms/coredns-kms/internal/kmswire"
)

// outcomes is what became of asking a host, in words, by the word of the metric host_requests_total.
var outcomes = map[string]string{
	"answered":   "it took the request",
	"declined":   "it answered that it cannot serve this client",
	"errored":    "it answered an error",
	"dead":       "it refused or ended the connection",
	"silent":     "it did not answer in time",
	"garbled":    "it answered something that is no answer",
	"mismatched": "it answered another client's request",
	"faulted":    "it answered an RPC fault, or refused the bind",
	"unresolved": "no address of it is known",
	"local":      "this server could not ask",
}

// maxLine is the octets of one text that came from others.
const maxLine = 500

// line is s as one line of text that can do no harm wherever it is shown, and that has an end.
func line(s string) string {
	s = printable(s)
	if len(s) <= maxLine {
		return s
	}
	end := maxLine
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// codeWords is a code of history.Failure in words.
func codeWords(code string) string {
	if text, ok := outcomes[code]; ok {
		return text
	}
	if hex, ok := strings.CutPrefix(code, "0x"); ok {
		if n, err := strconv.ParseUint(hex, 16, 32); err == nil {
			return hresultWords(uint32(n))
		}
	}
	return code
}

// hresultWords is what an HRESULT says.
func hresultWords(hr uint32) string {
	code, words, _ := strings.Cut(kmswire.HRESULT(hr).String(), " ")
	if words != "" {
		return words
	}
	if e, ok := explain.HRESULT(hr); ok {
		return e.Title
	}
	return "an error that is not known here: kms explain " + code + " says what can be said"
}
