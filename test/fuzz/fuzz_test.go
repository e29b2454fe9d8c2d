package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFindTargets: the fuzz tests of the module, and nothing that only looks like one.
func TestFindTargets(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":                "module a\n",
		"a_test.go":             "package a\n\nfunc FuzzB(f *testing.F) {}\nfunc FuzzA(f *testing.F) {}\n// func FuzzC(f *testing.F)\nfunc FuzzD(t *testing.T) {}\n",
		"a.go":                  "package a\n\nfunc FuzzNot(f *testing.F) {}\n",
		"in/x/b_test.go":        "package x\n\nfunc FuzzX(fuzz *testing.F) {}\n",
		"other/go.mod":          "module other\n",
		"other/b_test.go":       "package other\n\nfunc FuzzOther(f *testing.F) {}\n",
		"in/testdata/b_test.go": "package x\n\nfunc FuzzData(f *testing.F) {}\n",
		".hidden/b_test.go":     "package x\n\nfunc FuzzHidden(f *testing.F) {}\n",
	} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := []target{{".", "FuzzA"}, {".", "FuzzB"}, {"in/x", "FuzzX"}}
	if got, err := findTargets(root); err != nil || !slices.Equal(got, want) {
		t.Errorf("Got %v, %v, want %v", got, err, want)
	}
}

// TestSeeds: each fuzz test begins with what somebody thought of, which go test tries as well.
func TestSeeds(t *testing.T) {
	root := filepath.Join("..", "..")
	all, err := findTargets(root)
	if err != nil || len(all) < 20 {
		t.Fatalf("Only %d fuzz tests were found: %v", len(all), err)
	}
	for _, one := range all {
		dir := filepath.Join(one.dir, "testdata", "fuzz", one.name)
		if seeds, err := os.ReadDir(filepath.Join(root, dir)); err != nil || len(seeds) == 0 {
			t.Errorf("%s has no seeds in %s: %v", one, dir, err)
		}
	}
}

// TestResult: what go test says, in good times and bad.
func TestResult(t *testing.T) {
	good := "fuzz: elapsed: 0s, gathering baseline coverage: 0/3 completed\n" +
		"fuzz: elapsed: 3s, execs: 105466 (35149/sec), new interesting: 0 (total: 3)\n" +
		"fuzz: elapsed: 1m0s, execs: 2105466 (35149/sec), new interesting: 2 (total: 5)\nPASS\nok  \tx\t10.08s\n"
	for _, tc := range []struct {
		text   string
		failed bool
		want   string
	}{
		{good, false, "x.FuzzX: 2,105,466 inputs in 1m0s, 2 new, nothing found"},
		{strings.Replace(good, "PASS", "--- FAIL: FuzzX (3.1s)\n    Failing input written to testdata/fuzz/FuzzX/5838cdfae7b16cde\n", 1), true,
			"x.FuzzX: 2,105,466 inputs in 1m0s, 2 new, **failed**: testdata/fuzz/FuzzX/5838cdfae7b16cde"},
		{"fuzz: elapsed: 0s, gathering baseline coverage: 0/340 completed\nfuzz: elapsed: 10s, gathering baseline coverage: 332/340 completed\nPASS\n",
			false, "x.FuzzX: 332 inputs in 10s, 0 new, nothing found"},
		{strings.Replace(good, "PASS\n", "--- FAIL: FuzzX (60.08s)\n    context deadline exceeded\nFAIL\n", 1), true, "x.FuzzX: 2,105,466 inputs in 1m0s, 2 new, nothing found"},
		{strings.Replace(good, "PASS\n", "--- FAIL: FuzzX (60.08s)\n    x_test.go:9: context deadline exceeded\nFAIL\n", 1), true, "x.FuzzX: 2,105,466 inputs in 1m0s, 2 new, **failed**"},
		{"--- FAIL: FuzzX (0.00s)\n    failure while testing seed corpus entry: FuzzX/http\n", true, "x.FuzzX: 0 inputs in 0s, 0 new, **failed**: FuzzX/http"},
		{"# x\n./x.go:1:1: syntax error\nFAIL x [build failed]\n", true, "x.FuzzX: 0 inputs in 0s, 0 new, **failed**"},
		{"ok  \tx\t0.008s [no tests to run]\n", false, "x.FuzzX: 0 inputs in 0s, 0 new, **failed**"},
	} {
		r := result{target: target{"x", "FuzzX"}, text: tc.text, failed: tc.failed}
		if r.read(); r.String() != tc.want {
			t.Errorf("Got %s\nwant %s", r, tc.want)
		}
	}
}

func TestReport(t *testing.T) {
	got := report([]result{{target: target{"x", "FuzzX"}, runs: 1234567, found: 2, corpus: 30, inFuzzTime: time.Minute}}, time.Minute, 2, "of commit abc")
	for _, want := range []string{"| `x.FuzzX` | 1,234,567 | 2 | 30 | 1m0s | nothing found |\n", "1 fuzz tests of commit abc, 1m0s each with one worker, 2 at the same time, 1,234,567 inputs in all"} {
		if !strings.Contains(got, want) {
			t.Errorf("Got\n%s\nwithout\n%s", got, want)
		}
	}
}
