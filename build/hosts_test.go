package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/control"
)

func TestHostsTable(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return now.Add(-d) }
	all := control.Hosts{Version: 1, Pools: []control.Pool{{Name: "example.org", Condition: "unsettled", Hosts: []control.Host{
		{Endpoint: "kms1.example.org:1688", State: "up", Since: at(50 * time.Hour), Weight: 7, Probed: at(time.Second), RTT: 0.00123},
		{Endpoint: "kms2.example.org:1688", State: "drained", Since: at(90 * time.Second), Priority: 10, Error: "connect: refused",
			Drained: &control.Drainage{By: "root (alice)", Why: "new disks", At: now}},
		{Endpoint: "kms3.example.org:1688", State: "claimed", Since: at(0), Announced: true, Error: "bind: \x1b[2J\u202e"},
	}}}, Absent: []control.Drained{{Endpoint: "gone.example.org:1688", Drainage: control.Drainage{At: at(26 * time.Hour)}}}, Note: "a row cannot be read"}
	var b bytes.Buffer
	if err := writeHosts(&b, "KMS OK", all, clock{func() time.Time { return now }, time.UTC}); err != nil {
		t.Fatal(err)
	}
	want := `KMS OK
POOL         HOST                   STATE                  FOR    PRIORITY  WEIGHT  LAST RTT  WHY
example.org  kms1.example.org:1688  up                     2d2h   0         7       1.23ms    
example.org  kms2.example.org:1688  drained                1m30s  10        0       -         drained by root (alice) on 2026-03-01 12:00 UTC: new disks; connect: refused
example.org  kms3.example.org:1688  claimed (announced)    0s     0         0       -         bind: \x1b[2J\u202e
-            gone.example.org:1688  drained (in no pool)   26h00m  -         -       -         drained by nobody knows whom on 2026-02-28 10:00 UTC
a row cannot be read
`
	squeeze := func(s string) string {
		var all []string
		for line := range strings.Lines(s) {
			all = append(all, strings.Join(strings.Fields(line), " "))
		}
		return strings.Join(all, "\n")
	}
	if squeeze(b.String()) != squeeze(want) {
		t.Errorf("Got\n%s\nwant\n%s", b.String(), want)
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e") {
		t.Error("An escape sequence gets through")
	}
}

func TestHostsCommand(t *testing.T) {
	pools := func(pools string) string { return "-socket " + saying(t, `{"version":1,"pools":[`+pools+`]}`) }
	const calm = `{"name":"a","condition":"calm","hosts":[{"endpoint":"x:1688","state":"up"},{"endpoint":"y:1688","state":"%"}]}`
	host := func(state string) string { return pools(strings.ReplaceAll(calm, "%", state)) }
	for name, tt := range map[string]struct {
		args           string
		status         int
		stdout, stderr string
	}{
		"all up":         {host("up"), 0, "KMS OK - 2 of 2 hosts up | hosts_up=2;;;0;2 hosts_suspect=0;;;0;2 ", ""},
		"one drained":    {host("drained"), 0, "KMS OK - 1 of 2 hosts up | hosts_up=1;;;0;2 hosts_suspect=0;;;0;2 ", ""},
		"one unproved":   {host("claimed"), 0, "KMS OK - 1 of 2 hosts up | hosts_up=1;;;0;2 hosts_suspect=0;;;0;2 ", ""},
		"one down":       {host("down"), 1, "KMS WARNING - 1 of 2 hosts up | hosts_up=1;;;0;2 hosts_suspect=0;;;0;2 ", ""},
		"one suspect":    {host("suspect"), 1, "KMS WARNING", ""},
		"one has a name": {pools(`{"name":"a","condition":"calm","hosts":[{"endpoint":"x:1688","state":"unchecked","error":"no such host"}]}`), 1, "KMS WARNING", ""},
		"one not asked":  {host("unchecked"), 0, "KMS OK", ""},
		"unsettled":      {pools(`{"name":"a","condition":"unsettled","hosts":[]}`), 1, "KMS WARNING", ""},
		"all down":       {pools(`{"name":"a","condition":"all-down","hosts":[]},` + strings.ReplaceAll(calm, "%", "up")), 2, "KMS CRITICAL - 2 of 2", ""},
		"no pool":        {pools(""), 3, "KMS UNKNOWN - the server has no pool", ""},
		"one lost":       {pools(strings.ReplaceAll(strings.ReplaceAll(calm, "%", "up"), `"y:1688"`, `"y:1688","error":"lookup y: no such host"`)), 1, "KMS WARNING - 2 of 2 hosts up, the names of 1 do not resolve | ", ""},
		"one nowhere":    {pools(`{"name":"a","condition":"calm","hosts":[{"endpoint":"x:1688","state":"claimed","error":"no such host"}]}`), 1, "KMS WARNING - 0 of 1 hosts up, the names", ""},
		"one elsewhere":  {pools(`{"name":"a","condition":"calm","hosts":[{"endpoint":"x:1688","state":"claimed","error":"refused","addresses":["192.0.2.1"]}]}`), 0, "KMS OK", ""},
		"no server":      {"-socket /nowhere/s", 3, "KMS UNKNOWN - there is no socket /nowhere/s: ", ""},
		"argument":       {"kms1.example.org", 3, "", "shows all"},
		"unknown flag":   {"-frobnicate", 3, "", "frobnicate"},
		"help":           {"-h", 0, "Usage: coredns kms hosts", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := kms(t, "hosts", strings.Fields(tt.args), &stdout, &stderr)
			if status != tt.status || !strings.HasPrefix(stdout.String(), tt.stdout) || tt.stdout == "" && stdout.Len() > 0 || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("Status %d, stdout %q, stderr %q", status, stdout.String(), stderr.String())
			}
		})
	}
	var stdout, stderr bytes.Buffer
	if status := kms(t, "hosts", append(strings.Fields(host("down")), "-json"), &stdout, &stderr); status != 1 {
		t.Errorf("Status %d, %s", status, stderr.String())
	}
	var got struct {
		control.Hosts
		Status string
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || got.Status != "WARNING" || len(got.Pools) != 1 || got.Pools[0].Hosts[1].State != "down" {
		t.Errorf("%v: %s", err, stdout.String())
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m00s", 59*time.Minute + 59*time.Second: "59m59s",
		time.Hour: "1h00m", 47*time.Hour + 59*time.Minute: "47h59m", 48 * time.Hour: "2d0h", 1000 * time.Hour: "41d16h",
	} {
		if got := ago(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
