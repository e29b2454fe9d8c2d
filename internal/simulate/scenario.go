package simulate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/config"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// Way is how clients come to hosts.
type Way uint8

const (
	Direct      Way = iota // by the SRV records of the hosts
	Spread                 // by the responder, policy spread
	Concentrate            // by the responder, policy concentrate
	Warm                   // by the responder, policy concentrate, and the hosts that are not asked are kept warm
)

var wayWords = [...]string{"direct", "spread", "concentrate", "warm"}

func (w Way) String() string { return wayWords[w] }

// MarshalText makes it a word in JSON.
func (w Way) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// ParseWay reads the word for a way.
func ParseWay(s string) (Way, error) {
	if i := slices.Index(wayWords[:], s); i >= 0 {
		return Way(i), nil
	}
	return 0, fmt.Errorf("%q: one of %s", s, strings.Join(wayWords[:], ", "))
}

// Ways is every way.
func Ways() []Way { return []Way{Direct, Spread, Concentrate, Warm} }

// Bounds of a scenario.
const (
	MaxClients = 10_000_000
	MaxHosts   = 16
	MaxDays    = 1000
)

// Scenario is everything that a result depends on.
type Scenario struct {
	Clients int           `json:"clients"` // Windows clients, activated from a count of 25
	Hosts   int           `json:"hosts"`   // of equal priority and weight
	Way     Way           `json:"way"`
	Vista   bool          `json:"vista"` // clients choose at random among all records, and their requests can be read (version 4)
	Days    int           `json:"days"`  // how long to look
	Grow    time.Duration `json:"-"`     // clients are installed at times spread evenly over this
	Office  bool          `json:"office"`
	Seed    uint64        `json:"seed"`

	Activation time.Duration `json:"-"` // the intervals that hosts tell clients
	Renewal    time.Duration `json:"-"`
	Jitter     float64       `json:"jitter"` // what part of them a client may be early or late, 0 to 0.5

	Trouble
	Probe config.Probe  `json:"-"`
	TTL   time.Duration `json:"-"`    // a client acts on an answer up to this old
	Copy  int           `json:"copy"` // clients that hosts are kept warm at, way Warm

	ports [MaxHosts]uint16 // of the hosts, DefaultPort where 0: a test has the same hosts on sockets
}

// Trouble is what happens to hosts. Each kind is off if its first figure is 0.
type Trouble struct {
	Fail     time.Duration `json:"-"`    // mean time from the end of one failure of a host to the next; exponential
	Repair   time.Duration `json:"-"`    // mean time that one lasts; exponential
	HangPart float64       `json:"hang"` // of failures, the part that is a host that takes connections and never answers

	OutageEvery time.Duration `json:"-"` // mean time between failures of all hosts at once; exponential
	OutageFor   time.Duration `json:"-"` // mean time that one lasts

	ServiceEvery time.Duration `json:"-"` // a host, each in its turn, is drained, shut down, and put back
	ServiceFor   time.Duration `json:"-"` // how long it is off
}

// Default is a scenario with an estate of middling size and luck.
func Default() Scenario {
	block, r := config.Default(), config.DefaultRehearse("")
	const day = 24 * time.Hour
	return Scenario{
		Clients: 10_000, Hosts: 3, Way: Direct, Days: 180, Grow: 7 * day, Seed: 1,
		Activation: r.ActivationInterval, Renewal: r.RenewalInterval, Jitter: 0.05,
		Trouble: Trouble{
			Fail: 30 * day, Repair: 4 * time.Hour, HangPart: 0.25,
			OutageEvery: 90 * day, OutageFor: time.Hour,
			ServiceEvery: 14 * day, ServiceFor: 2 * time.Hour,
		},
		Probe: block.Probe, TTL: block.TTL, Copy: 50,
	}
}

