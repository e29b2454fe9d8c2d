package status

import "time"

// Version is of the shapes in this file, and the first element of every path under which they are served. Fields may be added
// to a version, and programs are to ignore those that they do not know; what is there keeps its name and meaning. Lists are
// never null. Times are in RFC 3339, durations in seconds. docs/status.md is this file in words.
//
// Text that came from others (names of machines, records of an UPDATE) is made printable where a Report is built: it has no
// control characters, no marks that turn a line around, and is bounded in length.
const Version = 1

// Weeks is how many numbers Summary.Weeks has: an activation is valid for 180 days.
const Weeks = 27

// Report is all that a person wants to see first: the answer to GET /v1/status.
type Report struct {
	Version  int       `json:"version"`
	At       time.Time `json:"at"`
	Server   Server    `json:"server"`
	Status   string    `json:"status"`   // ok, warning or critical: the worst of Findings
	Summary  string    `json:"summary"`  // in a sentence
	Findings []Finding `json:"findings"` // what needs somebody, the worst first
	Zones    []Zone    `json:"zones"`
	Pools    []Pool    `json:"pools"`
	Clients  Summary   `json:"clients"`
	Updates  Updates   `json:"updates"`
	Events   []Event   `json:"events"` // the last transitions of all hosts, newest first, at most 100
}

// Server is the process that answers.
type Server struct {
	Name    string    `json:"name"`    // of the machine
	Program string    `json:"program"` // CoreDNS-1.15.0+kms-1.0.0
	Started time.Time `json:"started"`
}

// Finding is something that needs somebody, and what to do about it.
type Finding struct {
	Severity string `json:"severity"` // warning or critical
	About    string `json:"about"`    // a pool, a host, a zone: what it is about
	What     string `json:"what"`
	Next     string `json:"next"` // what to do
}

// Zone is one DNS suffix, and what its clients are answered now.
type Zone struct {
	Name    string   `json:"name"`    // corp.example.org
	Service string   `json:"service"` // _vlmcs._tcp.corp.example.org
	Pool    string   `json:"pool"`
	Result  string   `json:"result"` // normal, fail_open, nodata or servfail, as in the metric answers_total
	Why     string   `json:"why"`    // the result in words
	TTL     int      `json:"ttl"`    // of the records, in seconds
	Answer  []Record `json:"answer"` // in the order of RFC 2782: by priority, then as in the Corefile
	Absent  []Absent `json:"absent"` // hosts of the pool that are not in the answer
}

// Record is one SRV record of an answer, and why it stands where it does.
type Record struct {
	Priority   uint16   `json:"priority"`
	Weight     uint16   `json:"weight"`
	Port       uint16   `json:"port"`
	Target     string   `json:"target"`
	Endpoint   string   `json:"endpoint"` // of the host in its pool; of this server, the name that it advertises
	Addresses  []string `json:"addresses"`
	State      string   `json:"state"`               // of the host; "responder" for this server itself
	Chance     float64  `json:"chance"`              // of being tried first by a client that heeds priority and weight: Windows 7 and later
	AnyChance  float64  `json:"any_chance"`          // by one that draws at random: Windows Vista and Server 2008
	Configured uint16   `json:"configured_priority"` // the same as Priority unless the host is suspect
	Why        string   `json:"why"`
}

// Absent is a host that is not in an answer.
type Absent struct {
	Endpoint string `json:"endpoint"`
	State    string `json:"state"`
	Why      string `json:"why"`
}

// Pool is the hosts of one kms block, or of several that name the same.
type Pool struct {
	Name      string     `json:"name"`
	Condition string     `json:"condition"` // calm, unsettled, self-suspected or all-down
	Why       string     `json:"why"`
	Checked   bool       `json:"checked"`     // every host was asked once
	Age       float64    `json:"age_seconds"` // since any probe ended
	Interval  float64    `json:"interval_seconds"`
	Hosts     []Host     `json:"hosts"`
	Responder *Responder `json:"responder,omitempty"`
}

