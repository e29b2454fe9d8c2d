//go:build interop

package packaging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// run is what a program printed. It fails the test if the program does.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

func try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// made holds what tests make of the tree, by version. It is removed with the last test: see TestMain.
var made struct {
	sync.Mutex
	dir string
}

func TestMain(m *testing.M) {
	var err error
	if made.dir, err = os.MkdirTemp("", "coredns-kms-packaging-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(made.dir)
	os.Exit(code)
}

// deb makes the package of a version, once, and returns its path. What was built for it is beside it.
func deb(t *testing.T, version string) string {
	t.Helper()
	made.Lock()
	defer made.Unlock()
	dist := filepath.Join(made.dir, version)
	if _, err := os.Stat(dist); errors.Is(err, os.ErrNotExist) {
		makeDeb(t, version, "..", dist)
	}
	return single(t, filepath.Join(dist, "*.deb"))
}

// makeDeb calls make as a packager does who has no repository: with the version and its time.
func makeDeb(t *testing.T, version, tree, dist string) {
	t.Helper()
	run(t, "make", "-C", tree, "deb", "VERSION="+version, "DIST="+dist, "SOURCE_DATE_EPOCH=1772323200")
}

// program is the binary of a version, as the package has it.
func program(t *testing.T, version string) string {
	t.Helper()
	return single(t, filepath.Join(filepath.Dir(deb(t, version)), "*", "coredns-kms"))
}

func single(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q, %v; want one", pattern, found, err)
	}
	return found[0]
}

// TestReproducible: the package of a version is the same, octet for octet, wherever and whenever it is made: here, and from a
// copy of the tree elsewhere. Compiled packages come from Go's build cache the second time; "make twice" does without.
func TestReproducible(t *testing.T) {
	first := deb(t, "1.0.0")
	elsewhere, again := t.TempDir(), t.TempDir()
	run(t, "sh", "-ec", "tar -C .. -c --exclude=./.git --exclude=./dist --exclude=node_modules . | tar -C "+elsewhere+" -x")
	makeDeb(t, "1.0.0", elsewhere, again)
	one, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(single(t, filepath.Join(again, "*.deb")))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, other) {
		t.Errorf("Two packages of one tree differ: %d and %d octets", len(one), len(other))
	}
}

// TestLintian: Debian's own check finds nothing but what the package says why about.
func TestLintian(t *testing.T) {
	if out, err := try(t, "lintian", "--allow-root", "--fail-on", "error,warning", deb(t, "1.0.0")); err != nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDocuments: what the documents of the package refer to, pictures included, is in the package.
func TestDocuments(t *testing.T) {
	root := t.TempDir()
	run(t, "dpkg-deb", "--extract", deb(t, "1.0.0"), root)
	documents, links := 0, 0
	err := filepath.WalkDir(filepath.Join(root, "usr", "share", "doc"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		documents++
		for _, m := range regexp.MustCompile(`\]\(([^)\s#:]+)(#[^)\s]*)?\)`).FindAllSubmatch(text, -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), string(m[1]))); err != nil {
				t.Errorf("%s refers to %s: %v", filepath.Base(path), m[1], err)
			}
		}
		return err
	})
	if err != nil || documents < 10 || links < 20 {
		t.Errorf("%d documents with %d links: %v", documents, links, err)
	}
}

// TestManuals: every man page of the package is one that man shows without complaint.
func TestManuals(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(filepath.Dir(deb(t, "1.0.0")), "documents", "man", "*.gz"))
	if err != nil || len(pages) < 8 {
		t.Fatalf("Only %q, %v", pages, err)
	}
	for _, page := range pages {
		if out := run(t, "man", "--warnings", "--encoding=UTF-8", "--local-file", "--pager=cat", page); len(out) < 200 {
			t.Errorf("%s: %q", page, out)
		}
	}
}

// A system is a small Debian in a directory, with a network of its own in which it is alone.
type system struct {
	t    *testing.T
	root string
	net  string // the network namespace
}

