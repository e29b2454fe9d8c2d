package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Line is an event's comma-separated fields, each with its meaning.
type Line struct {
	Event  int      `json:"event"` // 12288, 12289, 12290, 12293 or 12294
	Fields []Field  `json:"fields"`
	Stands []string `json:"findings"`       // what stands out, in sentences
	Next   []string `json:"next,omitempty"` // what to type about it
}

// Field is one of them. Value is as it stood there: it may come from a client, and hold anything.
type Field struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Meaning string `json:"meaning,omitempty"`
	Notable bool   `json:"notable"`
}

// A shape is what the fields of an event are, in order.
type shape struct {
	event  int
	fields []field
}

type field struct {
	name string
	read func(l *Line, f *Field)
}

// shapes is the events that have fields, told apart by how many if the text does not say which it is.
var shapes = []shape{
	{12288, []field{
		{"HRESULT", readHRESULT}, {"status flags", readFlags}, {"host and port", readHost}, {"client machine id", readCMID},
		{"client's time", readTime},
		{"virtual machine", readVM}, {"licence status", readStatus}, {"minutes to expiration", readMinutes}, {"activation id", nil},
		{"needed count", readNeeded},
	}},
	{12289, []field{
		{"HRESULT", readHRESULT}, {"status flags", readFlags}, {"bound", readBound}, {"unused", nil}, {"count", readCount},
		{"activation interval", readInterval}, {"renewal interval", readInterval}, {"client's time", readTime},
	}},
	{12290, []field{
		{"HRESULT", readHRESULT}, {"needed count", readNeeded}, {"machine name", nil}, {"client machine id", readCMID},
		{"client's time", readTime},
		{"virtual machine", readVM}, {"licence status", readStatus}, {"minutes to expiration", readMinutes}, {"activation id", nil},
	}},
	{12293, []field{{"HRESULT", readHRESULT}, {"DNS domain", nil}}},
	{12294, []field{{"DNS domain", readPublished}}},
}

// ParseLine reads the fields of an event 12288, 12289, 12290, 12293 or 12294. In front of them may stand the number ("12288:",
// "event 12288,") and whatever Windows writes before "Info:"; without a number, how many fields there are tells which it is.
func ParseLine(text string) (Line, error) {
	if len(text) > maxText {
		return Line{}, fmt.Errorf("%d octets: an event has at most %d", len(text), maxText)
	}
	event, rest := eventNumber(text)
	var values []string
	for v := range strings.SplitSeq(rest, ",") {
		values = append(values, strings.TrimSpace(v))
	}
	for _, s := range shapes {
		switch {
		case event == 0 && (s.event == 12294 || len(s.fields) != len(values)):
			continue
		case event != 0 && s.event != event:
			continue
		case len(s.fields) != len(values):
			return Line{}, fmt.Errorf("event %d has %d fields with commas between, from the HRESULT on; here are %d", event,
				len(s.fields), len(values))
		}
		return s.read(values), nil
	}
	if event != 0 {
		return Line{}, fmt.Errorf("event %d has no fields that are known: 12288, 12289, 12290, 12293 and 12294 have", event)
	}
	return Line{}, fmt.Errorf("%d fields: event 12288 has 10, 12289 has 8, 12290 has 9 and 12293 has 2, with commas between",
		len(values))
}

