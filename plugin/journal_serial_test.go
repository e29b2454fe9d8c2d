package plugin

import (
	"testing"
	"time"
)

// TestNewer has the cases of RFC 1982 with 32 bits.
func TestNewer(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b uint32
		want bool
	}{
		"the same":                    {7, 7, false},
		"one more":                    {8, 7, true},
		"one less":                    {7, 8, false},
		"over the end":                {0, 0xffffffff, true},
		"and back":                    {0xffffffff, 0, false},
		"well over the end":           {100, 0xffffff00, true},
		"as far ahead as there is":    {0x7fffffff, 0, true},
		"half the circle is neither":  {0x80000000, 0, false},
		"nor from the other side":     {0, 0x80000000, false},
		"more than half is behind":    {0x80000001, 0, false},
		"and so the other is ahead":   {0, 0x80000001, true},
		"half the circle, from 5":     {0x80000005, 5, false},
		"one less than that, from 5":  {0x80000004, 5, true},
		"as many octets of a date":    {2026010100, 1767225600, true},
		"the year 2038, by the clock": {1 << 31, 1<<31 - 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := newer(tt.a, tt.b); got != tt.want {
				t.Errorf("newer(%d, %d) = %v", tt.a, tt.b, got)
			}
		})
	}
}

func TestNextSerial(t *testing.T) {
	const now = 1767225600 // 2026-01-01
	for name, tt := range map[string]struct {
		last uint32
		unix int64
		want uint32
	}{
		"the first":                             {0, now, now},
		"a restart later":                       {now - 3600, now, now},
		"two within a second":                   {now, now, now + 1},
		"a burst ran ahead of the clock":        {now + 5, now, now + 6},
		"the clock was set back a year":         {now, now - 365*86400, now + 1},
		"the clock was years ahead once":        {now + 1<<30, now, now + 1<<30 + 1},
		"half the circle apart: by the last":    {1, 1<<31 + 2, 2},
		"after 2038, the first":                 {0, 1<<31 + 1000, 1<<31 + 1000},
		"after 2038, later":                     {1<<31 + 1000, 1<<31 + 5000, 1<<31 + 5000},
		"the last one before the wrap":          {0xffffffff, 0xffffffff, 1},
		"wraps with a clock set back":           {0xffffffff, 0xfffffff0, 1},
		"in 2106 the clock wraps":               {0xfffffff0, 1<<32 + 20, 20},
		"and may be just zero":                  {0xfffffff0, 1 << 32, 1},
		"zero for the first":                    {0, 1 << 32, 1},
		"before 1970, on a machine with no RTC": {0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := nextSerial(tt.last, time.Unix(tt.unix, 0))
			if got != tt.want {
				t.Errorf("nextSerial(%d, %d) = %d, want %d", tt.last, tt.unix, got, tt.want)
			}
			if tt.last != 0 && !newer(got, tt.last) {
				t.Errorf("%d is not newer than %d", got, tt.last)
			}
		})
	}
}

// TestSerialsGrow: whatever the clock does.
func TestSerialsGrow(t *testing.T) {
	serial, clock := uint32(0xfffffe00), int64(0xfffffe00)
	for i := range int64(2000) {
		clock += []int64{1, -300, 0, 3600, -3599, 7}[i%6]
		next := nextSerial(serial, time.Unix(clock, 0))
		if next == 0 || !newer(next, serial) {
			t.Fatalf("After %d at %d: %d", serial, clock, next)
		}
		serial = next
	}
}
