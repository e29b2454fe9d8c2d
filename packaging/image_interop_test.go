//go:build interop

package packaging

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// image is a directory with what the Dockerfile puts into the image: the commands of its first stage are run here, by hand,
// with another directory for /image. No engine builds it.
func image(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "image")
	stages, _ := dockerfile(t)
	for _, c := range stages[0].Commands {
		step, ok := c.(*instructions.RunCommand)
		if !ok || strings.HasSuffix(step.CmdLine[0], "go mod download") {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-ec", strings.ReplaceAll(step.CmdLine[0], "/image", root))
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "VERSION=1.0.0", "TARGETOS=linux", "TARGETARCH=", "GOTOOLCHAIN=local") // as in golang's images
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step.CmdLine[0], err, out)
		}
	}
	return root
}

// contained starts what the image runs, on the image alone, as its user and in the network of s, and ends it with the test.
func (s *system) contained(args ...string) {
	s.t.Helper()
	stages, _ := dockerfile(s.t)
	var user string
	var line []string
	for _, c := range stages[len(stages)-1].Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			line = c.CmdLine
		case *instructions.CmdCommand:
			if len(args) == 0 {
				args = c.CmdLine
			}
		}
	}
	log := new(bytes.Buffer)
	inside := []string{"netns", "exec", s.net, "chroot", "--userspec=" + user, s.root}
	cmd := exec.Command("ip", slices.Concat(inside, line, args)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || s.t.Failed() {
			s.t.Errorf("The server ended with %v:\n%s", err, log)
		}
	})
}

// srv is the records that a client in the network of s gets of a name from port, without words about why there are none.
func (s *system) srv(port, name string) []string {
	out, err := try(s.t, "ip", "netns", "exec", s.net, "dig", "+short", "+time=1", "+tries=1", "@127.0.0.1", "-p", port, name, "SRV")
	if err != nil {
		return nil
	}
	return strings.Split(out, "\n")
}

// TestImage: what the Dockerfile builds runs on nothing but itself, as nobody in particular, and takes port 53 as engines let
// it.
func TestImage(t *testing.T) {
	s := alone(t)
	s.root = image(t)
	const want = `-rw-r--r-- root:root etc/coredns-kms/Corefile
-rw-r--r-- root:root etc/ssl/certs/ca-certificates.crt
-rwxr-xr-x root:root usr/bin/coredns-kms`
	if got := run(t, "sh", "-c", "cd "+s.root+" && find . ! -type d -printf '%M %u:%g %P\n' | sort -k 3"); got != want {
		t.Errorf("In the image is\n%s\nwant\n%s", got, want)
	}
	if got := run(t, "go", "version", filepath.Join(s.root, "usr", "bin", "coredns-kms")); strings.Fields(got)[1] != released(t) {
		t.Errorf("The program is built with %s, want %s", got, released(t))
	}
	run(t, "ip", "netns", "exec", s.net, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0")
	s.contained()
	eventually(t, "an answer as shipped", func() bool { return len(s.srv("1053", "_vlmcs._tcp.corp.example.org")) == 2 })
	out := run(t, "ip", "netns", "exec", s.net, "chroot", "--userspec=65532:65532", s.root, "/usr/bin/coredns-kms", "hosts")
	if !strings.Contains(out, "kms1.corp.example.org") {
		t.Errorf("In the container, kms hosts says %q", out)
	}

	config := filepath.Join(s.root, "etc", "coredns-kms", "Corefile53")
	text := "example.org {\n kms {\n host kms1.example.org address 127.0.0.1\n }\n}\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.contained("-conf", "/etc/coredns-kms/Corefile53")
	eventually(t, "an answer on port 53", func() bool { return len(s.srv("53", "_vlmcs._tcp.example.org")) == 1 })
}

// TestCorefiles: the program finds nothing unwise in any Corefile that is shipped, the one in the comments included.
func TestCorefiles(t *testing.T) {
	shipped, err := os.ReadFile("Corefile")
	if err != nil {
		t.Fatal(err)
	}
	_, comment, _ := strings.Cut(string(shipped), "\n# In real life")
	real := regexp.MustCompile(`(?ms)^# \S+ \{$.*?^# \}$`).FindString(comment)
	for name, text := range map[string]string{
		"as installed": string(shipped),
		"in real life": regexp.MustCompile(`(?m)^# ?`).ReplaceAllString(real, ""),
		"Kubernetes":   only[*corev1.ConfigMap](t).Data["Corefile"],
	} {
		path := filepath.Join(t.TempDir(), "Corefile")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := try(t, program(t, "1.0.0"), "lint", "-no-probe", path); err != nil || strings.Contains(out, "no-kms") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestManifestsRun runs the image with the Corefile of the ConfigMap and the arguments of the Deployment, asks what the kubelet
// asks, and as the cluster's CoreDNS with what README.md beside the manifests has for it.
func TestManifestsRun(t *testing.T) {
	s := alone(t)
	s.root = image(t)
	corefile := only[*corev1.ConfigMap](t).Data["Corefile"]
	container := only[*appsv1.Deployment](t).Spec.Template.Spec.Containers[0]
	if err := os.WriteFile(filepath.Join(s.root, "etc", "coredns-kms", "Corefile"), []byte(corefile), 0o644); err != nil {
		t.Fatal(err)
	}
	s.contained(container.Args...)
	names := regexp.MustCompile(`_vlmcs\._tcp\.[a-z.]+`).FindAllString(corefile, -1)
	if len(names) < 2 {
		t.Fatalf("The Corefile has %q", names)
	}
	for _, name := range names {
		eventually(t, "an answer for "+name, func() bool { return len(s.srv("1053", name)) == 2 })
	}
	for _, port := range container.Ports {
		path, ok := map[string]string{"health": container.LivenessProbe.HTTPGet.Path, "ready": container.ReadinessProbe.HTTPGet.Path,
			"metrics": "/metrics"}[port.Name]
		if !ok {
			continue
		}
		url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port.ContainerPort))) + path
		get := "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])"
		eventually(t, url, func() bool {
			_, err := try(t, "ip", "netns", "exec", s.net, "/usr/bin/python3", "-c", get, url)
			return err == nil
		})
	}

	readme, err := os.ReadFile("../deploy/kubernetes/README.md")
	if err != nil {
		t.Fatal(err)
	}
	stub := regexp.MustCompile("(?s)~~~ corefile\n(.*?)~~~").FindSubmatch(readme)
	if stub == nil {
		t.Fatal("README.md has no Corefile for the cluster's CoreDNS")
	}
	cluster := regexp.MustCompile(`forward \. [0-9.]+`).ReplaceAllString(string(stub[1]), "forward . 127.0.0.1:1053")
	if err := os.WriteFile(filepath.Join(s.root, "etc", "coredns-kms", "Cluster"), []byte(cluster), 0o644); err != nil {
		t.Fatal(err)
	}
	s.contained("-conf", "/etc/coredns-kms/Cluster", "-dns.port", "1054")
	for _, name := range names {
		eventually(t, "an answer of the cluster for "+name, func() bool { return len(s.srv("1054", name)) == 2 })
	}
}
