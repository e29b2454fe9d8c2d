// Package discover does what a KMS client does, step by step, and says where it breaks and what to change: from the DNS suffixes
// over the SRV records and the addresses of their targets to a connection and a DCE/RPC bind. It never sends an activation
// request, so no host's count changes.
package discover

import (
	"fmt"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/explain"
	"github.com/coredns-kms/coredns-kms/internal/probe"
)

// Version is of the shape of Report. Fields may be added to a version; what is there keeps its name and meaning. Lists are never
// null.
const Version = 1

// The bounds of one walk. What is beyond is left out, and a Step says so.
const (
	MaxSuffixes = 16
	MaxServers  = 8
	MaxRecords  = 64 // of all suffixes together
	maxTooling  = 16 // names that only tools ask for
	maxNS       = 8  // name servers of a zone
)

// Status is what came of a walk. Its number is the exit status of monitoring plugins.
type Status int

const (
	OK       Status = iota // a client finds a live host at its first try
	Warning                // it finds one, and something is wrong
	Critical               // it finds none
	Unknown                // it could not be found out
)

func (s Status) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[s] }

// MarshalText makes the status its word in JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Report is all that a walk found.
type Report struct {
	Version  int      `json:"version"`
	Status   Status   `json:"status"`
	Verdict  string   `json:"verdict"`        // in a sentence: what breaks first, if something does
	Code     string   `json:"code,omitempty"` // what a Windows client would show, if it finds no host: 0x8007232B
	Suffixes []Suffix `json:"suffixes"`       // in the order in which a client tries them
	Servers  []string `json:"servers"`        // DNS servers, address and port, in the order in which they are asked
	Steps    []Step   `json:"steps"`          // in the order in which a client takes them
	Answers  []Answer `json:"answers"`        // of each server for each suffix
	Hosts    []Host   `json:"hosts"`          // in the order in which a client tries them; those it never comes to last
}

// Mark is what a Step found.
type Mark string

const (
	Good Mark = "ok"
	Note Mark = "note" // worth knowing; nothing is wrong
	Warn Mark = "warn" // something is wrong, and a client gets by
	Fail Mark = "fail" // this does not work
	Open Mark = "?"    // it could not be found out
)

// Step is one thing that was looked at.
type Step struct {
	Part   string   `json:"part"` // what it belongs to: "DNS suffixes", "_vlmcs._tcp.corp.example.org", ...
	Mark   Mark     `json:"mark"`
	Text   string   `json:"text"`
	Change []string `json:"change,omitempty"` // what to change, or to type
	Code   string   `json:"code,omitempty"`   // what a Windows client makes of it
}

// Suffix is a DNS suffix under which a client looks.
type Suffix struct {
	Name   string `json:"name"`   // without a final dot
	Source string `json:"source"` // where it is from, in words
	Given  bool   `json:"given"`  // somebody asked for it, so that it matters by itself
}

// Record is one SRV record.
type Record struct {
	Priority uint16 `json:"priority"`
	Weight   uint16 `json:"weight"`
	Port     uint16 `json:"port"`
	Target   string `json:"target"` // as DNS writes it, without a final dot
}

// Endpoint names the record's host: "kms1.corp.example.org:1688".
func (r Record) Endpoint() string { return fmt.Sprintf("%s:%d", r.Target, r.Port) }

// Answer is what one server says of one name.
type Answer struct {
	Server        string   `json:"server"`
	Name          string   `json:"name"`
	Outcome       string   `json:"outcome"`        // an rcode, NODATA or a word for why there is none
	Code          string   `json:"code,omitempty"` // what a Windows client makes of it
	Error         string   `json:"error,omitempty"`
	RTT           float64  `json:"rtt_seconds"`
	TTL           uint32   `json:"ttl"` // of the records, in seconds
	Authoritative bool     `json:"authoritative"`
	Recursive     bool     `json:"recursive"` // the server offers recursion
	TCP           bool     `json:"tcp"`       // the answer did not fit into UDP
	Alias         string   `json:"alias,omitempty"`
	Extended      []string `json:"extended_errors"`
	Records       []Record `json:"records"`

	extra found // addresses that came along
	local bool  // this machine could not ask
	cut   int   // records beyond the bound
}

// Host is one host that an SRV record names.
type Host struct {
	Record
	Suffix    string    `json:"suffix"`           // under which it was found first
	Chance    float64   `json:"chance"`           // of being tried first, 0 to 1
	Result    string    `json:"result"`           // passed, dead or unknown
	Error     string    `json:"error,omitempty"`  // why not passed
	Syntax    string    `json:"syntax,omitempty"` // NDR32 or NDR64
	Addresses []Address `json:"addresses"`

	used    bool     // a client comes to it
	alias   string   // the target is a CNAME for this
	fault   string   // of the record itself: no connection is tried
	change  []string // what to do about fault
	resolve string   // outcome of the look-up, if there is no address
}

// Address is one address of a host, and what came of asking there.
type Address struct {
	Address string       `json:"address"`
	Given   bool         `json:"in_additional"` // it came with the SRV records
	NoRoute bool         `json:"no_route"`      // this machine has no address of that family
	Result  probe.Result `json:"result"`
}

// codes is what a Windows client makes of the outcome of a DNS question.
var codes = map[string]string{
	"FORMERR": "FORMERR", "SERVFAIL": "SERVFAIL", "NXDOMAIN": "NXDOMAIN", "NOTIMP": "NOTIMP", "REFUSED": "REFUSED", "NODATA": "NODATA",
	"NOTAUTH": "NOTAUTH", "REFERRAL": "NODATA", "TRUNCATED": "ERROR_TIMEOUT", "TIMEOUT": "ERROR_TIMEOUT",
	"UNREACHABLE": "ERROR_TIMEOUT",
}

// The codes that are not of a DNS outcome.
const (
	codeNoSuffix = "0x8007007B"
	codeNoServer = "0x8007267C"
	codeNoHost   = "0xC004F074"
)

// codeOf returns the HRESULT for an outcome, "" if there is none.
func codeOf(outcome string) string {
	name := codes[outcome]
	if name == "" {
		return ""
	}
	e, err := explain.Lookup(name)
	if err != nil {
		return ""
	}
	return e.Code
}

// milliseconds is d as somebody wants to read it.
func milliseconds(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
