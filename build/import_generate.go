package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Bounds of a $GENERATE line. What it stands for is made while it is read, line by line, and counts as records of the zone do.
const (
	maxGenerateLine  = 4096  // octets
	maxGenerateSteps = 65536 // lines that it stands for
	maxGenerateWidth = 255   // digits of a number
)

// generateLine is a $GENERATE line, and what stands behind the word. The parser's own way knows no quotes around the data, which
// named wants where they are more than a word, nor the TTL in force, nor which line is wrong.
var generateLine = regexp.MustCompile(`(?mi)^\$GENERATE(?:[ \t]+(.*))?$`)

// generate is a $GENERATE line. Read gives the records that it stands for, once.
type generate struct {
	file              string // where it stands
	line              int
	owner, data       []generatePart
	kind              string // TTL and class, if given, and the type
	first, next, last int64
	step              int64
	text              bytes.Buffer // of the line that is being read
}

// generatePart is some text or, where base is not 0, the number of the round in that base.
type generatePart struct {
	text   string
	base   byte  // one of doxXnN
	offset int64 // added to the number
	width  int   // in digits at least; for n and N, octets of what is written
}

// parseGenerate reads what stands behind the word $GENERATE: RANGE OWNER [TTL] [CLASS] TYPE DATA.
func parseGenerate(text string) (*generate, error) {
	text = strings.TrimSuffix(text, "\r")
	if len(text) > maxGenerateLine {
		return nil, fmt.Errorf("more than %d octets", maxGenerateLine)
	}
	words, err := generateWords(text)
	if err != nil {
		return nil, err
	}
	kinds := 2
	for kinds < len(words) && kinds < 4 && isTTLOrClass(words[kinds].text) {
		kinds++
	}
	if len(words) < kinds+2 {
		return nil, fmt.Errorf("want RANGE OWNER [TTL] [CLASS] TYPE DATA, as in 1-2 _vlmcs._tcp SRV \"0 0 1688 kms$\"")
	}
	if words[1].quoted {
		return nil, fmt.Errorf("%q in quotes: the owner has none", words[1].text)
	}
	g := new(generate)
	if err := g.parseRange(words[0].text); err != nil {
		return nil, err
	}
	for _, w := range words[2 : kinds+1] {
		g.kind += w.text + " "
	}
	data := text[words[kinds+1].begin:words[len(words)-1].end]
	if len(words) == kinds+2 {
		data = words[kinds+1].text
	}
	if g.owner, err = g.parts(words[1].text); err == nil {
		g.data, err = g.parts(data)
	}
	return g, err
}

// generateWord is a word of a $GENERATE line. What is in quotes is one.
type generateWord struct {
	text       string // without the quotes, and \" in them is "
	begin, end int    // in the line, with the quotes
	quoted     bool
}

