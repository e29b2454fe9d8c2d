// Package repository is what programs that measure this repository need of it: where it is, its programs, and the pages that
// results are kept in.
package repository

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Root is the top of the repository that the program was started in.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	gomod := strings.TrimSpace(string(out))
	if filepath.Base(gomod) != "go.mod" {
		return "", fmt.Errorf("not inside the repository: run it with \"go run\" from its top")
	}
	return filepath.Dir(gomod), nil
}

// Profile is that of the program's processor time, with which the release is built; below the top of the repository.
const Profile = "build/default.pgo"

// Build compiles main packages of the repository at root into dir, each under the last element of its path.
func Build(ctx context.Context, root, dir string, packages ...string) error {
	for _, pkg := range packages {
		if err := BuildAs(ctx, root, filepath.Join(dir, filepath.Base(pkg)), pkg); err != nil {
			return err
		}
	}
	return nil
}

// BuildAs compiles one of them into file as a release is built, but with the Go that is there, and with more flags of go build
// if there are any.
func BuildAs(ctx context.Context, root, file, pkg string, flags ...string) error {
	release := []string{"build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-pgo=" + filepath.Join(root, Profile), "-o", file}
	cmd := exec.CommandContext(ctx, "go", slices.Concat(release, flags, []string{pkg})...)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// Commit is "of commit ..." of the repository at root, with a plus if the files are not quite those of it.
func Commit(ctx context.Context, root string) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty=+", "--exclude=*")
	cmd.Dir = root
	text, err := cmd.Output()
	if err != nil {
		return "of an unknown commit"
	}
	return "of commit " + strings.TrimSpace(string(text))
}
