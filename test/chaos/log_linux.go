package main

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"time"
)

// alarming is what stands in a line of the log that needs an explanation; deadly is what has none.
var (
	alarming = regexp.MustCompile(`\[(ERROR|PANIC|FATAL)\]|^\s*(panic|fatal error|runtime error)|plugin/errors`)
	deadly   = regexp.MustCompile(`\[(PANIC|FATAL)\]|^\s*(panic|fatal error|runtime error|goroutine \d+ \[)|nil pointer|index out of range|concurrent map`)
)

// An excuse is why a line of the log may say that something failed.
type excuse struct {
	name string
	line *regexp.Regexp
	now  func(a *arena, now time.Time) bool
}

var excuses = []excuse{
	{"the Corefile is bad", regexp.MustCompile(`Restart failed|[Rr]eload failed|Corefile`), func(a *arena, now time.Time) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return during(a.badness, now, reloadTime)
	}},
	{"no host was to be reached", regexp.MustCompile(`every KMS host|(still )?no KMS host is left`), func(a *arena, now time.Time) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return during(a.lonely, now, 90*time.Second) // it is said again once a minute, until one is back
	}},
	{"the disk is full", regexp.MustCompile(`no space left|plugin/kms.*(store|stored|kept|keep)`), func(a *arena, now time.Time) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return during(a.fulls, now, 5*time.Second)
	}},
}

// heard hears a line of the server's log.
func (a *arena) heard(line string) {
	line = strings.TrimRight(line, "\n")
	a.logMu.Lock()
	if a.logFile != nil {
		a.logFile.WriteString(line + "\n") // an aid; that it is not complete hurts nobody
	}
	a.logMu.Unlock()
	if !alarming.MatchString(line) && !deadly.MatchString(line) {
		if strings.Contains(line, "plugin/kms: pool") && !strings.Contains(line, ": call: ") || strings.Contains(line, "[INFO] Reload") {
			a.events.say("server: %s", cutAt(line, 220))
		}
		return
	}
	a.events.say("server: %s", cutAt(line, 400))
	now := time.Now()
	if !deadly.MatchString(line) {
		for _, e := range excuses {
			if e.line.MatchString(line) && e.now(a, now) {
				a.mu.Lock()
				a.logged[e.name]++
				a.mu.Unlock()
				return
			}
		}
	}
	a.violate("the log says: %s", cutAt(line, 400))
}

func cutAt(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}

// keepLog has the log written to a file.
func (a *arena) keepLog(path string) (done func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	a.logFile = bufio.NewWriter(f)
	return func() error {
		a.logMu.Lock()
		defer a.logMu.Unlock()
		a.logFile.Flush()
		a.logFile = nil
		return f.Close()
	}, nil
}