// Validate reports what is wrong with s, in words that say what would be right.
func (s Scenario) Validate() error {
	day := 24 * time.Hour
	switch {
	case s.Clients < 1 || s.Clients > MaxClients:
		return fmt.Errorf("%d clients: from 1 to %d", s.Clients, MaxClients)
	case s.Hosts < 1 || s.Hosts > MaxHosts:
		return fmt.Errorf("%d hosts: from 1 to %d", s.Hosts, MaxHosts)
	case s.Days < 1 || s.Days > MaxDays:
		return fmt.Errorf("%d days: from 1 to %d", s.Days, MaxDays)
	case s.Grow < 0 || s.Grow > time.Duration(s.Days)*day:
		return fmt.Errorf("a fleet that grows for %s: from 0s to the %d days that are simulated", s.Grow, s.Days)
	case s.Jitter < 0 || s.Jitter > 0.5:
		return fmt.Errorf("jitter %g: from 0 to 0.5", s.Jitter)
	case s.Copy < 1 || s.Copy > 50:
		return fmt.Errorf("hosts kept warm at %d clients: from 1 to 50, which is as far as a host counts", s.Copy)
	}
	if err := (config.Rehearse{ActivationInterval: s.Activation, RenewalInterval: s.Renewal}).Validate(); err != nil {
		return err
	}
	if err := config.ValidateTTL(s.TTL); err != nil {
		return err
	}
	if err := s.Probe.Validate(); err != nil {
		return err
	}
	return s.Trouble.validate()
}

func (t Trouble) validate() error {
	if t.HangPart < 0 || t.HangPart > 1 {
		return fmt.Errorf("a part of %g of failures hangs: from 0 to 1", t.HangPart)
	}
	for _, k := range []struct {
		what         string
		every, lasts time.Duration
	}{{"failures", t.Fail, t.Repair}, {"outages", t.OutageEvery, t.OutageFor}, {"services", t.ServiceEvery, t.ServiceFor}} {
		switch {
		case k.every == 0:
		case k.every < time.Hour || k.every > MaxDays*24*time.Hour:
			return fmt.Errorf("%s every %s: from 1h, or 0s for none", k.what, k.every)
		case k.lasts < time.Second || k.lasts > k.every:
			return fmt.Errorf("%s of %s every %s: from 1s, and no longer than from one to the next", k.what, k.lasts, k.every)
		}
	}
	return nil
}

// MarshalJSON gives the scenario the shape that programs read: times in seconds.
func (s Scenario) MarshalJSON() ([]byte, error) {
	type plain Scenario // without this method
	return json.Marshal(struct {
		plain
		Grow         Seconds `json:"grow_seconds"`
		Activation   Seconds `json:"activation_seconds"`
		Renewal      Seconds `json:"renewal_seconds"`
		TTL          Seconds `json:"ttl_seconds"`
		Fail         Seconds `json:"fail_seconds"`
		Repair       Seconds `json:"repair_seconds"`
		OutageEvery  Seconds `json:"outage_every_seconds"`
		OutageFor    Seconds `json:"outage_for_seconds"`
		ServiceEvery Seconds `json:"service_every_seconds"`
		ServiceFor   Seconds `json:"service_for_seconds"`
	}{plain(s), seconds(s.Grow), seconds(s.Activation), seconds(s.Renewal), seconds(s.TTL), seconds(s.Fail), seconds(s.Repair),
		seconds(s.OutageEvery), seconds(s.OutageFor), seconds(s.ServiceEvery), seconds(s.ServiceFor)})
}

// String is the scenario in a few words.
func (s Scenario) String() string {
	kind := "Windows 7 and later"
	if s.Vista {
		kind = "Windows Vista"
	}
	return fmt.Sprintf("%s clients (%s), %s, %s, %d days, seed %d",
		Thousands(uint64(s.Clients)), kind, count(s.Hosts, "host"), s.Way, s.Days, s.Seed)
}

// length is how long the scenario is.
func (s Scenario) length() time.Duration { return time.Duration(s.Days) * 24 * time.Hour }

// threshold is the count that a client of the fleet needs.
const threshold = kmsresponder.ClientThreshold
