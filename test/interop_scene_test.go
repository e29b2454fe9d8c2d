//go:build interop

package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// scene is where one document is played: a machine with BIND, three KMS hosts, and the server that the text is about.
type scene struct {
	document *testing.T // with which whatever the text goes on with ends
	dir      string     // working directory of all commands
	zone     string     // corp.example.org, as BIND has it
	bind     *process
	kms      *process // at present; nil before the first
	hosts    [3]*process
	log      *output // of all CoreDNS
}

// wait is how long a server may take to start, or to notice something.
const wait = 20 * time.Second

// output is what processes write.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a program that goes on running.
type process struct {
	out   *output
	end   func() // kills it; may be called again
	ended <-chan struct{}
}

// start starts a program in the scene's directory until t ends.
func (s *scene) start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	ended := make(chan struct{})
	p := &process{out: new(output), ended: ended}
	cmd := exec.Command(lookProgram(t, name), args...)
	cmd.Dir, cmd.Stdout = s.dir, p.out
	if name == "coredns" {
		cmd.Stdout = io.MultiWriter(p.out, s.log)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	go func() {
		cmd.Wait() // it is killed
		close(ended)
	}()
	p.end = func() {
		cmd.Process.Kill() // it may be over
		<-ended
	}
	t.Cleanup(p.end)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s %s:\n%s", name, strings.Join(args, " "), p.out)
		}
	})
	return p
}

// rehearse starts the i-th rehearsal host, which stands for a KMS host.
func (s *scene) rehearse(t *testing.T, i int) *process {
	t.Helper()
	at := fmt.Sprintf(hostsAt, i+1) + ":1688"
	p := s.start(s.document, "coredns", "kms", "rehearse", "-listen", at)
	p.says(t, "until it is stopped")
	return p
}

// write makes a file in the scene's directory and returns its path.
func (s *scene) write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// check runs a program that looks a configuration over.
func (s *scene) check(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, ok := program(t, name, args...); !ok {
		t.Fatalf("%s %s:\n%s", name, strings.Join(args, " "), out)
	}
}

// shell runs a command line.
func (s *scene) shell(t *testing.T, line string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// agree waits until the server at address answers for name as the kms of the text does.
func (s *scene) agree(t *testing.T, address, name string) {
	t.Helper()
	await(t, wait, address+" answers for "+name+" as kms does", func() bool {
		theirs := s.answer(address, name)
		return len(theirs) > 0 && slices.Equal(theirs, s.answer(kmsAt, name))
	})
}

// answer is the SRV records that a server has of name, sorted.
func (s *scene) answer(address, name string) []string {
	records := strings.Fields(strings.ReplaceAll(dig(address, name, "SRV"), " ", "_"))
	slices.Sort(records)
	return records
}

// dig is what dig +short has to say; nothing if there is no answer.
func dig(address, name, qtype string, more ...string) string {
	args := append([]string{"-r", "@" + address, "+short", "+tries=1", "+time=1", name, qtype}, more...)
	out, err := exec.Command("dig", args...).Output()
	if err != nil || strings.HasPrefix(string(out), ";") {
		return ""
	}
	return string(out)
}

// says waits until p has written something.
func (p *process) says(t *testing.T, what string) {
	t.Helper()
	pattern := regexp.MustCompile(what)
	await(t, wait, "output like "+what, func() bool { return pattern.MatchString(p.out.String()) })
}

// fetch returns the page at url.
func fetch(t *testing.T, url string) string {
	t.Helper()
	reply, err := (&http.Client{Timeout: wait}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	page, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", url, reply.Status, err, page)
	}
	return string(page)
}
