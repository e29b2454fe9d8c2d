package config

import (
	"fmt"
	"time"
)

// ProbeKind is how a host is asked whether it serves KMS.
type ProbeKind uint8

const (
	ProbeRPC ProbeKind = iota // TCP connect, then a DCE/RPC bind to the KMS interface that must be accepted
	ProbeTCP                  // TCP connect only
)

var probeWords = [...]string{ProbeRPC: "rpc", ProbeTCP: "tcp"}

func (k ProbeKind) String() string { return word(probeWords[:], k) }

// ParseProbeKind reads the word of a Corefile.
func ParseProbeKind(s string) (ProbeKind, error) {
	return parseWord[ProbeKind]("probe", probeWords[:], s)
}

// Probe is how often and how patiently hosts are asked, and how many answers decide.
type Probe struct {
	Kind     ProbeKind
	Interval time.Duration // from start to start while a host is up; 1 s to 1 h
	Timeout  time.Duration // for one whole probe, from connect to the last octet; 50 ms to below Interval
	Rise     int           // consecutive passes that bring a down host back; 1 to 100
	Fall     int           // consecutive failures that take a host out; 1 to 100
}

// Validate reports what is wrong with p, in words that say what would be right.
func (p Probe) Validate() error {
	switch {
	case p.Interval < time.Second || p.Interval > time.Hour:
		return fmt.Errorf("probe interval %s: from 1s to 1h", p.Interval)
	case p.Timeout < 50*time.Millisecond:
		return fmt.Errorf("probe timeout %s: at least 50ms", p.Timeout)
	case p.Timeout >= p.Interval:
		return fmt.Errorf("probe timeout %s is not below the interval %s: shorten the timeout or lengthen the interval",
			p.Timeout, p.Interval)
	case p.Rise < 1 || p.Rise > 100:
		return fmt.Errorf("probe rise %d: from 1 to 100", p.Rise)
	case p.Fall < 1 || p.Fall > 100:
		return fmt.Errorf("probe fall %d: from 1 to 100", p.Fall)
	}
	return nil
}
