package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// rowVersion is the first octet of a row. One that is not known is an error: the row was written by a later program.
const rowVersion = 1

// maxText bounds each text of a row. The longest that a caller can bring is the name of a machine: 63 UTF-16 units.
const maxText = 1024

var errRow = errors.New("the row is damaged")

// Key is c as the key of a row in a store: a letter, and the machine id or the address.
func (c Client) Key() string {
	if c.Address.IsValid() {
		return "a" + string(c.Address.AsSlice())
	}
	return "m" + string(c.CMID[:])
}

// ParseKey is the client that a key is of.
func ParseKey(key string) (c Client, err error) {
	if len(key) == 1+len(c.CMID) && key[0] == 'm' {
		copy(c.CMID[:], key[1:])
		return c, nil
	}
	if a, ok := netip.AddrFromSlice([]byte(key[min(len(key), 1):])); ok && key[0] == 'a' {
		return ByAddress(a), nil
	}
	return c, fmt.Errorf("%q is the key of no client", key)
}

// AppendRow appends what a store keeps of e: everything but its Client, which is the key. A hundred thousand of these are
// read at a start, which is why they are not JSON.
func (e Entry) AppendRow(b []byte) []byte {
	b = append(b, rowVersion)
	b = appendText(b, string(e.From.AsSlice()))
	b = appendTime(b, e.First)
	b = appendTime(b, e.Last)
	b = appendText(b, e.Host)
	b = appendText(b, e.Home)
	if e.Home != "" {
		b = appendTime(b, e.Served)
	}
	b = appendText(b, e.Version)
	b = appendText(b, e.Result)
	b = appendText(b, e.Machine)
	b = binary.AppendUvarint(b, e.Calls)
	b = binary.AppendUvarint(b, uint64(len(e.Visits)))
	for _, v := range e.Visits {
		b = appendText(b, v.Host)
		b = appendTime(b, v.At)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte { return binary.AppendVarint(b, t.UnixNano()) }

// Rows reads rows. One for all of them shares the words that they have in common.
type Rows struct{ words map[string]string }

// Parse is the entry of a row and its key.
func (r *Rows) Parse(key string, row []byte) (Entry, error) {
	var e Entry
	var err error
	if e.Client, err = ParseKey(key); err != nil {
		return Entry{}, err
	}
	if len(row) == 0 {
		return Entry{}, errRow
	}
	if row[0] != rowVersion {
		return Entry{}, fmt.Errorf("the row has version %d, known is %d", row[0], rowVersion)
	}
	c := cursor{rest: row[1:], words: r}
	if from := c.octets(); len(from) > 0 {
		var ok bool
		if e.From, ok = netip.AddrFromSlice(from); !ok {
			return Entry{}, errRow
		}
	}
	e.First, e.Last = c.time(), c.time()
	e.Host, e.Home = c.word(), c.word()
	if e.Home != "" {
		e.Served = c.time()
	}
	e.Version, e.Result, e.Machine = c.word(), c.word(), string(c.octets())
	e.Calls = c.number()
	n := c.number()
	if c.failed || n > maxVisits {
		return Entry{}, errRow
	}
	for range n {
		e.Visits = append(e.Visits, Visit{c.word(), c.time()})
	}
	if c.failed || len(c.rest) > 0 {
		return Entry{}, errRow
	}
	return e, nil
}

// cursor takes a row apart. After the first thing that is not there it has failed, and finds nothing more.
type cursor struct {
	rest   []byte
	words  *Rows
	failed bool
}

func (c *cursor) number() uint64 {
	v, n := binary.Uvarint(c.rest)
	return took(c, v, n)
}

func (c *cursor) time() time.Time {
	v, n := binary.Varint(c.rest)
	return time.Unix(0, took(c, v, n))
}

// took is v, for which n octets were read; n that is not above 0 says that there was no such number.
func took[T any](c *cursor, v T, n int) T {
	if n <= 0 {
		var none T
		c.failed, c.rest = true, nil
		return none
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) octets() []byte {
	n := c.number()
	if n > maxText || n > uint64(len(c.rest)) {
		c.failed, c.rest = true, nil
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

// maxWords bounds what Rows shares. In a file of ours it is hosts, versions and results; in another it might be anything.
const maxWords = 4096

// word is a text that many rows have.
func (c *cursor) word() string {
	b := c.octets()
	if s, ok := c.words.words[string(b)]; ok {
		return s
	}
	if c.words.words == nil {
		c.words.words = make(map[string]string)
	}
	s := string(b)
	if len(c.words.words) < maxWords {
		c.words.words[s] = s
	}
	return s
}
