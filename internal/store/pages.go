package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt's file, as its internal/common has it: pages of one size, numbered from 0, all numbers in the machine's own byte order.
//
//	page:   number u64, kind u16, count u16, overflow u32 (so many pages after it belong to it), then what its kind says
//	meta:   pages 0 and 1; the valid one with the higher transaction is the state of the file:
//	        magic u32, version u32, size of pages u32, flags u32, root page u64, sequence u64, page of the free list u64,
//	        pages in use u64, transaction u64, FNV-1a of all that u64
//	branch: count times (position u32, length of key u32, page u64), keys; positions are from the element's own start
//	leaf:   count times (flags u32, position u32, length of key u32, of value u32), keys and values
//	free:   count page numbers u64; if count is 65535 the first is the count
//	bucket: the value of a leaf element with flag 1: root page u64, sequence u64; if root is 0 a leaf page follows in place
const (
	headerLen  = 16
	metaLen    = 64
	elementLen = 16

	kindBranch = 1
	kindLeaf   = 2
	kindFree   = 16

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	minPage, maxPage = 1 << 10, 1 << 24 // what bbolt looks for
)

// What a page was found to be.
const (
	unused uint8 = iota
	reached
	free
)

var (
	native  = binary.NativeEndian
	errRead = errors.New("it cannot be read")
)

// pages reads a bbolt file with bounds on everything. It checks what bbolt's own Tx.Check does, and the boundaries within
// pages, which that takes for granted.
type pages struct {
	r        io.ReaderAt
	size     int64  // of one page, in octets
	root     uint64 // page of the top-level bucket
	freelist uint64
	use      []uint8 // of each page that is in use or free
}

// openPages finds the valid state of a file of length octets.
func openPages(r io.ReaderAt, length int64) (*pages, error) {
	state, magic, err := metaAt(r, 0)
	if err != nil {
		return nil, err
	}
	// If page 0 is no good, page 1 is wherever the size of pages puts it. One of them being no good is not damage: it was being
	// written when the power failed, and nobody was told that it had been.
	from, to := int64(minPage), int64(maxPage)
	if state != nil {
		from = int64(native.Uint32(state[8:]))
		to = from
		if from < minPage || from > maxPage || from&(from-1) != 0 {
			return nil, fmt.Errorf("its pages have %d octets", from)
		}
	}
	for at := from; at <= to && at < length; at *= 2 {
		other, m, err := metaAt(r, at)
		if err != nil {
			return nil, err
		}
		magic = magic || m
		if other == nil {
			continue
		}
		if size := int64(native.Uint32(other[8:])); size != at {
			return nil, fmt.Errorf("its pages have %d octets, and the second of them begins at %d", size, at)
		}
		if state == nil || native.Uint64(other[48:]) > native.Uint64(state[48:]) {
			state = other
		}
		break
	}
	switch {
	case state == nil && magic:
		return nil, errors.New("neither of its first two pages is valid")
	case state == nil:
		return nil, ErrForeign
	}
	p := &pages{r: r, size: int64(native.Uint32(state[8:])), root: native.Uint64(state[16:]), freelist: native.Uint64(state[32:])}
	n := native.Uint64(state[40:])
	if n > uint64(length/p.size) {
		return nil, fmt.Errorf("it is truncated: %d of its %d pages are there", length/p.size, n)
	}
	p.use = make([]uint8, n)
	return p, nil
}

// metaAt reads what the meta page at an offset says, nil if it is not valid; and whether it has bbolt's mark at all.
func metaAt(r io.ReaderAt, at int64) (state []byte, magic bool, err error) {
	page := make([]byte, headerLen+metaLen)
	n, err := r.ReadAt(page, at)
	if err != nil && err != io.EOF {
		return nil, false, fmt.Errorf("%w: %w", errRead, err)
	}
	state = page[headerLen:] // zeros where the file has ended
	if native.Uint32(state) != boltMagic {
		return nil, false, nil
	}
	sum := fnv.New64a()
	_, _ = sum.Write(state[:metaLen-8])
	if n < len(page) || native.Uint32(state[4:]) != boltVersion || native.Uint64(state[metaLen-8:]) != sum.Sum64() {
		return nil, true, nil
	}
	return state, true, nil
}

// read reads a page with those that belong to it, and notes that they are reached, which each may be once: bbolt would follow
// a circle until its stack is full, and that ends the process.
func (p *pages) read(id uint64) ([]byte, error) {
	if id < 2 || id >= uint64(len(p.use)) {
		return nil, fmt.Errorf("page %d is asked for, and they end at %d", id, len(p.use))
	}
	page := make([]byte, p.size)
	if err := p.fill(page, id); err != nil {
		return nil, err
	}
	if got := native.Uint64(page); got != id {
		return nil, fmt.Errorf("page %d says it is %d", id, got)
	}
	n := 1 + uint64(native.Uint32(page[12:]))
	if n > uint64(len(p.use))-id {
		return nil, fmt.Errorf("page %d has %d pages, and they end at %d", id, n, len(p.use))
	}
	for i := id; i < id+n; i++ {
		if err := p.mark(i, reached); err != nil {
			return nil, err
		}
	}
	if n == 1 {
		return page, nil
	}
	all := make([]byte, int64(n)*p.size)
	return all, p.fill(all, id)
}

func (p *pages) fill(b []byte, id uint64) error {
	if _, err := p.r.ReadAt(b, int64(id)*p.size); err != nil {
		return fmt.Errorf("%w: %w", errRead, err)
	}
	return nil
}

func (p *pages) mark(id uint64, use uint8) error {
	if p.use[id] != unused {
		return fmt.Errorf("page %d is used twice", id)
	}
	p.use[id] = use
	return nil
}

// accounted reads the free list, and checks that each page is either on it or was reached.
func (p *pages) accounted() error {
	list, err := p.read(p.freelist)
	if err != nil {
		return err
	}
	if kind := native.Uint16(list[8:]); kind != kindFree {
		return fmt.Errorf("page %d ought to be the free list, and is of kind %d", p.freelist, kind)
	}
	n, ids := uint64(native.Uint16(list[10:])), list[headerLen:]
	if n == 0xFFFF {
		n, ids = native.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids)/8) {
		return fmt.Errorf("page %d lists %d free pages, more than it has room for", p.freelist, n)
	}
	for i := range n {
		id := native.Uint64(ids[8*i:])
		if id < 2 || id >= uint64(len(p.use)) {
			return fmt.Errorf("page %d is listed as free, and they end at %d", id, len(p.use))
		}
		if err := p.mark(id, free); err != nil {
			return err
		}
	}
	for id := 2; id < len(p.use); id++ {
		if p.use[id] == unused {
			return fmt.Errorf("page %d is neither used nor free", id)
		}
	}
	return nil
}
