package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// load is one run of dnsperf.
type load struct {
	port    string // of the server, on 127.0.0.1
	queries string // the file
	seconds int
	rate    int    // queries a second; 0 is as many as come back
	network string // udp, or tcp; udp if empty
	once    bool   // it is over after every query was sent once
}

// outcome is what dnsperf found.
type outcome struct {
	completed, lost int
	perSecond       float64
	octets          int             // of an answer, average
	latencies       []time.Duration // of each, at a fixed rate
}

// run sends queries from 20 sockets, with 200 under way at most. At a fixed rate a query that would be one too many waits, so
// the latency of a server that stands still is told too low; it is counted from when the query was sent.
func (l load) run(ctx context.Context) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(l.seconds)*time.Second+15*time.Second)
	defer cancel()
	args := []string{"-s", "127.0.0.1", "-p", l.port, "-d", l.queries, "-l", strconv.Itoa(l.seconds), "-e",
		"-c", "20", "-T", "1", "-q", "200", "-t", "1"}
	if l.rate > 0 {
		args = append(args, "-Q", strconv.Itoa(l.rate), "-v")
	}
	if l.once {
		args = append(args, "-n", "1")
	}
	if l.network != "" {
		args = append(args, "-m", l.network)
	}
	report, err := exec.CommandContext(ctx, "dnsperf", args...).CombinedOutput()
	if err != nil {
		return outcome{}, fmt.Errorf("dnsperf: %w\n%s", err, end(report))
	}
	return parseReport(report)
}

// errLost is a run in which more than one query in ten got lost. A few do whenever the machine is busy: the server's buffer in
// the kernel holds less than what comes in ten milliseconds. More is a machine that stood still.
var errLost = errors.New("too many queries got lost")

// parseReport reads the statistics that dnsperf ends with. A run with other answers than NOERROR measured something else.
func parseReport(report []byte) (outcome, error) {
	var missing error
	number := func(what string) float64 {
		m := regexp.MustCompile(what + ` +([0-9.]+)`).FindSubmatch(report)
		if m == nil {
			missing = fmt.Errorf("no %q in dnsperf's report:\n%s", what, end(report))
			return 0
		}
		n, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			missing = err
		}
		return n
	}
	o := outcome{
		completed: int(number("Queries completed:")),
		lost:      int(number("Queries lost:")),
		perSecond: number("Queries per second:"),
		octets:    int(number(`Average packet size: +request [0-9]+, response`)),
		latencies: answerTimes(report),
	}
	good := int(number("Response codes: +NOERROR"))
	switch {
	case missing != nil:
		return o, missing
	case good != o.completed:
		return o, fmt.Errorf("not every answer is NOERROR:\n%s", end(report))
	case o.completed == 0 || o.lost*10 > o.completed:
		return o, fmt.Errorf("%w:\n%s", errLost, end(report))
	}
	return o, nil
}

// end is the last octets of a report, for people: a verbose one has a line for each answer.
func end(report []byte) []byte { return report[max(0, len(report)-600):] }

// answerTimes is the latencies in a verbose report, which has a line for each answer: "> NOERROR NAME TYPE SECONDS".
func answerTimes(report []byte) (all []time.Duration) {
	for line := range bytes.Lines(report) {
		fields := bytes.Fields(line)
		if len(fields) != 5 || string(fields[0]) != ">" {
			continue
		}
		if s, err := strconv.ParseFloat(string(fields[4]), 64); err == nil {
			all = append(all, time.Duration(s*float64(time.Second)))
		}
	}
	return all
}
