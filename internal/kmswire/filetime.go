package kmswire

import "time"

// Filetime is a time as Windows sends it: units of 100 ns since 1601-01-01 UTC.
type Filetime uint64

const (
	filetimeSecond = 10_000_000     // units in a second
	filetimeUnix   = 11_644_473_600 // seconds from 1601 to 1970
)

// FiletimeOf returns t, rounded down; times before 1601 become 0.
func FiletimeOf(t time.Time) Filetime {
	s := t.Unix() + filetimeUnix
	if s < 0 {
		return 0
	}
	return Filetime(s)*filetimeSecond + Filetime(t.Nanosecond()/100)
}

// Time returns f in UTC. Every value has one: the last is in the year 60056.
func (f Filetime) Time() time.Time {
	return time.Unix(int64(f/filetimeSecond)-filetimeUnix, int64(f%filetimeSecond)*100).UTC()
}