// Responder is what takes activation calls for a pool.
type Responder struct {
	Address     string            `json:"address"` // of several responders of one pool, all
	Policy      string            `json:"policy"`
	Connections int               `json:"connections"`
	Calls       map[string]uint64 `json:"calls"`   // since the start, by result, as in the metric calls_total
	Refused     map[string]uint64 `json:"refused"` // clients turned away, by reason
	LastCall    time.Time         `json:"last_call,omitzero"`
}

// Host is what is known of one KMS host.
type Host struct {
	Endpoint    string    `json:"endpoint"`
	State       string    `json:"state"` // unchecked, claimed, up, suspect, down or drained
	Since       time.Time `json:"since"`
	Why         string    `json:"why"`             // the state in a sentence
	Error       string    `json:"error,omitempty"` // of the last probe that failed, while it counts
	Priority    uint16    `json:"priority"`
	Weight      uint16    `json:"weight"`
	Key         string    `json:"key"`
	Addresses   []string  `json:"addresses"`
	Announced   bool      `json:"announced"`
	Drained     *Drainage `json:"drained,omitempty"`
	Probed      time.Time `json:"probed,omitzero"`
	RTT         float64   `json:"rtt_seconds"`
	Next        time.Time `json:"next_probe,omitzero"`
	Syntax      string    `json:"syntax,omitempty"` // NDR32 or NDR64: what generation of Windows the host is
	Clients     int       `json:"clients"`          // distinct, of the last 30 days, by this server's ledger
	Homes       int       `json:"homes"`            // of them, those whose last answered call went here
	Count       uint32    `json:"count,omitempty"`  // as the host itself last answered it: only version 4 shows it
	CountAt     time.Time `json:"count_at,omitzero"`
	Served      uint64    `json:"served"` // calls since the start
	LastServed  time.Time `json:"last_served,omitzero"`
	Errors      []Errors  `json:"errors"`      // that it answered or was, most frequent first
	Latency     []Point   `json:"latency"`     // of the last hour, or since the server started, oldest first, a Point a minute
	Transitions []Event   `json:"transitions"` // newest first, at most 50
}

// Drainage is who took a host out.
type Drainage struct {
	By  string    `json:"by"`
	Why string    `json:"why,omitempty"`
	At  time.Time `json:"at"`
}

// Errors is how often calls to a host ended in one way that is not an answer.
type Errors struct {
	Code  string    `json:"code"` // 0xC004F042, or the word of an outcome: dead, silent, ...
	Text  string    `json:"text"` // in words
	Count uint64    `json:"count"`
	Last  time.Time `json:"last"`
}

// Point is one minute of probes of one host. Its times are those of probes that passed, 0 if none did.
type Point struct {
	At     time.Time `json:"at"` // the minute's start
	Min    float64   `json:"min_seconds"`
	Mean   float64   `json:"mean_seconds"`
	Max    float64   `json:"max_seconds"`
	Passed int       `json:"passed"`
	Failed int       `json:"failed"`
	State  string    `json:"state"` // at the end of the minute
}

