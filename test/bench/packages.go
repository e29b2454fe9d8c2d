package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A program is somebody else's that is measured, or measures.
type program struct {
	name     string
	label    string   // in the document
	packages []string // of Debian, that have it and what it needs
	version  []string // arguments with which it tells its version
	sign     string   // what matches the version in what it says
}

var programs = []program{
	{"dnsperf", "dnsperf", []string{"dnsperf"}, []string{"-h"}, `Version ([0-9.]+)`},
	{"named", "BIND", []string{"bind9"}, []string{"-v"}, `BIND ([0-9.]+)`},
	{"knotd", "Knot", []string{"knot"}, []string{"--version"}, `version ([0-9.]+)`},
	{"pdns_server", "PowerDNS", []string{"pdns-server", "pdns-backend-bind"}, []string{"--version"}, `Server ([0-9.]+)`},
	{"gdnsd", "gdnsd", []string{"gdnsd"}, []string{"-V"}, `version ([0-9.]+)`},
	{"haproxy", "HAProxy", []string{"haproxy"}, []string{"-v"}, `version ([0-9.]+)`},
}

// install has apt install what the benchmarks need and is not there, and says so.
func install(ctx context.Context, todo []benchmark, progress io.Writer) error {
	var missing []string
	for _, p := range programs {
		needed := slices.ContainsFunc(todo, func(b benchmark) bool { return slices.Contains(b.needs, p.name) })
		if _, err := exec.LookPath(p.name); needed && (err != nil || p.lacksBackend()) {
			missing = append(missing, p.packages...)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintln(progress, "installing", strings.Join(missing, " "))
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-qq", "--yes", "--no-install-recommends"}, missing...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		// RUNLEVEL=1: they are to be there, not to run.
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s, which takes root on Debian: %w\n%s", args[0], err, bytes.TrimSpace(said))
		}
	}
	return nil
}

// lacksBackend is whether PowerDNS is without the backend that reads zone files.
func (p program) lacksBackend() bool {
	found, _ := filepath.Glob("/usr/lib/*/pdns/libbindbackend.so")
	return p.name == "pdns_server" && len(found) == 0
}

// versions is which versions the programs are of that have these names, as far as they can tell.
func versions(names []string) string {
	var all []string
	for _, p := range programs {
		if !slices.Contains(names, p.name) {
			continue
		}
		said, _ := exec.Command(p.name, p.version...).CombinedOutput() // some tell it and fail
		if m := regexp.MustCompile(p.sign).FindSubmatch(said); m != nil {
			all = append(all, p.label+" "+string(m[1]))
		}
	}
	return strings.Join(all, ", ")
}
