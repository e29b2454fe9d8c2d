package pool

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// members reads "name:priority:state" words; a trailing ! marks a host that self-suspicion holds, a
// trailing ? one whose name does not resolve.
func parseMembers(t *testing.T, script string) []member {
	t.Helper()
	var all []member
	for _, w := range strings.Fields(script) {
		var m member
		w, m.held = strings.CutSuffix(w, "!")
		w, m.lost = strings.CutSuffix(w, "?")
		parts := strings.Split(w, ":")
		m.record.Endpoint = parts[0]
		if _, err := fmt.Sscan(parts[1], &m.record.Priority); err != nil {
			t.Fatal(err)
		}
		for _, s := range States() {
			if s.String() == parts[2] {
				m.state = s
			}
		}
		all = append(all, m)
	}
	return all
}

func TestAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		members string
		want    string // endpoint:priority
		c       Condition
	}{
		"all up, as configured":                    {"a:0:up b:10:up c:10:up", "a:0 b:10 c:10", Calm},
		"sorted by priority":                       {"a:10:up b:0:up", "b:0 a:10", Calm},
		"unchecked is offered":                     {"a:0:unchecked b:1:up", "a:0 b:1", Calm},
		"down is not":                              {"a:0:down b:1:up", "b:1", Calm},
		"drained is not":                           {"a:0:drained b:1:up", "b:1", Calm},
		"suspect goes behind every healthy":        {"a:0:suspect b:10:up c:20:up", "b:10 c:20 a:21", Unsettled},
		"suspects keep their own order":            {"a:5:suspect b:0:suspect c:7:up d:5:suspect", "c:7 b:8 a:9 d:9", Unsettled},
		"suspect in the last tier stays there":     {"a:0:up b:0:suspect", "a:0 b:1", Unsettled},
		"no number left behind 65535":              {"a:65535:up b:0:suspect c:3:up", "c:0 a:1 b:2", Unsettled},
		"number 65535 is just enough":              {"a:65534:up b:0:suspect", "a:65534 b:65535", Unsettled},
		"only suspects stay as configured":         {"a:0:suspect b:5:suspect c:0:down", "a:0 b:5", Unsettled},
		"all down: the first tier, not a merge":    {"a:10:down b:0:down c:0:down d:20:down", "b:0 c:0", AllDown},
		"all down: drained is not resurrected":     {"a:0:drained b:10:down c:20:down", "b:10", AllDown},
		"all drained: nothing":                     {"a:0:drained b:10:drained", "", AllDown},
		"self-suspected: the last good answer":     {"a:0:down! b:10:suspect! c:10:down!", "a:0 b:10 c:10", SelfSuspected},
		"self-suspected: long dead stays out":      {"a:0:down b:10:suspect! c:10:down!", "b:10 c:10", SelfSuspected},
		"a name that does not resolve goes behind": {"a:0:unchecked? b:1:up c:2:suspect", "b:1 a:2 c:3", Unsettled},
		"and does not count as somebody":           {"a:0:unchecked? b:1:down", "a:0", AllDown},
		"and does not hide a suspect":              {"a:0:unchecked? b:1:suspect", "b:1 a:2", Unsettled},
		"beside the healthy all is calm":           {"a:0:unchecked? b:1:up", "b:1 a:2", Calm},
		"nothing but names that do not resolve":    {"a:0:unchecked? b:1:unchecked?", "a:0 b:1", Unsettled},
		"self-suspected: no drained host":          {"a:0:drained b:10:suspect! c:10:down!", "b:10 c:10", SelfSuspected},
		"claimed is not":                           {"a:0:claimed b:1:up", "b:1", Calm},
		"claimed holds back no all-down":           {"a:0:claimed b:1:down", "b:1", AllDown},
		"nothing but claims":                       {"a:0:claimed b:1:claimed", "", AllDown},
		"nobody at all":                            {"", "", AllDown},
		"claimed beside a suspect":                 {"a:0:claimed b:1:suspect", "b:1", Unsettled},
		"claimed beside a name without address":    {"a:0:claimed b:1:unchecked?", "b:1", Unsettled},
		"self-suspected: no claim":                 {"a:0:claimed b:10:suspect! c:10:down!", "b:10 c:10", SelfSuspected},
	} {
		t.Run(name, func(t *testing.T) {
			records, c := answer(parseMembers(t, tt.members))
			var got []string
			for _, r := range records {
				got = append(got, fmt.Sprintf("%s:%d", r.Endpoint, r.Priority))
			}
			if s := strings.Join(got, " "); s != tt.want || c != tt.c {
				t.Errorf("Got %q, %s, want %q, %s", s, c, tt.want, tt.c)
			}
		})
	}
}

func TestSuspicion(t *testing.T) {
	const interval = 11 * time.Second
	start := time.Unix(1e9, 0)
	failed := func(after time.Duration) streak { return streak{failing: true, began: start.Add(after)} }
	up, neverUp := streak{}, streak{failing: true}
	now := start.Add(time.Minute)
	for name, tt := range map[string]struct {
		before suspicion
		hosts  []streak
		want   bool
	}{
		"all within one interval":            {suspicion{}, []streak{failed(0), failed(5 * time.Second), failed(11 * time.Second)}, true},
		"one still up":                       {suspicion{}, []streak{failed(0), up}, false},
		"one host alone shares nothing":      {suspicion{}, []streak{failed(0)}, false},
		"one long dead, one now":             {suspicion{}, []streak{failed(-time.Hour), failed(0)}, false},
		"one long dead, two now":             {suspicion{}, []streak{failed(-time.Hour), failed(0), failed(time.Second)}, true},
		"never up is no witness":             {suspicion{}, []streak{neverUp, neverUp, failed(0)}, false},
		"too far apart":                      {suspicion{}, []streak{failed(0), failed(12 * time.Second)}, false},
		"one of them spoke":                  {suspicion{}, []streak{failed(0), {failing: true, began: start, spoke: true}}, false},
		"no hosts":                           {suspicion{}, nil, false},
		"held for almost as long as allowed": {suspicion{since: now.Add(-hold + 1)}, []streak{failed(0), failed(0)}, true},
		"held to the end":                    {suspicion{since: now.Add(-hold)}, []streak{failed(0), failed(0)}, false},
		"all drained or claimed meanwhile":   {suspicion{since: now.Add(-time.Second)}, nil, false},
		"not again before one is back":       {suspicion{since: start, spent: true}, []streak{failed(0), failed(0)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.before.next(now, tt.hosts, interval); got.active() != tt.want {
				t.Errorf("Got %+v, want active %v", got, tt.want)
			}
		})
	}
	if got := (suspicion{since: start, spent: true}).next(now, []streak{up}, interval); got != (suspicion{}) {
		t.Errorf("With a host back: got %+v, want a fresh start", got)
	}
}
