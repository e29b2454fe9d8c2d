package pool

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Condition says how an answer came about.
type Condition uint8

const (
	Calm          Condition = iota // every offered host is up, or not asked yet
	Unsettled                      // a suspect is offered, or nothing but names that do not resolve
	SelfSuspected                  // all hosts failed together: this machine suspects itself and keeps the last good answer
	AllDown                        // no host is left: Records is the first tier as configured, to be served or not; none if there is none
)

var conditionWords = [...]string{"calm", "unsettled", "self-suspected", "all-down"}

func (c Condition) String() string { return conditionWords[c] }

// Conditions is every condition, for those who prepare a row for each.
func Conditions() []Condition { return []Condition{Calm, Unsettled, SelfSuspected, AllDown} }

// Record is one KMS host as clients are to see it.
type Record struct {
	Endpoint  string       // the host's name in logs
	Name      string       // absolute, lower-case; empty for a host given by its address
	Port      uint16       //
	Priority  uint16       // as configured, or behind every healthy host while suspect
	Weight    uint16       // as configured
	Addresses []netip.Addr // the last known, not to be changed; empty if its name never resolved
}

// Snapshot is what to answer, from one change to the next. It is never changed once published; any number of goroutines
// may read it without a lock.
type Snapshot struct {
	Serial    uint64    // grows by one with each snapshot of a pool
	Built     time.Time // when it was published
	Condition Condition
	Records   []Record // by priority, then in the order of the Corefile, then by endpoint; empty if every host is drained or claimed
	Checked   bool     // every host but the claimed was asked once, or is remembered from before
	Standing  int      // how many hosts may be asked, be they up or down: all but the drained and the claimed
	orders    [][]uint16
}

// Order is one of the prepared RFC 2782 orderings of Records, as indices into it, for clients that take the first record.
// n chooses: drawn at random, each host comes first as often as its priority and weight ask.
func (s *Snapshot) Order(n uint32) []uint16 {
	return s.orders[int(uint64(n)*uint64(len(s.orders))>>32)]
}

// sameAnswer says whether clients, of DNS or RPC, would see no difference between s and other.
func (s *Snapshot) sameAnswer(other *Snapshot) bool {
	return s.Condition == other.Condition && s.Checked == other.Checked && s.Standing == other.Standing &&
		slices.EqualFunc(s.Records, other.Records, func(a, b Record) bool {
			return a.Endpoint == b.Endpoint && a.Priority == b.Priority && a.Weight == b.Weight &&
				slices.Equal(a.Addresses, b.Addresses)
		})
}

// member is one host as far as the answer depends on it.
type member struct {
	record Record // with the configured priority
	state  State
	held   bool // part of the last good answer that self-suspicion keeps
	lost   bool // unchecked because its name does not resolve: nothing is known of it, and nobody may count on it
}

// alive is whether m may well serve a client.
func (m member) alive() bool {
	return m.held || !m.lost && (m.state == Unchecked || m.state == Up || m.state == Suspect)
}

// answer decides which hosts are offered, in which tier: the rules of health, with nothing of time or probes in them.
func answer(members []member) ([]Record, Condition) {
	var healthy, suspect, lost, held, standing []Record
	down := false
	for _, m := range members {
		if m.state == Drained || m.state == Claimed {
			continue
		}
		standing = append(standing, m.record)
		switch {
		case m.held:
			held = append(held, m.record)
		case m.lost:
			lost = append(lost, m.record)
		case m.state == Down:
			down = true
		case m.state == Unchecked || m.state == Up:
			healthy = append(healthy, m.record)
		case m.state == Suspect:
			suspect = append(suspect, m.record)
		}
	}
	switch {
	case len(held) > 0:
		return inOrder(demote(held, append(suspect, lost...))), SelfSuspected
	case len(healthy) > 0 && len(suspect) > 0:
		return inOrder(demote(healthy, append(suspect, lost...))), Unsettled
	case len(healthy) > 0:
		return inOrder(demote(healthy, lost)), Calm
	case len(suspect) > 0:
		return inOrder(demote(suspect, lost)), Unsettled
	case len(lost) > 0 && !down:
		return inOrder(lost), Unsettled
	default:
		return firstTier(inOrder(standing)), AllDown
	}
}

// demote puts suspects, who may be nobody, behind the healthy: their priorities become the numbers after the highest healthy
// one, in their own order. Where no numbers are left above it, all are numbered afresh from 0.
func demote(healthy, suspect []Record) []Record {
	ranks := func(records []Record) map[uint16]int {
		var found []uint16
		for _, r := range records {
			found = append(found, r.Priority)
		}
		slices.Sort(found)
		rank := make(map[uint16]int)
		for i, p := range slices.Compact(found) {
			rank[p] = i
		}
		return rank
	}
	last := slices.MaxFunc(healthy, func(a, b Record) int { return cmp.Compare(a.Priority, b.Priority) }).Priority
	behind, first := ranks(suspect), int(last)+1
	if first+len(behind)-1 > 65535 {
		ahead := ranks(healthy)
		for i := range healthy {
			healthy[i].Priority = uint16(ahead[healthy[i].Priority])
		}
		first = len(ahead)
	}
	for i := range suspect {
		suspect[i].Priority = uint16(first + behind[suspect[i].Priority])
	}
	return append(healthy, suspect...)
}

// inOrder sorts by priority and keeps the order of the Corefile among equals.
func inOrder(records []Record) []Record {
	slices.SortStableFunc(records, func(a, b Record) int { return cmp.Compare(a.Priority, b.Priority) })
	return records
}

func firstTier(records []Record) []Record {
	n := 0
	for n < len(records) && records[n].Priority == records[0].Priority {
		n++
	}
	return records[:n]
}
