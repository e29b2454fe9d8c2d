package packaging

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// dockerfile is ../Dockerfile as BuildKit reads it, and what its linter says of it.
func dockerfile(t *testing.T) (stages []instructions.Stage, warnings []string) {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	return lint(t, text)
}

func lint(t *testing.T, text []byte) (stages []instructions.Stage, warnings []string) {
	t.Helper()
	read, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range read.Warnings {
		warnings = append(warnings, w.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, text string, _ []parser.Range) {
		warnings = append(warnings, rule+": "+text)
	}})
	stages, _, err = instructions.Parse(read.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	return stages, warnings
}

// TestDockerfile: BuildKit reads it without a warning, and the image has nothing in it but what was built, and no root.
func TestDockerfile(t *testing.T) {
	stages, warnings := dockerfile(t)
	for _, w := range warnings {
		t.Error(w)
	}
	last := stages[len(stages)-1]
	if last.BaseName != "scratch" {
		t.Errorf("The image is made from %q, want scratch", last.BaseName)
	}
	var user string
	var exposed []string
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.ExposeCommand:
			exposed = append(exposed, c.Ports...)
		case *instructions.RunCommand:
			t.Errorf("%s: there is nothing in the image that could be run", c)
		}
	}
	if user != "65532:65532" {
		t.Errorf("It runs as %q, want numbers: a cluster cannot tell whether a name is root", user)
	}
	if want := []string{"1688/tcp", "53/tcp", "53/udp"}; !slices.Equal(slices.Sorted(slices.Values(exposed)), want) {
		t.Errorf("It exposes %q, want %q", exposed, want)
	}
}

// TestLint shows that the linter of the other tests is at work.
func TestLint(t *testing.T) {
	_, warnings := lint(t, []byte("FROM golang:1.26 as build\nMAINTAINER me\n"))
	for _, want := range []string{"FromAsCasing", "MaintainerDeprecated"} {
		if !slices.ContainsFunc(warnings, func(w string) bool { return strings.HasPrefix(w, want) }) {
			t.Errorf("Got %q, want %s among them", warnings, want)
		}
	}
}

// TestDockerfileBuildsLikeMake: the program in the image is the one in the package.
func TestDockerfileBuildsLikeMake(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	build := func(s, version string) string {
		_, flags, _ := strings.Cut(s, "go build ")
		flags, _, _ = strings.Cut(flags, " -o ")
		return strings.NewReplacer(`"`, "'", version, "1.2.3").Replace(flags)
	}
	stages, _ := dockerfile(t)
	for _, c := range stages[0].Commands {
		if run, ok := c.(*instructions.RunCommand); ok && strings.Contains(run.String(), "go build ") {
			inImage, inPackage := build(strings.Join(run.CmdLine, " "), "${VERSION}"), build(string(makefile), "$(VERSION)")
			if inImage != inPackage || inImage == "" {
				t.Errorf("The image is built with %q, the package with %q", inImage, inPackage)
			}
			return
		}
	}
	t.Error("Nothing is built")
}
