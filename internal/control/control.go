// Package control is how a person on the same machine sees and changes what a running server believes of its KMS hosts:
// HTTP and JSON over a Unix socket, whose file permissions say who may. It owns the socket, the shape of what goes over it,
// and both ends: Server, and Client for the commands.
//
// It knows no DNS and no RPC. What a drain does, and where it is kept, is the engine's affair.
package control

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// DefaultSocket is where the commands look for a server.
const DefaultSocket = "/run/coredns-kms/control.sock"

// Version is of the shapes below, and the first element of every path. Fields may be added to a version, and programs are to
// ignore those that they do not know; what is there keeps its name and meaning.
const Version = 1

// Bounds of what a client may send.
const (
	maxBody        = 64 << 10
	maxHost        = 300 // octets; a host name has at most 253, and then there is the port
	maxWhy         = 500
	maxBy          = 100
	maxHeader      = 8 << 10
	maxConnections = 16 // more wait
)

// Hosts is the answer to GET /v1/hosts.
type Hosts struct {
	Version int       `json:"version"`
	Pools   []Pool    `json:"pools"`
	Absent  []Drained `json:"absent,omitempty"` // hosts that are in no pool and will be drained should they come back
	Note    string    `json:"note,omitempty"`   // what could not be found out
}

// Pool is the hosts of one kms block, or of several that name the same.
type Pool struct {
	Name      string `json:"name"`
	Condition string `json:"condition"` // calm, unsettled, self-suspected or all-down
	Hosts     []Host `json:"hosts"`
}

// Host is what is known of one KMS host.
type Host struct {
	Endpoint  string    `json:"endpoint"` // kms1.example.org:1688
	State     string    `json:"state"`
	Since     time.Time `json:"since"` // when it took this state
	Priority  uint16    `json:"priority"`
	Weight    uint16    `json:"weight"`
	Addresses []string  `json:"addresses"`
	Announced bool      `json:"announced"`         // by an UPDATE, and not in the Corefile
	Probed    time.Time `json:"probed,omitzero"`   // when it was last asked
	RTT       float64   `json:"rtt_seconds"`       // of that
	Error     string    `json:"error,omitempty"`   // why it is not up, in words
	Drained   *Drainage `json:"drained,omitempty"` // who took it out
}

// Drainage is who took a host out, why and when.
type Drainage struct {
	By  string    `json:"by"`
	Why string    `json:"why,omitempty"`
	At  time.Time `json:"at"`
}

// Drained is a host that is in no pool.
type Drained struct {
	Endpoint string `json:"endpoint"`
	Drainage
}

// Request is the body of POST /v1/drain and /v1/undrain.
type Request struct {
	Host string `json:"host"`          // a name or an address, with or without a port
	Why  string `json:"why,omitempty"` // for those who come later
	By   string `json:"by,omitempty"`  // who asks, where that is not who runs the client: "alice" behind sudo. Shown, never trusted.
}

// Decision is the answer to both.
type Decision struct {
	Version  int      `json:"version"`
	Host     string   `json:"host"`  // the endpoint
	Pools    []string `json:"pools"` // that have it
	Kept     bool     `json:"kept"`  // it outlives a restart
	Notes    []string `json:"notes,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Problem is the answer to what could not be done.
type Problem struct {
	Version int    `json:"version"`
	Error   string `json:"error"`
}

// clean is s as a line of text of at most n octets. What is kept here is shown on terminals, for years perhaps.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	for len(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
