package kmsresponder

// watched gives each of what is watched a key, under which its events come, and which is
// nobody else's even when the place is.
type watched[T any] struct {
	kind   int32
	places []place[T]
	free   []int32
	here   int
}

type place[T any] struct {
	is   *T
	turn int32
}

// key is what an event says of where it comes from: the place, how often that was
// taken, and, in the lowest two bits of turn, the kind.
type key struct{ slot, turn int32 }

const kinds = 4

func (k key) kind() int32 { return k.turn & (kinds - 1) }

func (t *watched[T]) put(v *T) key {
	t.here++
	if n := len(t.free); n > 0 {
		slot := t.free[n-1]
		t.free = t.free[:n-1]
		t.places[slot].is = v
		return key{slot, t.places[slot].turn}
	}
	t.places = append(t.places, place[T]{v, t.kind})
	return key{int32(len(t.places) - 1), t.kind}
}

// get returns what has k, or nil if that was dropped.
func (t *watched[T]) get(k key) *T {
	if p := t.places[k.slot]; p.turn == k.turn {
		return p.is
	}
	return nil
}

func (t *watched[T]) drop(k key) {
	p := &t.places[k.slot]
	p.is = nil
	p.turn += kinds
	t.free = append(t.free, k.slot)
	t.here--
}
