package main

import (
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const standard = "github.com/coredns/coredns/plugin/"

// leftOut is every standard plugin that plugins.go does not have, and why.
var leftOut = map[string]string{
	standard + "azure":        "zones in Azure DNS: the Azure client libraries",
	standard + "clouddns":     "zones in Google Cloud DNS: the Google API libraries",
	standard + "route53":      "zones in AWS Route 53: the AWS client libraries",
	standard + "kubernetes":   "zones of a Kubernetes cluster: client-go",
	standard + "k8s_external": "needs kubernetes",
	standard + "etcd":         "zones in an etcd cluster: the etcd client",
	standard + "nomad":        "zones of a Nomad cluster: the Nomad client",
	standard + "trace":        "spans to DataDog or Zipkin: both client libraries",
}

// TestPluginList compares plugins.go with the list that CoreDNS itself generates.
// It parses both files rather than look at what is linked, so that it says the same
// with and without -tags full.
func TestPluginList(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/coredns/coredns").Output()
	if err != nil {
		t.Fatalf("Cannot find CoreDNS's sources: %v", err)
	}
	upstream := imports(t, filepath.Join(strings.TrimSpace(string(out)), "core", "plugin", "zplugin.go"))
	for _, problem := range comparePlugins(upstream, imports(t, "plugins.go"), leftOut) {
		t.Error(problem)
	}
}

// comparePlugins returns what is wrong with ours, a sentence for each plugin.
func comparePlugins(upstream, ours []string, leftOut map[string]string) []string {
	var problems []string
	for _, path := range upstream {
		_, out := leftOut[path]
		switch in := slices.Contains(ours, path); {
		case in && out:
			problems = append(problems, path+" is in plugins.go and in the table of plugins left out")
		case !in && !out:
			problems = append(problems, path+" is new in CoreDNS: add it to plugins.go or, with a reason, to the table of plugins left out")
		}
	}
	for _, path := range ours {
		if !slices.Contains(upstream, path) {
			problems = append(problems, path+" is in plugins.go but is no standard plugin")
		}
	}
	for path := range leftOut {
		if !slices.Contains(upstream, path) {
			problems = append(problems, path+" is in the table of plugins left out but CoreDNS has it no more")
		}
	}
	return problems
}

func TestComparePlugins(t *testing.T) {
	tests := []struct {
		name           string
		upstream, ours []string
		leftOut        map[string]string
		want           string // in the one problem; "" for none
	}{
		{"equal", []string{"a", "b"}, []string{"a"}, map[string]string{"b": "heavy"}, ""},
		{"new upstream", []string{"a", "b"}, []string{"a"}, nil, "b is new"},
		{"gone upstream", []string{"a"}, []string{"a", "b"}, nil, "b is in plugins.go but"},
		{"gone and left out", []string{"a"}, []string{"a"}, map[string]string{"b": "heavy"}, "no more"},
		{"both", []string{"a"}, []string{"a"}, map[string]string{"a": "heavy"}, "and in the table"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := comparePlugins(tc.upstream, tc.ours, tc.leftOut)
			switch {
			case tc.want == "" && len(got) != 0:
				t.Errorf("Got %q, want no problem", got)
			case tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], tc.want)):
				t.Errorf("Got %q, want one problem with %q", got, tc.want)
			}
		})
	}
}

// imports returns the paths that a Go file imports.
func imports(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if len(paths) == 0 {
		t.Fatalf("No imports found in %s", file)
	}
	return paths
}
