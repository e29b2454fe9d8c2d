package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxText bounds what Lookup and ParseLine read, in octets: a pasted event is well below.
const maxText = 4096

// Lookup finds the code in text, in whatever spelling a person has it: 0xC004F074, c004f074, -1073418124, 3221549172, "event
// 12288", NXDOMAIN, "port 1688", or a whole line of slmgr's with a code in it. A number that is not in the table is taken apart
// (KindUnknown). The error says what would be a code, and what text may have been meant to be.
func Lookup(text string) (Entry, error) {
	if len(text) > maxText {
		return Entry{}, fmt.Errorf("%d octets: a code, or a line with one in it, has at most %d", len(text), maxText)
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,;:=/()[]{}\"'`<>", r) })
	kind, led := Kind(""), true
	for _, w := range words {
		w = strings.ToLower(strings.TrimRight(w, ".!?"))
		if k, ok := introductions[w]; ok {
			kind = cmp.Or(k, kind)
			continue
		}
		// In the middle of a sentence "refused" is no rcode and "5" no code.
		if e, ok := named(w); ok && (led || strings.Contains(w, "_")) {
			return e, nil
		}
		if n, ok := number(w); ok && (led || n > 0xffff) {
			return lookupNumber(n, w, kind), nil
		}
		led = false
	}
	return Entry{}, noCode(strings.Join(words, " "))
}

// introductions is words that stand before a code, with what they say that it is.
var introductions = map[string]Kind{
	"event": KindEvent, "eventid": KindEvent, "id": KindEvent,
	"port": KindPort, "tcp": KindPort,
	"error": "", "code": "", "hresult": "", "hr": "", "rcode": "", "status": "", "fault": "", "flags": "", "win32": "", "kms": "",
	"explain": "",
}

// named finds an entry by one of its names, in lower case.
func named(word string) (Entry, bool) {
	i := slices.IndexFunc(entries, func(e Entry) bool {
		return slices.ContainsFunc(e.Names, func(n string) bool { return strings.EqualFold(n, word) })
	})
	if i < 0 {
		return Entry{}, false
	}
	return entries[i], true
}

// number reads a code: hexadecimal with 0x, or without if it cannot be anything else or is eight digits that begin as a failure
// does; else decimal, where negative is how tools print an HRESULT that they take for signed.
func number(word string) (uint32, bool) {
	if hex, ok := strings.CutPrefix(word, "0x"); ok {
		n, err := strconv.ParseUint(hex, 16, 32)
		return uint32(n), err == nil && len(hex) <= 8
	}
	if hex, ok := strings.CutSuffix(word, "h"); ok && len(hex) == 8 {
		word = hex
	}
	if len(word) == 8 && (strings.ContainsAny(word, "abcdef") || word[0] == '8') {
		if n, err := strconv.ParseUint(word, 16, 32); err == nil {
			return uint32(n), true
		}
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n < -1<<31 || n > 1<<32-1 {
		return 0, false
	}
	return uint32(n), true
}

// lookupNumber finds the entry of n. Where a number means several things, what KMS has to do with comes first.
func lookupNumber(n uint32, spelling string, kind Kind) Entry {
	if kind == KindEvent || kind == KindPort {
		if e, ok := find(n, kind); ok {
			return e
		}
	}
	if e, ok := find(n, KindHRESULT, KindDNS, KindFault, KindEvent, KindPort); ok {
		return e
	}
	if e, ok := find(n, KindFlag); ok {
		if strings.HasPrefix(spelling, "0x") {
			return e
		}
	}
	if e, ok := find(0x80070000|n, KindHRESULT, KindDNS); ok && n <= 0xffff {
		return e // a Win32 code, as net helpmsg takes it
	}
	// Tools that print an event's id with its qualifiers: 1073754112 for 12288.
	if e, ok := find(n&0xffff, KindEvent); ok && n&0x3fff0000 == 0 {
		return e
	}
	if names := flagNames(n); n > 0xff && len(names) > 1 {
		return combined(n, names)
	}
	return takeApart(n)
}

// flagNames names the bits of n, and returns nothing if it has any that is not known.
func flagNames(n uint32) []string {
	var names []string
	for _, f := range entries {
		if f.Kind == KindFlag && n&f.value != 0 {
			names = append(names, f.Names[0])
			n &^= f.value
		}
	}
	if n != 0 {
		return nil
	}
	return names
}

// combined is an entry for several flags in one number.
func combined(n uint32, names []string) Entry {
	e := Entry{
		Code: fmt.Sprintf("0x%08X", n), Kind: KindFlag, Names: names, value: n,
		Title:   "Several flags of an event 12288 or 12289",
		Meaning: "The bits in it are: " + strings.Join(names, ", ") + ".",
		See:     []string{seeVA2, seeEvents},
	}
	for _, f := range entries {
		if f.Kind == KindFlag && n&f.value != 0 {
			e.Causes = append(e.Causes, Cause{f.Names[0] + ": " + f.Title, []string{"coredns kms explain " + f.Code}})
		}
	}
	return e
}
