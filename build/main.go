// Command coredns is CoreDNS with the kms plugin compiled in.
//
// It is CoreDNS's own main with three additions: the kms directive has its place
// in the order of directives, -version says which kms is inside, and
// "coredns kms COMMAND" runs a command of this project instead of a server; so
// does "coredns-kms COMMAND" under that name.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"

	_ "github.com/coredns-kms/coredns-kms" // registers the kms directive
	"github.com/coredns-kms/coredns-kms/internal/tuning"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
)

// version is stamped by the release build: -ldflags "-X main.version=1.2.3".
// When it is not, versionOf finds out what it can.
var version string

func main() {
	// Before coremain.Run: it takes any positional argument for a mistake.
	nameProgram(os.Args[0])
	if args, ok := commandLine(os.Args[1:]); ok {
		os.Exit(runCommand(commands(wall()), args, os.Stdout, os.Stderr))
	}

	if err := placeKMS(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot place the kms directive: %v\n", os.Args[0], err)
		os.Exit(1)
	}

	info, _ := debug.ReadBuildInfo()
	caddy.AppVersion = coremain.CoreVersion + "+kms-" + versionOf(version, info)
	// The third field of -version and the revision of coredns_build_info.
	coremain.GitCommit = cmp.Or(coremain.GitCommit, revision(info))
	announceCommands()
	if err := reportToSystemd(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	tuning.Run(coremain.Run)
}

// placeKMS sets the order of directives for this process, once.
func placeKMS() error {
	if slices.Contains(dnsserver.Directives, "kms") {
		return nil
	}
	directives, err := directivesWithKMS(dnsserver.Directives)
	if err != nil {
		return err
	}
	return dnsserver.SetDirectives(slices.DeleteFunc(directives, notCompiledIn))
}

// notCompiledIn says that nothing registered the directive. CoreDNS accepts such a
// directive in a Corefile as long as it is in the list, and then dies without
// naming the file or the line; out of the list, it is "Corefile:2 - Error during
// parsing: Unknown directive 'trace'".
func notCompiledIn(directive string) bool {
	_, err := caddy.DirectiveAction("dns", directive)
	return err != nil && directive != "kms"
}

// directivesWithKMS returns upstream's order of directives with kms right before
// dynupdate. Above stand the plugins that act on our answers (cache, dnssec,
// transfer, which must see an AXFR before we do); below stand the backends that we
// overlay, and dynupdate, which refuses every UPDATE that is not its own. Without
// dynupdate there is no telling where that line is, so that is an error and not a
// guess.
func directivesWithKMS(upstream []string) ([]string, error) {
	at := slices.Index(upstream, "dynupdate")
	if at < 0 {
		return nil, fmt.Errorf("CoreDNS %s has no dynupdate directive, which kms must stand before", coremain.CoreVersion)
	}
	return slices.Insert(slices.Clone(upstream), at, "kms"), nil
}

// versionOf says which kms this is: what the release build stamped; else the
// commit of the working tree; else the version that "go install …/build@v1.2.3"
// fetched; else "dev". info may be nil.
func versionOf(stamped string, info *debug.BuildInfo) string {
	if v := cmp.Or(stamped, revision(info)); v != "" {
		return v
	}
	if info != nil && info.Main.Version != "(devel)" {
		return cmp.Or(info.Main.Version, "dev")
	}
	return "dev"
}

// revision is the commit that the go command stamped, shortened, with "-dirty"
// for one that was changed; "" where it stamped none (outside a repository, or
// -buildvcs=false).
func revision(info *debug.BuildInfo) string {
	if info == nil {
		return ""
	}
	setting := make(map[string]string, len(info.Settings))
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	commit := setting["vcs.revision"]
	commit = commit[:min(len(commit), 12)]
	if commit != "" && setting["vcs.modified"] == "true" {
		commit += "-dirty"
	}
	return commit
}

// announceCommands adds a line about "kms" to -h, which otherwise lists nothing
// but CoreDNS's flags.
func announceCommands() {
	flags := flag.Usage
	flag.Usage = func() {
		flags()
		fmt.Fprintf(flag.CommandLine.Output(), "\n\"%s help\" lists the commands of the kms plugin.\n", called)
	}
}
