package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// style is how a piece of text looks in a terminal: the parameters of the SGR escape sequence. The text says the same without.
type style string

const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	blue   style = "34"
)

// inColour says whether w is a terminal that has colours, for somebody who wants them.
func inColour(w io.Writer) bool {
	out, ok := w.(*os.File)
	return ok && term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
}

// lineWidth is where text on w is to be broken into lines, in columns: at the edge of a terminal, if it is not too wide to read.
// In a file lines go on, for grep.
func lineWidth(w io.Writer) int {
	out, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(out.Fd())) {
		return 0
	}
	columns, _, err := term.GetSize(int(out.Fd()))
	if err != nil || columns < 40 {
		return helpWidth
	}
	return min(columns, helpWidth)
}

// span is text in one style. Whoever it comes from, it is made harmless when it is drawn.
type span struct {
	style style
	text  string
}

// row is one line of what is shown.
type row []span

// paper is where rows are drawn.
type paper struct {
	width  int  // in columns; 0 is no bound
	colour bool // it is a terminal that has them
	ascii  bool // it has nothing but ASCII
}

// line is r as it is printed, at most p.width columns wide.
func (p paper) line(r row) string {
	var b strings.Builder
	room := p.width
	for i, s := range r {
		text := p.harmless(s.text)
		if p.width > 0 {
			if columns(text) > room || columns(text) == room && i+1 < len(r) && rowColumns(r[i+1:]) > 0 {
				text = clip(text, room-columns(p.glyph("…", "~"))) + p.glyph("…", "~")
				room = 0
			} else {
				room -= columns(text)
			}
		}
		if p.colour && s.style != plain && text != "" {
			text = "\x1b[" + string(s.style) + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
		if p.width > 0 && room == 0 {
			break
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// harmless is s without what a terminal would take for more than text.
func (p paper) harmless(s string) string {
	s = printable(s)
	if !p.ascii || strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r <= unicode.MaxASCII {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// glyph is a, or b where there is nothing but ASCII.
func (p paper) glyph(a, b string) string {
	if p.ascii {
		return b
	}
	return a
}

// runeColumns is how many columns of a terminal r takes.
func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// columns is how many columns s takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func rowColumns(r row) int {
	n := 0
	for _, s := range r {
		n += columns(printable(s.text))
	}
	return n
}

// clip is as much of s as goes into n columns.
func clip(s string, n int) string {
	for i, r := range s {
		if n -= runeColumns(r); n < 0 {
			return s[:i]
		}
	}
	return s
}

// table lays cells out in columns, two blanks apart. Those of a column in right are flush right.
func (p paper) table(cells [][]span, right ...int) []row {
	var widths []int
	for _, line := range cells {
		for i, c := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(p.harmless(c.text)))
		}
	}
	rows := make([]row, len(cells))
	for n, line := range cells {
		for i, c := range line {
			blanks := strings.Repeat(" ", widths[i]-columns(p.harmless(c.text)))
			before := ""
			for _, r := range right {
				if r == i {
					before, blanks = blanks, ""
				}
			}
			if i > 0 {
				before = "  " + before
			}
			rows[n] = append(rows[n], span{plain, before}, c)
			if i+1 < len(line) {
				rows[n] = append(rows[n], span{plain, blanks})
			}
		}
	}
	return rows
}

// wrapped is text in rows no wider than p, all but the first behind indent blanks; the first stands behind head.
func (p paper) wrapped(head row, text string, indent int) []row {
	if p.width == 0 {
		return []row{append(head, span{plain, text})}
	}
	all := []row{head}
	room := p.width - rowColumns(head)
	for i, word := range strings.Fields(p.harmless(text)) {
		if n := columns(word); i > 0 && n+1 > room {
			all = append(all, row{{plain, strings.Repeat(" ", indent)}})
			room = p.width - indent
		} else if i > 0 {
			word = " " + word
		}
		last := len(all) - 1
		all[last] = append(all[last], span{plain, word})
		room -= columns(word)
	}
	return all
}
