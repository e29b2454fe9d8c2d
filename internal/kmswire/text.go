package kmswire

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// printableMax is the longest text, in characters before any is escaped, that
// Printable lets through. Names of machines have at most 63.
const printableMax = 64

// Printable makes text from a peer fit to stand in a line of a log or on a
// terminal. Letters, digits, spaces and most punctuation stay; controls, line
// breaks, terminal escapes, marks that reverse the direction of writing and
// octets that are no UTF-8 are escaped as Go writes them in a string, and so are
// backslashes, quotes and commas, which would end a field. More than 64
// characters are cut, with "..." to say so.
func Printable(text string) string {
	if plain(text) {
		return text
	}
	var b strings.Builder
	for n := 0; text != ""; n++ {
		if n == printableMax {
			b.WriteString("...")
			break
		}
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == ',':
			b.WriteString(`\x2c`)
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r):
			// Piled up, they write over the lines above.
			b.WriteString(strings.Trim(strconv.QuoteToASCII(text[:size]), `"`))
		case r == '"':
			b.WriteString(`\"`)
		default:
			quoted := strconv.Quote(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return b.String()
}

// plain reports whether text needs no change, as nearly every name does.
func plain(text string) bool {
	if len(text) > printableMax {
		return false
	}
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == ',' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// readText returns UTF-16LE text without the NULs at its end. All else that src
// may hold is kept: NULs inside, controls, and surrogates without their other
// half, which are encoded as if they were characters. Such a string is not
// valid UTF-8, and appendText makes the same octets of it again.
func readText(src []byte) string {
	for len(src) >= 2 && src[len(src)-1] == 0 && src[len(src)-2] == 0 {
		src = src[:len(src)-2]
	}
	text := make([]byte, 0, len(src))
	for ; len(src) >= 2; src = src[2:] {
		r := rune(binary.LittleEndian.Uint16(src))
		if utf16.IsSurrogate(r) && len(src) >= 4 {
			if pair := utf16.DecodeRune(r, rune(binary.LittleEndian.Uint16(src[2:]))); pair != unicode.ReplacementChar {
				r, src = pair, src[2:]
			}
		}
		text = appendRune(text, r)
	}
	return string(text)
}

// appendRune is utf8.AppendRune, but for surrogates, which it takes for
// characters.
func appendRune(dst []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		return append(dst, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	}
	return utf8.AppendRune(dst, r)
}

// appendText appends text as UTF-16LE, as much of it as fits into max octets
// without dividing a character. Octets that are no UTF-8, but for what readText
// makes of a surrogate, become U+FFFD.
func appendText(dst []byte, text string, max int) []byte {
	for end := len(dst) + max; text != ""; {
		r, size := utf8.DecodeRuneInString(text)
		if s, ok := leadingSurrogate(text); ok {
			r, size = s, 3
		}
		if len(dst)+2*max1(utf16.RuneLen(r)) > end {
			break
		}
		if utf16.RuneLen(r) == 2 {
			high, low := utf16.EncodeRune(r)
			dst = binary.LittleEndian.AppendUint16(dst, uint16(high))
			r = low
		}
		dst = binary.LittleEndian.AppendUint16(dst, uint16(r))
		text = text[size:]
	}
	return dst
}

// max1 makes of the -1 that utf16.RuneLen has for a surrogate the one unit that
// it takes.
func max1(n int) int { return max(n, 1) }

// leadingSurrogate returns the surrogate that readText encoded at the start of
// text, if there is one.
func leadingSurrogate(text string) (rune, bool) {
	if len(text) < 3 || text[0] != 0xed || text[1]&0xe0 != 0xa0 || text[2]&0xc0 != 0x80 {
		return 0, false
	}
	return rune(text[0]&0x0f)<<12 | rune(text[1]&0x3f)<<6 | rune(text[2]&0x3f), true
}