// eventNumber takes what stands before the fields off text, and returns the number in it, or 0.
func eventNumber(text string) (int, string) {
	before, rest, ok := strings.Cut(text, "Info:")
	if !ok {
		before, rest = "", text
	}
	rest = strings.TrimSpace(rest)
	if n := digits(before); n != 0 {
		return n, rest
	}
	head := rest
	if len(head) > len("event") && strings.EqualFold(head[:len("event")], "event") {
		head = strings.TrimSpace(head[len("event"):])
	}
	end := strings.IndexFunc(head, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 || !strings.ContainsRune(":, \t", rune(head[end])) {
		return 0, rest
	}
	n := digits(head[:end])
	if n == 0 {
		return 0, rest
	}
	return n, strings.TrimLeft(head[end:], ":, \t")
}

// digits returns the first number in text that is an event's, or 0.
func digits(text string) int {
	for w := range strings.FieldsFuncSeq(text, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.ParseUint(w, 10, 32); err == nil {
			if _, ok := find(uint32(n), KindEvent); ok {
				return int(n)
			}
		}
	}
	return 0
}

func (s shape) read(values []string) Line {
	l := Line{Event: s.event, Stands: []string{}}
	for i, f := range s.fields {
		l.Fields = append(l.Fields, Field{Name: f.name, Value: values[i]})
		if f.read != nil {
			f.read(&l, &l.Fields[i])
		}
	}
	return l
}

// stands marks f and says why.
func (l *Line) stands(f *Field, why string, next ...string) {
	f.Notable = true
	l.Stands = append(l.Stands, why)
	for _, n := range next {
		if !slices.Contains(l.Next, n) {
			l.Next = append(l.Next, n)
		}
	}
}

// value is the number that an earlier field called name has.
func (l *Line) value(name string) (uint64, bool) {
	for _, f := range l.Fields {
		if f.Name == name {
			n, err := strconv.ParseUint(f.Value, 0, 32)
			return n, err == nil
		}
	}
	return 0, false
}

func readHRESULT(l *Line, f *Field) {
	n, ok := number(strings.ToLower(f.Value))
	if !ok {
		l.stands(f, "the first field is no HRESULT: the fields are shifted, or this is another event")
		return
	}
	e, known := HRESULT(n)
	if !known {
		e = takeApart(n)
	}
	f.Meaning = e.Title
	if n == 0 {
		return
	}
	why := e.Code + ": " + e.Title
	if n == 0xC004F06C {
		why += ": compare the client's time below, in UTC, with the host's"
	}
	next := []string{"coredns kms explain " + e.Code}
	if known && len(e.Causes) > 0 {
		next = append(next, e.Causes[0].Next...)
	}
	l.stands(f, why, next...)
}

func readFlags(l *Line, f *Field) {
	n, ok := number(strings.ToLower(f.Value))
	if !ok {
		l.stands(f, "the status flags are no number")
		return
	}
	names := flagNames(uint32(n))
	switch {
	case n == 0:
		f.Meaning = "none"
	case names == nil:
		f.Meaning = "with bits that are not known"
	default:
		f.Meaning = strings.Join(names, ", ")
	}
	if n&0x04000000 != 0 {
		l.stands(f, "the host counts too few clients (NOT_ENOUGH_COUNT): the client stays as it is", "coredns kms explain 0xC004F038")
	}
	if n&0x01000000 != 0 {
		l.stands(f, "the client knows no host (NO_BINDING_SERVER_REGISTRATION): DNS is to tell it one", nextDiscover)
	}
}

func readHost(l *Line, f *Field) {
	host, port, ok := strings.Cut(f.Value, ":")
	if !ok || host == "" {
		return
	}
	if port != "1688" {
		f.Meaning = "another port than 1688"
	}
	if !strings.Contains(host, ".") {
		f.Meaning = strings.TrimPrefix(f.Meaning+"; a short name: where it leads depends on the client's DNS suffix", "; ")
	}
}

func readCMID(l *Line, f *Field) {
	if f.Value == "" || strings.Trim(f.Value, "0-{}") == "" {
		l.stands(f, "the client machine id is empty: such clients count as one")
		return
	}
	f.Meaning = "machines that share it are clones of an image that was not generalised, and count as one"
}

// eventTimes is how the client's time is written, as far as is known.
var eventTimes = []string{"2006/1/2 15:04", "2006/1/2 15:04:05", "2006-1-2 15:04", "2006-1-2 15:04:05", "1/2/2006 15:04",
	"1/2/2006 3:04:05 PM"}

func readTime(l *Line, f *Field) {
	hr, _ := l.value("HRESULT")
	for _, layout := range eventTimes {
		t, err := time.Parse(layout, f.Value)
		if err != nil {
			continue
		}
		f.Meaning = "by the client's clock, UTC, " + t.Weekday().String()
		if t.Year() < 2007 {
			l.stands(f, "the client's clock is from before KMS existed: its battery or its hypervisor lost the time", nextClock, nextResync)
		}
		break
	}
	if hr == 0xC004F06C && !f.Notable {
		f.Notable = true
		f.Meaning = strings.TrimPrefix(f.Meaning+", more than four hours from the host's", ", ")
	}
}

func readVM(_ *Line, f *Field) {
	f.Meaning = map[string]string{"0": "no", "1": "yes: it counts like any other machine"}[f.Value]
}

// statuses is the licence status by its number.
var statuses = map[string]string{
	"0": "unlicensed", "1": "licensed", "2": "grace period after installation", "3": "grace period after a change of hardware, or " +
		"expired activation",
	"4": "grace period, not genuine", "5": "notification: the grace period is over", "6": "extended grace period",
}

func readStatus(l *Line, f *Field) {
	f.Meaning = statuses[f.Value]
	switch f.Value {
	case "0", "3", "4", "5":
		l.stands(f, "the client is not licensed: "+f.Meaning)
	case "1", "2", "6":
	default:
		l.stands(f, "the licence status is none of 0 to 6")
	}
}

func readMinutes(l *Line, f *Field) {
	n, err := strconv.ParseUint(f.Value, 10, 32)
	if err != nil {
		return
	}
	left := time.Duration(n) * time.Minute
	f.Meaning = count(int(left.Hours())/24, "day") + " and " + count(int(left.Hours())%24, "hour")
	switch status, _ := l.value("licence status"); {
	case n == 0 && status != 1:
		f.Meaning = "nothing left"
	case left < 30*24*time.Hour && status == 1:
		l.stands(f, "the activation runs out in "+f.Meaning+": the client has failed to renew for five months", nextDiscover)
	case left < 7*24*time.Hour && n > 0:
		l.stands(f, "in "+f.Meaning+" the grace period is over")
	}
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

func readNeeded(_ *Line, f *Field) {
	switch f.Value {
	case "25":
		f.Meaning = "a Windows client: 25 clients must have asked the host"
	case "5":
		f.Meaning = "Windows Server or Office: 5 clients must have asked the host"
	default:
		f.Meaning = "clients must have asked the host"
	}
}

func readBound(l *Line, f *Field) {
	switch f.Value {
	case "1":
		f.Meaning = "yes: the client is activated"
	case "0":
		f.Meaning = "no"
		l.stands(f, "the client was not activated by this answer")
	}
}

func readCount(l *Line, f *Field) {
	n, err := strconv.ParseUint(f.Value, 10, 32)
	switch {
	case err != nil:
	case n < 5:
		l.stands(f, fmt.Sprintf("the host has counted %d clients: too few for servers and Office (5) and for Windows clients (25)", n))
	case n < 25:
		l.stands(f, fmt.Sprintf("the host has counted %d clients: enough for servers and Office (5), too few for Windows clients (25)",
			n))
	default:
		f.Meaning = "enough for every product; a host stops at 50"
	}
}

func readInterval(_ *Line, f *Field) {
	if n, err := strconv.ParseUint(f.Value, 10, 32); err == nil {
		d := time.Duration(n) * time.Minute
		f.Meaning = fmt.Sprintf("minutes: %gh", d.Hours())
	}
}

func readPublished(_ *Line, f *Field) { f.Meaning = "where the host's record was put" }