// debian makes a system that the test ends with. It has no service manager, as no container has.
func debian(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, root: filepath.Join(t.TempDir(), "root"), net: fmt.Sprintf("coredns-kms-%d", os.Getpid())}
	release := run(t, "sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME")
	run(t, "mmdebstrap", "--quiet", "--mode=root", "--variant=essential", "--include=systemd-standalone-sysusers", release, s.root)
	run(t, "ip", "netns", "add", s.net)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", s.net).CombinedOutput(); err != nil {
			t.Errorf("The network %s stays: %v %s", s.net, err, out)
		}
	})
	run(t, "ip", "-n", s.net, "link", "set", "lo", "up")
	return s
}

// sh runs a command line inside, as root.
func (s *system) sh(line string) string {
	s.t.Helper()
	return run(s.t, "chroot", s.root, "/bin/sh", "-ec", line)
}

// install gives the package at path, made outside, to dpkg inside.
func (s *system) install(path string) {
	s.t.Helper()
	run(s.t, "cp", path, filepath.Join(s.root, "tmp"))
	s.sh("dpkg --install /tmp/" + filepath.Base(path))
}

// want fails unless the command line prints this.
func (s *system) want(line, want string) {
	s.t.Helper()
	if got := s.sh(line); got != want {
		s.t.Errorf("%s\ngot:  %s\nwant: %s", line, got, want)
	}
}

// serve starts the installed server as its unit does, short of what only systemd can do, and returns how to end it.
func (s *system) serve() (stop func()) {
	s.t.Helper()
	s.sh("install -d -m 0750 -o coredns-kms -g coredns-kms /var/lib/coredns-kms /run/coredns-kms")
	log := new(bytes.Buffer)
	cmd := exec.Command("ip", "netns", "exec", s.net, "chroot", "--userspec=coredns-kms:coredns-kms", s.root,
		"/usr/bin/coredns-kms", "-conf", "/etc/coredns-kms/Corefile")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("The server ended with %v:\n%s", err, log)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

// eventually fails unless f becomes true within ten seconds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	for tick := time.Tick(50 * time.Millisecond); !f(); <-tick {
		if time.Now().After(end) {
			t.Fatalf("Not within ten seconds: %s", what)
		}
	}
}

// trial is the answer of the Corefile as installed.
const trial = "0 0 16881 kms1.corp.example.org.\n10 0 16882 kms2.corp.example.org."

// answer is what a client in the network of s is answered.
func (s *system) answer() string {
	out, _ := try(s.t, "ip", "netns", "exec", s.net, "dig", "+short", "+time=1", "+tries=1", "@127.0.0.1", "-p", "1053",
		"_vlmcs._tcp.corp.example.org", "SRV")
	return out
}

