//go:build interop

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inShell runs script in a shell for which this test binary is coredns, with the completion of coredns in the file $COMPLETION,
// and returns what it prints.
func inShell(t *testing.T, shell, script string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "completion")
	text, err := completionScripts.ReadFile("completion/coredns." + shell)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err == nil {
		err = os.Symlink(os.Args[0], filepath.Join(dir, "coredns"))
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), shell, append(args, "-c", script)...)
	cmd.Env = append(os.Environ(), runMain+"=1", "COMPLETION="+file, "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+dir, "SOCKET="+saying(t, hostsToComplete))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil || errs.Len() > 0 {
		t.Fatalf("%s: %v, %s%s", shell, err, out.String(), errs.String())
	}
	return out.String()
}

const hostsToComplete = `{"version":1,"pools":[{"name":"a","condition":"calm","hosts":[{"endpoint":"kms1.example.org:1688","state":"up"},
	{"endpoint":"kms2.example.org:1688","state":"up"},{"endpoint":"kms2.example.org:1689","state":"up"}]}]}`

// completeLines are lines that end where the key is pressed, and what must be offered.
var completeLines = []struct{ line, want string }{
	{"coredns k", "kms"},
	{"coredns -con", "-conf"},
	{"coredns kms drai", "drain"},
	{"coredns kms help und", "undrain"},
	{"coredns kms probe -time", "-timeout"},
	{"coredns kms probe -kind ", "rpc tcp"},
	{"coredns kms probe -kind r", "rpc"},
	{"coredns kms drain -socket $SOCKET kms1", "kms1.example.org"},
	{"coredns kms drain -socket=$SOCKET kms1", "kms1.example.org"},
}

func TestCompletionInBash(t *testing.T) {
	// As bash itself calls the function, which has no bash-completion to help it.
	script := `source "$COMPLETION"
		press() {
			COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
			read -ra COMP_WORDS <<<"$1"
			COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
			_coredns
			printf '%s\n' "${COMPREPLY[*]}"
		}
		complete -p coredns >/dev/null
	`
	lines := append(completeLines,
		struct{ line, want string }{"coredns kms probe -kind=r", "rpc"}, // bash replaces what stands behind the sign
		struct{ line, want string }{"coredns kms drain -socket $SOCKET kms2.example.org:16", "1688 1689"},
		struct{ line, want string }{"~/coredns kms drai", "drain"},
		struct{ line, want string }{"coredns -conf ", ""},
	)
	for _, l := range lines {
		if got := inShell(t, "bash", script+`press "`+l.line+`"`, "--norc"); strings.TrimSpace(got) != l.want {
			t.Errorf("%q: %q, want %q", l.line, got, l.want)
		}
	}
}

func TestCompletionInFish(t *testing.T) {
	inShell(t, "fish", "fish --no-execute $COMPLETION")
	for _, l := range completeLines {
		got := inShell(t, "fish", `source $COMPLETION; complete -C "`+l.line+`"`, "--no-config")
		var words []string
		for line := range strings.Lines(got) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			words = append(words, word)
		}
		if strings.Join(words, " ") != l.want {
			t.Errorf("%q: %q, want %q", l.line, got, l.want)
		}
	}
	if got := inShell(t, "fish", `source $COMPLETION; complete -C "coredns -conf $COMPLETION"`, "--no-config"); !strings.Contains(got, "/completion") {
		t.Errorf("A file: %q", got)
	}
}

// TestCompletionInZsh: zsh completes in its line editor only, so here its functions say what they were told.
func TestCompletionInZsh(t *testing.T) {
	inShell(t, "zsh", "zsh -n $COMPLETION")
	script := `compdef() { print "compdef $*" }
		source $COMPLETION
		_describe() { print -r -- "${candidates%%:*}" }
		_files() { print files }
		press() { words=("${(@s: :)1}"); CURRENT=${#words}; _coredns }
	`
	for _, l := range append(completeLines, struct{ line, want string }{"coredns -conf ", "files"}) {
		if got := inShell(t, "zsh", script+`press "`+l.line+`"`, "-f"); strings.TrimSpace(got) != strings.TrimSpace("compdef _coredns coredns\n"+l.want) {
			t.Errorf("%q: %q, want %q", l.line, got, l.want)
		}
	}
}
