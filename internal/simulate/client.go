package simulate

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/kmsresponder"
)

// tick is what the times of clients are kept in: 32 bits of them last for thirteen years.
const tick = 100 * time.Millisecond

// instant is a time in ticks since the start, plus one; 0 is never.
type instant uint32

// start is the beginning of all time: a Monday, midnight.
var start = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

func instantOf(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instant(t.Sub(start)/tick) + 1
}

func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return start.Add(time.Duration(i-1) * tick)
}

// client is one client between its attempts: kmsresponder.Learned in 24 octets, and its place in the queue. Ten million of
// them are alive at once.
type client struct {
	due  instant
	next uint32 // in the queue: the number of another client plus one, or 0

	installed, licensed instant
	activation, renewal uint16 // in minutes
	cached              uint8  // the number of a server plus one, or 0
	late                uint8  // office hours: how many half hours after the first it is switched on
}

func (c *client) learned(servers []kmsresponder.SRV) kmsresponder.Learned {
	l := kmsresponder.Learned{Installed: c.installed.time(), Licensed: c.licensed.time(),
		Activation: time.Duration(c.activation) * time.Minute, Renewal: time.Duration(c.renewal) * time.Minute}
	if c.cached != 0 {
		l.Cached = &servers[c.cached-1]
	}
	return l
}

func (c *client) learn(l *kmsresponder.Learned, numbers map[string]int) {
	c.installed, c.licensed = instantOf(l.Installed), instantOf(l.Licensed)
	c.activation, c.renewal = uint16(l.Activation/time.Minute), uint16(l.Renewal/time.Minute)
	c.cached = 0
	if l.Cached != nil {
		c.cached = uint8(numbers[l.Cached.Target]) + 1
	}
}

// Office hours: from Monday to Friday clients are on for nine hours, from a time between seven and nine.
const (
	officeOpens = 7 * time.Hour
	officeShift = 30 * time.Minute
	officeParts = 5
	officeTime  = 9 * time.Hour
	officeHaste = 10 * time.Minute // within which a client that was just switched on makes up for what it missed
)

// on is when the client is next switched on, which is t itself if it is on then.
func (c *client) on(t time.Time) time.Time {
	for midnight := t.Truncate(24 * time.Hour); ; midnight = midnight.AddDate(0, 0, 1) {
		if day := midnight.Weekday(); day == time.Saturday || day == time.Sunday {
			continue
		}
		opens := midnight.Add(officeOpens + time.Duration(c.late)*officeShift)
		switch {
		case t.Before(opens):
			return opens
		case t.Before(opens.Add(officeTime)):
			return t
		}
	}
}

// cmid is the machine id of client n.
func cmid(n uint32) kmswire.GUID {
	id := kmswire.GUID{0: 'r', 1: 'e', 2: 'h', 3: 'e', 4: 'a', 5: 'r', 6: 's', 7: 'a', 8: 'l'}
	binary.BigEndian.PutUint32(id[12:], n)
	return id
}

// address is where client n calls from.
func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}