// TestPackage takes a machine through the life of the package: installed, used, changed, upgraded, removed and purged.
func TestPackage(t *testing.T) {
	first, second := deb(t, "1.0.0"), deb(t, "2.0.0")
	s := debian(t)

	s.install(first)
	s.want("dpkg --verify coredns-kms", "")
	s.want("getent passwd coredns-kms | cut -d: -f5-", "CoreDNS with the kms plugin:/var/lib/coredns-kms:/usr/sbin/nologin")
	s.want("stat -c '%A %U:%G' /usr/bin/coredns-kms /etc/coredns-kms /etc/coredns-kms/Corefile",
		"-rwxr-xr-x root:root\ndrwxr-xr-x root:root\n-rw-r----- root:coredns-kms")
	s.want("find / -xdev -newer /tmp/coredns-kms_1.0.0_amd64.deb -perm /6000 -type f", "")
	const wanted = "/etc/systemd/system/multi-user.target.wants/coredns-kms.service"
	s.want("readlink "+wanted, "/lib/systemd/system/coredns-kms.service")
	s.want("/usr/bin/coredns-kms -version | head -n 1 | sed 's/.*+//'", "kms-1.0.0")

	// What it serves without a word of configuration, and who may look.
	stop := s.serve()
	eventually(t, "an answer", func() bool { return s.answer() == trial })
	s.want("stat -c '%A %U:%G' /run/coredns-kms/control.sock /var/lib/coredns-kms/kms.db",
		"srw-rw---- coredns-kms:coredns-kms\n-rw------- coredns-kms:coredns-kms")
	hosts := func(who string) (string, error) {
		return try(t, "chroot", "--userspec="+who, s.root, "/usr/bin/coredns-kms", "hosts")
	}
	eventually(t, "hosts that are up", func() bool {
		out, err := hosts("nobody:coredns-kms")
		return err == nil && strings.Contains(out, "hosts_up=") && !strings.Contains(out, "hosts_up=0;")
	})
	if out, err := hosts("nobody:nogroup"); err == nil || !strings.Contains(out, "no permission to use") {
		t.Errorf("Somebody outside the group sees %q, %v", out, err)
	}
	stop()

	// An upgrade keeps what was changed, and who may read it; and a service that was disabled.
	s.sh("sed -i 's/^    errors$/    errors\\n    log/' /etc/coredns-kms/Corefile")
	s.sh("chmod 0600 /etc/coredns-kms/Corefile; chown coredns-kms: /etc/coredns-kms/Corefile")
	s.sh("rm " + wanted)
	s.install(second)
	s.want("/usr/bin/coredns-kms -version | head -n 1 | sed 's/.*+//'", "kms-2.0.0")
	s.want("grep -c '^    log$' /etc/coredns-kms/Corefile; stat -c '%A %U:%G' /etc/coredns-kms/Corefile; ls /etc/coredns-kms",
		"1\n-rw------- coredns-kms:coredns-kms\nCorefile")
	s.want("test -e "+wanted+" || echo disabled", "disabled")

	// Removed, the configuration and the data stay, and come back into use.
	s.sh("dpkg --remove coredns-kms")
	s.want("cd /; ls -d usr/bin/coredns-kms usr/lib/systemd/system/coredns-kms.service etc/coredns-kms/Corefile "+
		"var/lib/coredns-kms/kms.db 2>/dev/null || true",
		"etc/coredns-kms/Corefile\nvar/lib/coredns-kms/kms.db")
	s.install(second)
	s.want("grep -c '^    log$' /etc/coredns-kms/Corefile", "1")
	stop = s.serve()
	eventually(t, "an answer", func() bool { return s.answer() == trial })
	stop()

	// Purged, only the user stays, and what somebody put beside the configuration.
	s.sh("touch /etc/coredns-kms/db.example.org")
	s.sh("dpkg --purge coredns-kms")
	s.want("find / -xdev -path /proc -prune -o -path /tmp -prune -o -name '*coredns-kms*' -print",
		"/etc/coredns-kms\n/run/coredns-kms") // systemd removes the latter when the service stops
	s.want("ls /etc/coredns-kms", "db.example.org")
	s.want("getent passwd coredns-kms | cut -d: -f1", "coredns-kms")
}

// TestCompletion: the package's scripts complete the program by the name that it has there.
func TestCompletion(t *testing.T) {
	documents := filepath.Join(filepath.Dir(deb(t, "1.0.0")), "documents")
	t.Setenv("PATH", filepath.Dir(program(t, "1.0.0"))+":"+os.Getenv("PATH"))
	script := ". " + filepath.Join(documents, "completion.bash") + `
COMP_LINE="coredns-kms pro" COMP_POINT=15
$(complete -p coredns-kms | sed 's/.*-F \([^ ]*\) .*/\1/') 2>/dev/null
echo "${COMPREPLY[@]}"`
	if got := run(t, "bash", "-c", script); got != "probe" {
		t.Errorf("bash makes %q of coredns-kms pro", got)
	}
	run(t, "zsh", "-n", filepath.Join(documents, "completion.zsh"))
	run(t, "fish", "-n", filepath.Join(documents, "completion.fish"))
	complete := "source " + filepath.Join(documents, "completion.fish") + "; complete -C 'coredns-kms pro'"
	if got := run(t, "fish", "-c", complete); !strings.HasPrefix(got, "probe\t") {
		t.Errorf("fish makes %q of coredns-kms pro", got)
	}
}
