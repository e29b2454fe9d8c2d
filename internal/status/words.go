package status

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// stateOrder is every state of a host, in the order in which people are told of them.
var stateOrder = []string{"down", "suspect", "unchecked", "claimed", "drained", "up", "responder"}

// shape is the name of the picture for a state: the state itself, or that of what nobody drew a picture for.
func shape(state string) string {
	for _, s := range stateOrder {
		if s == state {
			return s
		}
	}
	return "unchecked"
}

// stateNotes say what a state means, for those who see it for the first time.
var stateNotes = map[string]string{
	"up":        "passes its probes",
	"suspect":   "failed lately: answered behind every healthy host",
	"down":      "failed often enough: not answered",
	"unchecked": "not asked yet: answered all the same",
	"claimed":   "announced itself and has not proved yet that it serves: not answered",
	"drained":   "taken out by a person: not answered",
	"responder": "this server itself, which carries calls to a live host",
}

// resultWords are the results of calls, as people put them.
var resultWords = map[string]string{
	"forwarded_ok":    "a host took the request",
	"forwarded_error": "a host answered an error",
	"declined":        "every host declined",
	"no_host":         "no host was alive",
	"failed":          "no host answered in time",
	"unreadable":      "not a KMS request",
}

// refusalWords are why clients were turned away.
var refusalWords = map[string]string{
	"network":     "from a network that may not call",
	"connections": "all connections were taken",
	"client":      "too many connections of one client",
	"rate":        "too many requests of one client",
	"loop":        "calls that came back while under way",
}

// zoneWords are the results of DNS answers.
var zoneWords = map[string]string{
	"normal":    "live hosts are answered",
	"fail_open": "answered although no host is known to be alive",
	"nodata":    "an empty answer",
	"servfail":  "SERVFAIL",

	"fallthrough": "another plugin of the server answered",
}

// conditionWords are the conditions of a pool.
var conditionWords = map[string]string{
	"calm":           "calm",
	"unsettled":      "unsettled",
	"self-suspected": "suspects itself",
	"all-down":       "all down",
}

// word looks s up, and is s itself if that is new here.
func word(words map[string]string, s string) string {
	if w, ok := words[s]; ok {
		return w
	}
	return strings.ReplaceAll(s, "_", " ")
}

// span is a time in the two largest units that it has: "2 d 4 h", "3 min", "12 s".
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "under 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 10*time.Minute && d%time.Minute >= time.Second:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		if m := int(d.Minutes()) % 60; m != 0 {
			return fmt.Sprintf("%d h %d min", int(d.Hours()), m)
		}
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	days, hours := int(d.Hours())/24, int(d.Hours())%24
	if hours != 0 && days < 10 {
		return fmt.Sprintf("%d d %d h", days, hours)
	}
	return fmt.Sprintf("%d d", days)
}

// seconds is span for what is given in seconds.
func seconds(s float64) string { return span(duration(s)) }

// duration is s seconds, within the bounds of a duration.
func duration(s float64) time.Duration {
	if math.IsNaN(s) {
		return 0
	}
	return time.Duration(min(max(s, 0), 1e9) * float64(time.Second))
}

// ago says how long before now t was.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if now.Sub(t) < time.Second {
		return "just now"
	}
	return span(now.Sub(t)) + " ago"
}

// clock is t as one reads it off a wall: with the day if that is another one than today.
func clock(now, t time.Time) string {
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04")
}

// took is a short time, to two digits: "0.43 ms", "12 ms", "1.2 s".
func took(s float64) string {
	ms := s * 1000
	switch {
	case math.IsNaN(ms) || ms <= 0:
		return "0 ms"
	case ms < 1:
		return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(s, 'f', 1, 64) + " s"
}

// percent is a share of 1, in whole percents where that says enough.
func percent(share float64) string {
	p := share * 100
	switch {
	case math.IsNaN(p) || p <= 0:
		return "0 %"
	case p < 1:
		return "under 1 %"
	case p < 100 && p > 99:
		return "over 99 %"
	}
	return strconv.Itoa(int(math.Round(p))) + " %"
}

// number is n with a comma between thousands.
func number(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted is n of what, in the singular or the plural.
func counted(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + several
}

// sentence is s as one: with a capital, unless it begins with a name, and an end.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	word, _, _ := strings.Cut(s, " ")
	if !strings.ContainsAny(strings.TrimRight(word, ".,:;"), ".:-_0123456789") {
		first, size := utf8.DecodeRuneInString(s)
		s = string(unicode.ToUpper(first)) + s[size:]
	}
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// remark is what Why says of h beyond its state, for how long and the error, which stand beside it.
func remark(h Host) string {
	if h.Error != "" && strings.Contains(h.Why, h.Error) || strings.HasPrefix(h.Why,
		h.State+" for ") && !strings.ContainsAny(h.Why, ":;,") {
		return ""
	}
	return sentence(h.Why)
}
