package explain

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// facilities is who issues HRESULTs, as far as they turn up near activation.
var facilities = map[uint32]string{
	0: "NULL", 1: "RPC", 2: "DISPATCH", 3: "STORAGE", 4: "ITF: the component decides, which for 0xC004.... is Software Protection",
	7: "WIN32", 8: "WINDOWS",
	9: "SECURITY", 10: "CONTROL", 11: "CERT", 12: "INTERNET", 15: "SETUPAPI", 36: "WINDOWSUPDATE",
}

const (
	facilityWin32 = 7
	facilityITF   = 4
)

// takeApart says of a number that is not in the table what can be said of any.
func takeApart(n uint32) Entry {
	e := Entry{Code: fmt.Sprintf("0x%08X", n), Kind: KindUnknown, value: n, See: []string{seeErrors}}
	code, facility := n&0xffff, n>>16&0x7ff
	switch {
	case n <= 0xffff:
		e.Code = fmt.Sprint(n)
		e.Title = fmt.Sprintf("Not known here: the Win32 error %d (0x%08X as an HRESULT), or an event", n, 0x80070000|n)
		e.Meaning = "A number of this size is an error of Windows in general, or the number of an event. None of those that KMS " +
			"knows has it."
		e.Causes = append(e.Causes, Cause{"ask Windows for its text", []string{fmt.Sprintf("net helpmsg %d", n)}})
	case n>>28 == 0xc && facility != facilityITF:
		e.Title = fmt.Sprintf("Not known here: an NTSTATUS, facility %d, code 0x%04X", n>>16&0xfff, code)
		e.Meaning = "Beginning with 0xC, and not 0xC004, it is an NTSTATUS: an error of the system below, not of activation."
		e.Causes = append(e.Causes, Cause{"ask Windows for its text", []string{"certutil -error " + e.Code}})
	case n>>31 == 0:
		e.Title = fmt.Sprintf("Not known here: no failure as an HRESULT, facility %d, code 0x%04X", facility, code)
		e.Meaning = "The highest bit says failure, and is not set. It may be the status of an RPC fault, or flags."
		e.Causes = append(e.Causes, Cause{"ask Windows for its text", []string{"certutil -error " + e.Code}})
	default:
		e.Title = fmt.Sprintf("Not known here: a failure, facility %d (%s), code %d (0x%04X)", facility, cmp.Or(facilities[facility],
			"unknown"), code, code)
		e.Meaning = "Not one of the codes that a client without a KMS host meets. What issued it is in its middle, the facility."
		ask := []string{"slui.exe 0x2a " + e.Code}
		if facility == facilityWin32 {
			e.Meaning = fmt.Sprintf("0x8007 is the sign of a Win32 error: this is error %d of Windows in general.", code)
			ask = append(ask, fmt.Sprintf("net helpmsg %d", code))
		}
		e.Causes = append(e.Causes, Cause{"ask Windows for its text", ask})
	}
	for _, like := range near(strings.ToLower(e.Code), 2) {
		e.Causes = append(e.Causes, Cause{"mistyped: " + like.Code + " is " + like.Title, []string{"coredns kms explain " + like.Code}})
	}
	if n > 0xffff {
		e.Causes = append(e.Causes, Cause{"what was tried when it came", []string{nextClientLog}})
	}
	return e
}

// noCode is the error for text without a code in it.
func noCode(text string) error {
	if text == "" {
		return errors.New("no code: write one as in 0xC004F074, 12288 or NXDOMAIN")
	}
	shown := []rune(text)
	if len(shown) > 40 {
		shown = append(shown[:40], []rune("...")...)
	}
	message := fmt.Sprintf("%q is no code: write one as in 0xC004F074, -1073418124, 12288 or NXDOMAIN", string(shown))
	var codes []string
	if len(text) <= maxNear {
		for _, like := range near(strings.ToLower(text), 1+len(text)/4) {
			codes = append(codes, like.name)
		}
	}
	if len(codes) > 0 {
		message += "; did you mean " + strings.Join(codes, " or ") + "?"
	}
	return errors.New(message)
}

// maxNear is the longest text that is compared with every code and name.
const maxNear = 64

// A likeness is an entry that text may have been meant to be, by which name, and how many changes away.
type likeness struct {
	Entry
	name    string
	changes int
}

// near returns the entries with the fewest changes to text (lower case), at most 3 of them and at most limit changes away.
func near(text string, limit int) []likeness {
	var all []likeness
	for _, e := range entries {
		best := likeness{Entry: e, changes: limit + 1}
		for _, name := range append([]string{e.Code}, e.Names...) {
			if d := distance(text, strings.ToLower(name)); d < best.changes {
				best.name, best.changes = name, d
			}
		}
		if best.changes <= limit {
			all = append(all, best)
		}
	}
	slices.SortStableFunc(all, func(a, b likeness) int { return cmp.Compare(a.changes, b.changes) })
	all = slices.DeleteFunc(all, func(l likeness) bool { return l.changes > all[0].changes })
	return all[:min(len(all), 3)]
}

// distance is how many octets have to be inserted, deleted, replaced or swapped with their neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
