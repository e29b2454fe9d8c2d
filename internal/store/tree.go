package store

import (
	"bytes"
	"errors"
	"fmt"
)

// A visit is called with what a leaf holds, in the order of keys. The octets are its own until it returns.
type visit func(key, value []byte, isBucket bool) error

// bucket visits what is in a bucket, given its value in the bucket above.
func (p *pages) bucket(value []byte, f visit) error {
	if len(value) < 16 {
		return fmt.Errorf("a bucket of %d octets is too short", len(value))
	}
	if root := native.Uint64(value); root != 0 {
		return p.tree(root, f)
	}
	inline := value[16:]
	if len(inline) < headerLen || native.Uint16(inline[8:]) != kindLeaf {
		return errors.New("a bucket without a page of its own has no leaf in it")
	}
	return leaf(inline, limits{}, f)
}

func (p *pages) tree(root uint64, f visit) error { return p.subtree(root, limits{}, f) }

// limits are between which the keys of a subtree lie: from low, and before high unless that is nil.
type limits struct{ low, high []byte }

// follows checks key i of a page, whose key before that is last.
func (l limits) follows(key, last []byte, i int) error {
	if len(key) == 0 {
		return fmt.Errorf("key %d is empty", i)
	}
	if bytes.Compare(key, l.low) < 0 || l.high != nil && bytes.Compare(key, l.high) >= 0 || bytes.Compare(key, last) <= 0 {
		return fmt.Errorf("key %d is out of order", i)
	}
	return nil
}

// subtree goes down as far as the tree does, which ends since read refuses to read a page twice.
func (p *pages) subtree(id uint64, l limits, f visit) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	switch kind := native.Uint16(page[8:]); kind {
	case kindLeaf:
		if err := leaf(page, l, f); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		return nil
	case kindBranch:
		children, err := branch(page, l)
		if err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
		for i, c := range children {
			below := limits{c.key, l.high}
			if i+1 < len(children) {
				below.high = children[i+1].key
			}
			if err := p.subtree(c.page, below, f); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("page %d is of kind %d, which has no place in a tree", id, kind)
	}
}

type child struct {
	key  []byte
	page uint64
}

// branch is what is below a branch page.
func branch(page []byte, l limits) ([]child, error) {
	n := int(native.Uint16(page[10:]))
	if n == 0 {
		return nil, errors.New("a branch with nothing below")
	}
	children := make([]child, n)
	var last []byte
	for i := range children {
		e, err := element(page, i)
		if err != nil {
			return nil, err
		}
		key, err := part(e, native.Uint32(e), native.Uint32(e[4:]))
		if err != nil {
			return nil, err
		}
		if err := l.follows(key, last, i); err != nil {
			return nil, err
		}
		children[i], last = child{key, native.Uint64(e[8:])}, key
	}
	return children, nil
}

// leaf visits the elements of a leaf page.
func leaf(page []byte, l limits, f visit) error {
	var last []byte
	for i := range int(native.Uint16(page[10:])) {
		e, err := element(page, i)
		if err != nil {
			return err
		}
		flags, at, k, v := native.Uint32(e), native.Uint32(e[4:]), native.Uint32(e[8:]), native.Uint32(e[12:])
		if flags > 1 {
			return fmt.Errorf("element %d has flags %x", i, flags)
		}
		key, err := part(e, at, k)
		if err != nil {
			return err
		}
		value, err := part(e[uint64(at)+uint64(k):], 0, v)
		if err != nil {
			return err
		}
		if err := l.follows(key, last, i); err != nil {
			return err
		}
		if err := f(key, value, flags == 1); err != nil {
			return err
		}
		last = key
	}
	return nil
}

// element is element i of a page and whatever comes behind.
func element(page []byte, i int) ([]byte, error) {
	at := headerLen + i*elementLen
	if at+elementLen > len(page) {
		return nil, fmt.Errorf("element %d is behind the end of the page", i)
	}
	return page[at:], nil
}

// part is n octets of b from at on.
func part(b []byte, at, n uint32) ([]byte, error) {
	if uint64(at)+uint64(n) > uint64(len(b)) {
		return nil, errors.New("an element reaches behind the end of the page")
	}
	return b[at:][:n], nil
}
