package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Everything that was acknowledged is there after a kill -9 at any instant, and the file is whole. Every fourth kill falls on
// a store that is being made.
func TestKilled(t *testing.T) { killed(t, 20) }

func killed(t *testing.T, times int) {
	rng := rand.New(rand.NewPCG(9, 9))
	var path string
	var before int // what the child found
	var unmade, late int
	for i := range times {
		wait := rng.IntN(25)
		if i%4 == 0 {
			path, before, wait = filepath.Join(t.TempDir(), "kms.db"), 0, 0
		}
		acknowledged := max(before, kill(t, path, wait, time.Duration(rng.Int64N(int64(4*time.Millisecond)))))
		if _, err := os.Stat(path); err != nil {
			unmade++
		}
		s, err := Open(path)
		if err != nil {
			t.Fatalf("After kill %d: %v", i, err)
		}
		there := counted(t, s)
		if there < acknowledged || there > acknowledged+1 {
			t.Errorf("After kill %d: %d was acknowledged, and %d is there", i, acknowledged, there)
		}
		if there > acknowledged {
			late++
		}
		before = there
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		examine(t, path)
	}
	t.Logf("%d kills: %d before the store was there, %d between a commit and its acknowledgement", times, unmade, late)
}

// kill starts a child that counts, kills it some time after a number of lines, and returns the last number it acknowledged.
func kill(t *testing.T, path string, lines int, after time.Duration) (acknowledged int) {
	t.Helper()
	cmd := spawn("count", path)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(stdout)
	for i := 0; ; i++ {
		line, err := in.ReadString('\n')
		if err != nil {
			break // what is cut off was not acknowledged
		}
		if acknowledged, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
			t.Errorf("The child says %q", line)
		}
		if i == lines {
			<-time.After(after) // nothing is waited for: it is the instant to be tried
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("The child: %v", err)
	}
	return acknowledged
}

// kept is how many of the last numbers a counting child keeps under keys of their own.
const kept = 64

// countChild counts from what is in the store, and prints each number when it is stored. Its changes touch several buckets,
// make the file grow and shrink within, and take from one page to many.
func countChild(path string) {
	fmt.Println(0) // so that the parent can count from before the store is opened
	s, err := Open(path)
	must(err)
	n := 0
	must(s.View(func(tx *Tx) error {
		n, _ = strconv.Atoi(string(tx.Get(Serials, "n"))) // 0 if there is none
		return nil
	}))
	for {
		n++
		must(s.Update(func(tx *Tx) error {
			must(tx.Put(Serials, "n", []byte(strconv.Itoa(n))))
			must(tx.Delete(Ledger, fmt.Sprint(n-kept)))
			return tx.Put(Ledger, fmt.Sprint(n), filler(n))
		}))
		fmt.Println(n)
	}
}

func filler(n int) []byte { return []byte(strings.Repeat(fmt.Sprint(n, " "), 1<<(n%12))) }

// counted is the number a child came to. It fails the test unless everything else fits to that number.
func counted(t *testing.T, s *Store) (n int) {
	t.Helper()
	all, err := content(s)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = strconv.Atoi(all["serials n"]); err != nil && len(all) > 0 {
		t.Fatalf("The number is %q, of %d records", all["serials n"], len(all))
	}
	for i := max(1, n-kept+1); i <= n; i++ {
		if all["ledger "+strconv.Itoa(i)] != string(filler(i)) {
			t.Errorf("%d is there, but record %d is not", n, i)
		}
	}
	if len(all) != min(n, kept)+min(n, 1) {
		t.Errorf("%d is there, with %d records", n, len(all))
	}
	return n
}
