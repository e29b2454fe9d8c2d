package store

import (
	"fmt"
	"io"
	"strconv"
)

// The format: top-level bbolt buckets of plain records, and one named meta that says what the file is. A new bucket is no new
// format, since the sum covers buckets that this program does not know and it leaves them alone.
const (
	application = "coredns-kms"
	format      = 1
)

var (
	metaBucket     = []byte("meta")
	applicationKey = []byte("application") // the text above
	formatKey      = []byte("format")      // decimal
	sumKey         = []byte("sum")         // sumOf every record outside of meta, added up; 16 hexadecimal digits
)

func formatSum(sum uint64) []byte { return fmt.Appendf(nil, "%016x", sum) }

// check reads all of a file and returns the sum of its records. It returns ErrForeign, ErrNewer (saying which), errRead if the
// disk would not give it, and any other error for damage, in words. It ends on whatever it is given, and needs memory for the
// pages from the root of the tree to one leaf, and an octet for each page.
func check(r io.ReaderAt, size int64) (sum uint64, err error) {
	p, err := openPages(r, size)
	if err != nil {
		return 0, err
	}
	// What it is comes first: the rest is to be understood only if it is ours, and of this format.
	want, err := p.identity()
	if err != nil {
		return 0, err
	}
	if sum, err = p.records(); err != nil {
		return 0, err
	}
	if sum != want {
		return 0, fmt.Errorf("its records add up to %016x, and %016x is written in it", sum, want)
	}
	return sum, p.accounted()
}

// identity finds out whose file it is, and returns the sum that it ought to have.
func (p *pages) identity() (sum uint64, err error) {
	meta := map[string]string{}
	err = p.tree(p.root, func(name, value []byte, isBucket bool) error {
		if !isBucket || string(name) != string(metaBucket) {
			return nil
		}
		return p.bucket(value, func(k, v []byte, _ bool) error {
			switch key := string(k); key {
			case string(applicationKey), string(formatKey), string(sumKey):
				meta[key] = string(v[:min(len(v), 100)]) // what it is in a foreign file could be long
			}
			return nil
		})
	})
	if err != nil {
		return 0, err
	}
	clear(p.use)
	if meta[string(applicationKey)] != application {
		return 0, ErrForeign
	}
	v, err := strconv.ParseUint(meta[string(formatKey)], 10, 32)
	switch {
	case err != nil || v == 0:
		return 0, fmt.Errorf("its format is %q, which is no number", meta[string(formatKey)])
	case v > format:
		return 0, newer(v)
	}
	// Capital letters, too, are what nobody wrote here.
	sum, err = strconv.ParseUint(meta[string(sumKey)], 16, 64)
	if err != nil || meta[string(sumKey)] != string(formatSum(sum)) {
		return 0, fmt.Errorf("its sum is %q, which is no number of 16 hexadecimal digits", meta[string(sumKey)])
	}
	return sum, nil
}

// records reads every record, and returns their sum.
func (p *pages) records() (sum uint64, err error) {
	err = p.tree(p.root, func(name, value []byte, isBucket bool) error {
		if !isBucket {
			return fmt.Errorf("record %q stands outside of any bucket", name)
		}
		return p.bucket(value, func(k, v []byte, isBucket bool) error {
			switch {
			case isBucket:
				return fmt.Errorf("bucket %q has another bucket in it", name)
			case string(name) != string(metaBucket):
				sum += sumOf(string(name), k, v)
			}
			return nil
		})
	})
	return sum, err
}

// newer is ErrNewer with the format that the file has.
type newer uint64

func (n newer) Error() string        { return fmt.Sprintf("format %d", uint64(n)) }
func (n newer) Is(target error) bool { return target == ErrNewer }
