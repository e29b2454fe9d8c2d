package main

import (
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// result is what came of one fuzz test.
type result struct {
	target
	took   time.Duration // building included
	text   string        // what go test printed
	failed bool

	runs       int // inputs tried, those of the corpus included
	found      int // of which so many reached what none had before
	corpus     int // inputs that are kept, the committed ones included
	finding    string
	inFuzzTime time.Duration // without building
}

var (
	progressLine = regexp.MustCompile(`fuzz: elapsed: (\S+), execs: (\d+) \(.*?\), new interesting: (\d+) \(total: (\d+)\)`)
	cachedLine   = regexp.MustCompile(`fuzz: elapsed: (\S+), gathering baseline coverage: (\d+)/(\d+) completed`)
	findingLine  = regexp.MustCompile(`(?:Failing input written to|failure while testing seed corpus entry:) (\S+)`)

	// Now and then Go takes the end of the time for a failure, if it comes while a worker is busy. Then this is all that it says.
	timeIsUp = regexp.MustCompile(`(?m)^--- FAIL: Fuzz\w+ \([\d.]+s\)\n    context deadline exceeded\nFAIL$`)
)

// read reads r.text.
func (r *result) read() {
	if all := progressLine.FindAllStringSubmatch(r.text, -1); len(all) > 0 {
		last := all[len(all)-1]
		r.inFuzzTime, _ = time.ParseDuration(last[1])
		r.runs, _ = strconv.Atoi(last[2])
		r.found, _ = strconv.Atoi(last[3])
		r.corpus, _ = strconv.Atoi(last[4])
	} else if all := cachedLine.FindAllStringSubmatch(r.text, -1); len(all) > 0 {
		// The time did not even suffice for what earlier runs on this machine kept: it was all tried again that far.
		last := all[len(all)-1]
		r.inFuzzTime, _ = time.ParseDuration(last[1])
		r.runs, _ = strconv.Atoi(last[2])
		r.corpus, _ = strconv.Atoi(last[3])
	}
	if m := findingLine.FindStringSubmatch(r.text); m != nil {
		r.finding = m[1]
	}
	if r.finding == "" && r.runs > 0 && timeIsUp.MatchString(r.text) {
		r.failed = false
	}
	if r.runs == 0 && !r.failed {
		// It ended well without having tried anything: there is no such test, or go test says it in other words now.
		r.failed = true
	}
}

// verdict is the result in words.
func (r result) verdict() string {
	switch {
	case r.finding != "":
		return "**failed**: " + r.finding
	case r.failed:
		return "**failed**"
	}
	return "nothing found"
}

// String is the line for one who waits.
func (r result) String() string {
	return fmt.Sprintf("%s: %s inputs in %s, %d new, %s", r.target, grouped(r.runs), r.inFuzzTime, r.found, r.verdict())
}

// report is the table of results, of which so many were had at the same time.
func report(results []result, each time.Duration, beside int, commit string) string {
	var b strings.Builder
	runs := 0
	b.WriteString("| fuzz test | inputs tried | new ones kept | corpus | time | result |\n|---|---:|---:|---:|---:|---|\n")
	for _, r := range results {
		runs += r.runs
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", r.target, grouped(r.runs), grouped(r.found), grouped(r.corpus), r.inFuzzTime, r.verdict())
	}
	fmt.Fprintf(&b, "\n%d fuzz tests %s, %s each with one worker, %d at the same time, %s inputs in all; %s, %d cores, %s.\n",
		len(results), commit, each, beside, grouped(runs), time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	return b.String()
}

// grouped is n with a comma before each three digits.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// document is where results are kept, below the top of the repository.
const document = "docs/reliability.md"