// generateWords is the words of text, up to a comment.
func generateWords(text string) (words []generateWord, err error) {
	var w *generateWord
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		blank := c == ' ' || c == '\t'
		switch {
		case c == ';' && !quoted:
			return words, nil
		case blank && !quoted:
			w = nil
			continue
		case (c == '(' || c == ')') && !quoted:
			return nil, fmt.Errorf("parentheses: write it on one line, with the data in quotes")
		case w == nil:
			words = append(words, generateWord{begin: i})
			w = &words[len(words)-1]
		}
		switch {
		case c == '"':
			quoted, w.quoted = !quoted, true
		case c == '\\' && i+1 < len(text):
			if i++; !quoted || text[i] != '"' {
				w.text += `\`
			}
			w.text += text[i : i+1]
		default:
			w.text += text[i : i+1]
		}
		w.end = i + 1
	}
	if quoted {
		return nil, fmt.Errorf("a quote without an end on the line")
	}
	return words, nil
}

var ttlOrClass = regexp.MustCompile(`(?i)^(?:[0-9][0-9wdhms]*|IN|CH|HS|CS)$`)

func isTTLOrClass(word string) bool { return ttlOrClass.MatchString(word) }

// parseRange reads FIRST-LAST or FIRST-LAST/STEP.
func (g *generate) parseRange(text string) error {
	span, step, stepped := strings.Cut(text, "/")
	first, last, ok := strings.Cut(span, "-")
	numbers := []string{first, last, step}
	if !stepped {
		numbers[2] = "1"
	}
	for i, n := range numbers {
		value, err := strconv.ParseUint(n, 10, 31)
		ok = ok && err == nil
		*[]*int64{&g.first, &g.last, &g.step}[i] = int64(value)
	}
	if !ok || g.step == 0 || g.last < g.first || (g.last-g.first)/g.step >= maxGenerateSteps {
		return fmt.Errorf("range %q: want FIRST-LAST or FIRST-LAST/STEP, as in 1-20, with at most %d steps", text, maxGenerateSteps)
	}
	g.next = g.first
	return nil
}

// parts takes text apart where the number is to stand: $, or ${OFFSET[,WIDTH[,BASE]]}. $$ and \$ are a dollar sign.
func (g *generate) parts(text string) (all []generatePart, err error) {
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case rest[0] == '\\' && len(rest) > 1:
			plain.WriteString(rest[:2])
			i++
		case strings.HasPrefix(rest, "$$"):
			plain.WriteString(`\$`)
			i++
		case rest[0] == '$':
			number := generatePart{base: 'd'}
			if strings.HasPrefix(rest, "${") {
				inside, _, ended := strings.Cut(rest[2:], "}")
				if number, err = parseGenerateNumber(inside); err != nil || !ended || g.first+number.offset < 0 {
					return nil, fmt.Errorf("${%s: want ${OFFSET}, ${OFFSET,WIDTH} or ${OFFSET,WIDTH,BASE} with a width of at most %d and "+
						"a base of d, o, x, X, n or N, and no number below 0", inside, maxGenerateWidth)
				}
				i += len(inside) + 2
			}
			all = append(all, generatePart{text: plain.String()}, number)
			plain.Reset()
		default:
			plain.WriteByte(rest[0])
		}
	}
	return append(all, generatePart{text: plain.String()}), nil
}

// parseGenerateNumber reads what stands between the braces.
func parseGenerateNumber(text string) (generatePart, error) {
	words := strings.Split(text, ",")
	words = append(words, []string{"0", "0", "d"}[min(len(words), 3):]...)
	if len(words) != 3 || len(words[2]) != 1 || !strings.Contains("doxXnN", words[2]) {
		return generatePart{}, strconv.ErrSyntax
	}
	offset, err := strconv.ParseInt(words[0], 10, 32)
	if err != nil {
		return generatePart{}, err
	}
	width, err := strconv.ParseUint(words[1], 10, 31)
	if err != nil || width > maxGenerateWidth {
		return generatePart{}, strconv.ErrRange
	}
	return generatePart{base: words[2][0], offset: offset, width: int(width)}, nil
}

// append is to with p as it is in round i.
func (p generatePart) append(to []byte, i int64) []byte {
	switch p.base {
	case 0:
		return append(to, p.text...)
	case 'n', 'N': // the digits of names in ip6.arpa
		digits := "0123456789abcdef"
		if p.base == 'N' {
			digits = strings.ToUpper(digits)
		}
		value, left := i+p.offset, p.width
		for {
			to = append(to, digits[value&15])
			value >>= 4
			if left--; left <= 0 && value == 0 {
				return to
			}
			to = append(to, '.')
			if left--; left <= 0 && value == 0 {
				return to
			}
		}
	}
	return fmt.Appendf(to, "%0*"+string(p.base), p.width, i+p.offset)
}

// Read implements io.Reader.
func (g *generate) Read(p []byte) (int, error) {
	if g.text.Len() == 0 && g.next <= g.last {
		line := g.text.AvailableBuffer()
		for _, part := range g.owner {
			line = part.append(line, g.next)
		}
		line = append(line, ' ')
		line = append(line, g.kind...)
		for _, part := range g.data {
			line = part.append(line, g.next)
		}
		g.text.Write(append(line, '\n'))
		g.next += g.step
	}
	return g.text.Read(p)
}

// parserPlace is where the parser's errors have the place.
var parserPlace = regexp.MustCompile(` at line: (\d+):\d+$`)

// located is the parser's error text about what is generated, with the line of the file.
func (g *generate) located(text string) error {
	round := g.first
	if m := parserPlace.FindStringSubmatch(text); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		round += (n - 1) * g.step
		text = strings.TrimSuffix(text, m[0])
	}
	return fmt.Errorf("%s: %s at line: %d, the $GENERATE there, for %d", g.file, text, g.line, min(round, g.last))
}
