package registry

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestExpires(t *testing.T) {
	const day = 24 * time.Hour
	announced := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		healthy time.Duration // after it was announced; 0 for never
		lease   time.Duration
		want    time.Duration // after it was announced
	}{
		"never healthy: the lease":                     {0, 7 * day, 7 * day},
		"healthy since: a day after it last was":       {time.Minute, 7 * day, day + time.Minute},
		"healthy for a month":                          {30 * day, 7 * day, 31 * day},
		"healthy before it was announced: the lease":   {-time.Minute, 7 * day, 7 * day},
		"healthy long before":                          {-30 * day, 7 * day, 7 * day},
		"a short lease, never healthy":                 {0, time.Hour, time.Hour},
		"a short lease cuts the day":                   {time.Minute, time.Hour, time.Hour + time.Minute},
		"a lease of a day":                             {time.Minute, day, day + time.Minute},
		"healthy at the very moment counts as healthy": {1, 7 * day, day + 1},
	} {
		c := Claim{Updated: announced}
		if tt.healthy != 0 {
			c.Healthy = announced.Add(tt.healthy)
		}
		if got := c.Expires(tt.lease).Sub(announced); got != tt.want {
			t.Errorf("%s: %s after it was announced, want %s", name, got, tt.want)
		}
	}
	equal := Claim{Updated: announced, Healthy: announced}
	if got := equal.Expires(7 * day); !got.Equal(announced.Add(day)) {
		t.Errorf("Announced and healthy at once: %s", got)
	}
}

func TestProved(t *testing.T) {
	now := time.Now()
	for since, want := range map[time.Duration]bool{0: true, 24 * time.Hour: true, 24*time.Hour + 1: false} {
		if got := (Claim{Healthy: now.Add(-since)}).proved(now); got != want {
			t.Errorf("Healthy %s ago: proved %v", since, got)
		}
	}
	if (Claim{}).proved(now) {
		t.Error("Never healthy, and proved")
	}
}

func TestNormalClaims(t *testing.T) {
	for name, c := range map[string]Claim{
		"relative":       {Target: "kms1.example.org", Port: 1688},
		"empty":          {Target: "", Port: 1688},
		"the root":       {Target: ".", Port: 1688},
		"an address":     {Target: "192.0.2.1.", Port: 1688},
		"no host name":   {Target: "_vlmcs._tcp.example.org.", Port: 1688},
		"with a bar":     {Target: "kms|1.example.org.", Port: 1688},
		"too long":       {Target: strings.Repeat("abcdefghi.", 26), Port: 1688},
		"no port":        {Target: "kms1.example.org.", Port: 0},
		"escaped octets": {Target: "kms\\0011.example.org.", Port: 1688},
	} {
		if _, err := c.normal(); err == nil {
			t.Errorf("%s: %q:%d is taken", name, c.Target, c.Port)
		}
	}
	hints := []netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("fe80::1%eth0")}
	for n := range 20 {
		hints = append(hints, address(n/2))
	}
	c, err := Claim{Target: "KMS1.Example.org.", Port: 1688, Hints: hints, Updated: time.Now()}.normal()
	if err != nil {
		t.Fatal(err)
	}
	if c.Target != "kms1.example.org." || c.Endpoint() != "kms1.example.org:1688" {
		t.Errorf("Got %s, %s", c.Target, c.Endpoint())
	}
	if len(c.Hints) != 8 || c.Hints[0] != address(0) || c.Hints[7] != address(7) {
		t.Errorf("Hints %v, want the first eight that are any good, each once", c.Hints)
	}
}

func TestNormalAddresses(t *testing.T) {
	for name, a := range map[string]Address{
		"relative":     {Name: "kms1.example.org", IP: address(1)},
		"no host name": {Name: "a|b.example.org.", IP: address(1)},
		"no address":   {Name: "kms1.example.org."},
		"unspecified":  {Name: "kms1.example.org.", IP: netip.IPv6Unspecified()},
		"multicast":    {Name: "kms1.example.org.", IP: netip.MustParseAddr("224.0.0.1")},
		"with a zone":  {Name: "kms1.example.org.", IP: netip.MustParseAddr("fe80::1%eth0")},
		"mapped":       {Name: "kms1.example.org.", IP: netip.MustParseAddr("::ffff:192.0.2.1")},
	} {
		if _, err := a.normal(); err == nil {
			t.Errorf("%s: %s of %q is taken", name, a.IP, a.Name)
		}
	}
	if a, err := (Address{Name: "KMS1.example.ORG.", IP: address(1)}).normal(); err != nil || a.Name != "kms1.example.org." {
		t.Errorf("Got %+v, %v", a, err)
	}
}