// Event is a change of one host's state.
type Event struct {
	At       time.Time `json:"at"`
	Pool     string    `json:"pool"`
	Endpoint string    `json:"endpoint"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	After    float64   `json:"after_seconds"` // spent in From
	Reason   string    `json:"reason,omitempty"`
}

// Summary is the ledger in a few numbers.
type Summary struct {
	Known     int   `json:"known"`          // clients that are remembered
	Unserved  int   `json:"unserved"`       // of them, were never served
	Silent90  int   `json:"silent_90_days"` // did not call for 90 days: half of the 180 that an activation is valid
	Silent150 int   `json:"silent_150_days"`
	Rejected  int   `json:"rejected_30_days"` // called within 30 days, and no host took a request of them for as long
	Kept      bool  `json:"kept"`             // in a store
	Weeks     []int `json:"weeks"`            // clients by weeks since their last call: the first is of this week, the last has all that are older
}

// Updates is what came of hosts that announced themselves.
type Updates struct {
	Enabled  bool      `json:"enabled"`  // some block has "update"
	Accepted int       `json:"accepted"` // of the last 256 of each block, and so is Refused; Attempts has some of them
	Refused  int       `json:"refused"`
	Attempts []Attempt `json:"attempts"` // newest first, at most 100
}

// Attempt is one UPDATE.
type Attempt struct {
	At       time.Time `json:"at"`
	From     string    `json:"from"`
	Key      string    `json:"key,omitempty"`
	Zone     string    `json:"zone"`
	What     string    `json:"what"`
	Accepted bool      `json:"accepted"`
	Reason   string    `json:"reason,omitempty"`
}

// Clients is one page of the ledger: the answer to GET /v1/clients.
type Clients struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	Total   int       `json:"total"` // that match
	Offset  int       `json:"offset"`
	Clients []Client  `json:"clients"`
}

// Client is one row of the ledger.
type Client struct {
	ID      string    `json:"id"` // the CMID as Windows writes it, or the address: what /v1/why takes
	CMID    string    `json:"cmid,omitempty"`
	Machine string    `json:"machine,omitempty"` // what it calls itself, only version 4 shows it
	Address string    `json:"address"`           // where it last called from
	Version string    `json:"protocol"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Served  time.Time `json:"served,omitzero"` // when a host last took its request
	Host    string    `json:"host,omitempty"`  // that answered last
	Result  string    `json:"result"`
	Calls   uint64    `json:"calls"`
	Silent  float64   `json:"silent_days"`
}

// Why is all that is known of one client: the answer to GET /v1/why?client=.
type Why struct {
	Version     int          `json:"version"`
	At          time.Time    `json:"at"`
	Query       string       `json:"query"`       // as it was asked for
	Story       []string     `json:"story"`       // the answer in sentences
	Clients     []Client     `json:"clients"`     // of the ledger that it may be: more than one if a name or an address is shared
	Questions   []Question   `json:"questions"`   // to DNS from its address, newest first
	Calls       []Call       `json:"calls"`       // to the responder, newest first
	Preferences []Preference `json:"preferences"` // which host it would be sent to if it called now, in order
}

// Question is one DNS question for the KMS service, and what it was answered.
type Question struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	Name   string    `json:"name"`
	Type   string    `json:"type"`
	Result string    `json:"result"` // as of a Zone, or "fallthrough": another plugin of the server answered
	Answer string    `json:"answer"` // the records, the one that stood first first
}

// Call is one activation call.
type Call struct {
	At      time.Time `json:"at"`
	Pool    string    `json:"pool"`
	From    string    `json:"from"`
	CMID    string    `json:"cmid,omitempty"`
	Machine string    `json:"machine,omitempty"`
	Version string    `json:"protocol"`
	Result  string    `json:"result"`
	Host    string    `json:"host,omitempty"`
	HRESULT string    `json:"hresult"` // 0x00000000
	Meaning string    `json:"meaning"` // of the HRESULT and the result, in words
	Took    float64   `json:"took_seconds"`

	// What only version 4 shows.
	Required uint32 `json:"required,omitempty"` // the count that the client needs: 25 or 5
	Count    uint32 `json:"count,omitempty"`    // as the host answered it: below Required the client stays unactivated
	License  string `json:"license,omitempty"`  // the status of its licence, as the client says: unlicensed, licensed, notification...

	Asked []Asked `json:"asked"` // the hosts in the order in which they were asked
}

// Asked is one host that was asked in one call.
type Asked struct {
	Host    string  `json:"host"`
	Outcome string  `json:"outcome"`
	Error   string  `json:"error,omitempty"`
	Took    float64 `json:"took_seconds"`
}

// Preference is one host's place for one client, and why.
type Preference struct {
	Pool     string `json:"pool"`
	Endpoint string `json:"endpoint"`
	Why      string `json:"why"`
}

// Problem is the answer to what cannot be done.
type Problem struct {
	Version int    `json:"version"`
	Error   string `json:"error"`
}
