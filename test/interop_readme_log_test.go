//go:build interop

package test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// compareReference has README.md tell of every command, and of every metric that there is after the drama.
func (s *scene) compareReference(t *testing.T) {
	readme := documents(t)["README.md"]
	help, err := s.shell(t, "coredns kms help")
	commands := regexp.MustCompile(`(?m)^  ([a-z]+)  `).FindAllStringSubmatch(help, -1)
	metrics := regexp.MustCompile(`(?m)^# TYPE (coredns_kms_[a-z_]+) `).FindAllStringSubmatch(fetch(t, "http://"+kmsAt+":9153/metrics"), -1)
	if err != nil || len(commands) < 10 || len(metrics) < 10 {
		t.Fatalf("Commands %q (%v), metrics %q", commands, err, metrics)
	}
	for _, m := range commands {
		if !strings.Contains(readme, "`kms "+m[1]) {
			t.Errorf("README.md does not tell of kms %s", m[1])
		}
	}
	for _, m := range metrics {
		if !strings.Contains(readme, "`"+m[1]) {
			t.Errorf("README.md does not tell of %s", m[1])
		}
	}
}

// compareLogs has each line of the document's log be one that was logged.
func (s *scene) compareLogs(t *testing.T, all []block) {
	if !slices.ContainsFunc(all, func(b block) bool { return b.kind == "log" }) {
		return
	}
	if all[0].document == "docs/operations.md" {
		s.drama(t)
		s.compareReference(t)
	}
	logged := make(map[string]bool)
	for line := range strings.Lines(s.log.String()) {
		logged[plain(line)] = true
	}
	for _, b := range all {
		for line := range strings.Lines(b.text) {
			if b.kind == "log" && !logged[plain(line)] {
				t.Errorf("%s:%d: Nothing like this was logged: %s", b.document, b.line, line)
			}
		}
	}
}

// drama lets everything happen that the log is to tell of.
func (s *scene) drama(t *testing.T) {
	const corefile = `corp.example.org {
    kms {
        host kms1.corp.example.org priority 10
        ttl 30s
        host kms2.corp.example.org priority 10
        probe rpc interval 1s timeout 500ms
        responder 10.1.0.54:1688 {
            advertise kmsdns.corp.example.org
        }
        update {
            allow 10.1.0.0/16
        }
        store /var/lib/coredns-kms/kms.db
        control /run/coredns-kms/control.sock
    }
    forward . 10.1.0.53
    errors
    prometheus 10.1.0.54:9153
    reload 2s
}
`
	s.kms.end()
	s.write(t, "Corefile", addBind(corefile, kmsAt))
	for i, h := range s.hosts {
		h.end()
		s.hosts[i] = s.rehearse(t, i) // which has not counted anybody yet
	}
	s.kms = s.start(t, "coredns", "-conf", "Corefile")
	s.kms.says(t, "kms1.corp.example.org:1688 is up after")
	s.kms.says(t, "kms2.corp.example.org:1688 is up after")

	run := func(command string) {
		if out, err := s.shell(t, command); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	s.shell(t, "coredns kms rehearse -domain corp.example.org -server 10.1.0.54:53 -clients 2") // which are not activated: two are not 25
	run(`coredns kms drain -why "new disks on Tuesday" kms1.corp.example.org`)
	run("coredns kms undrain kms1.corp.example.org")
	announce := "printf 'server 10.1.0.54\nlocal 10.1.0.13\nzone corp.example.org\nupdate add " + docService +
		" 3600 SRV 0 0 1688 %s.corp.example.org\nsend\n' | nsupdate"
	run(fmt.Sprintf(announce, "kms3"))
	s.shell(t, fmt.Sprintf(announce, "kms9"))
	s.kms.says(t, "kms3.corp.example.org:1688 is up after")

	s.hosts[0].end()
	s.kms.says(t, "kms1.corp.example.org:1688 is down after")
	s.hosts[0] = s.rehearse(t, 0)
	s.kms.says(t, "kms1.corp.example.org:1688 is up after (.*) down")
	for _, h := range s.hosts {
		h.end()
	}
	s.kms.says(t, "suspecting this machine's own network")
	for i := range s.hosts {
		s.hosts[i] = s.rehearse(t, i)
	}
	s.kms.says(t, "no longer suspecting")
	for i, h := range s.hosts {
		h.end()
		s.kms.says(t, fmt.Sprintf("(?s)no longer suspecting.*kms%d.corp.example.org:1688 is down after", i+1))
	}
	s.kms.says(t, "no KMS host is left")
	s.hosts[0] = s.rehearse(t, 0)
	s.kms.says(t, "a KMS host is back after")

	other := strings.NewReplacer("corp.example.org {", "corp.example.org:5300 {", "10.1.0.54:1688", "10.1.0.54:1689", "control.sock", "other.sock", ":9153", ":9154").Replace(corefile)
	second := s.start(t, "coredns", "-conf", s.write(t, "second", other))
	second.says(t, "it is in use: another process")
	s.write(t, "Corefile", addBind(strings.Replace(corefile, "30s", "30d", 1), kmsAt))
	s.kms.says(t, "Corefile changed but reload failed")
}
