package ledger

import (
	"net/netip"
	"time"
)

// Client tells clients apart: by the machine id that they give themselves (CMID) where it can be seen, else by the address
// that they call from. Clients behind one address translator are then one, which makes counts too low and never too high.
type Client struct {
	CMID    [16]byte   // as on the wire; zero if it cannot be seen
	Address netip.Addr // without a zone, and not IPv4-mapped; the zero Addr if CMID is set
}

// ByCMID is the client with this machine id.
func ByCMID(id [16]byte) Client { return Client{CMID: id} }

// ByAddress is the client at a, whose machine id cannot be seen.
func ByAddress(a netip.Addr) Client { return Client{Address: a.Unmap().WithZone("")} }

// Call is what is recorded of one call.
type Call struct {
	At      time.Time
	Client  Client
	From    netip.Addr // the address it came from
	Host    string     // the endpoint that answered, empty if none did
	Counted bool       // Host took the request: it counts the client from now on
	Copied  bool       // sent to Host beside the client's own call, to keep Host warm: the client knows nothing of it
	Version string     // of the protocol, "6.0"
	Result  string     // one of a few words
	Machine string     // what the client calls itself, as it came: not fit for a log; empty if it cannot be seen
}

// Entry is what the ledger knows of one client.
type Entry struct {
	Client
	From    netip.Addr // where it last called from
	First   time.Time
	Last    time.Time
	Host    string    // of the last call that was answered, whatever the answer
	Home    string    // the host that last took a request; empty if none ever did, and then Served is zero
	Served  time.Time // when that was
	Version string    // of the last call, and so are the next two
	Result  string
	Machine string
	Calls   uint64
	Visits  []Visit // one for each host that counts the client, at most maxVisits
}

// Visit is the last time that a host took a request of a client, its own or a copy.
type Visit struct {
	Host string
	At   time.Time
}
