package history

// depth is how many events are kept of one who is remembered.
const depth = 8

// recent keeps the last few values of each of the keys that lately had any; of too many keys it forgets the one that was
// silent for longest. It is not safe for concurrent use. At its bound it allocates nothing.
type recent[K comparable, V any] struct {
	max    int
	by     map[K]*series[K, V]
	newest *series[K, V] // of a ring in the order of their last values
}

// series is the last values of one key.
type series[K comparable, V any] struct {
	key          K
	values       [depth]V
	count        int // of values that ever came
	newer, older *series[K, V]
}

// add remembers v as the latest of k.
func (r *recent[K, V]) add(k K, v V) {
	s := r.by[k]
	switch {
	case s != nil:
		r.unlink(s)
	case len(r.by) >= r.max:
		s = r.newest.newer // a ring: that is the oldest
		r.unlink(s)
		delete(r.by, s.key)
		*s = series[K, V]{key: k}
		r.by[k] = s
	default:
		if r.by == nil {
			r.by = make(map[K]*series[K, V])
		}
		s = &series[K, V]{key: k}
		r.by[k] = s
	}
	s.values[s.count%depth] = v
	s.count++
	r.link(s)
}

// of is the values of k, the latest first.
func (r *recent[K, V]) of(k K) []V {
	if s := r.by[k]; s != nil {
		return s.latest(nil)
	}
	return nil
}

// all calls f with every key and its values, the latest first.
func (r *recent[K, V]) all(f func(K, []V)) {
	var room [depth]V
	for k, s := range r.by {
		f(k, s.latest(room[:0]))
	}
}

func (s *series[K, V]) latest(to []V) []V {
	for n := s.count - 1; n >= 0 && n >= s.count-depth; n-- {
		to = append(to, s.values[n%depth])
	}
	return to
}

func (r *recent[K, V]) link(s *series[K, V]) {
	if r.newest == nil {
		s.newer, s.older = s, s
	} else {
		s.older, s.newer = r.newest, r.newest.newer
		s.older.newer, s.newer.older = s, s
	}
	r.newest = s
}

func (r *recent[K, V]) unlink(s *series[K, V]) {
	if s.newer == s {
		r.newest = nil
		return
	}
	s.newer.older, s.older.newer = s.older, s.newer
	if r.newest == s {
		r.newest = s.older
	}
}
