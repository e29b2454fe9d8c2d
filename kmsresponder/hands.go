package kmsresponder

import "sync"

// spareHands is how many goroutines of a gateway may wait for a connection. One
// that has had a connection before has the stack for it; a new one grows its own
// anew, which costs a tenth of what a call does.
const spareHands = 64

// hands are the goroutines that carry on with connections. Only one goroutine
// may call take and dismiss.
type hands[T any] struct {
	do   func(T)
	most int
	next chan T // unbuffered: whoever receives is free
	all  sync.WaitGroup

	mu    sync.Mutex
	spare int // that wait, or are about to
}

// newHands returns hands of which most may wait.
func newHands[T any](do func(T), most int) *hands[T] {
	return &hands[T]{do: do, most: most, next: make(chan T)}
}

// take has c carried on with at once.
func (h *hands[T]) take(c T) {
	select {
	case h.next <- c:
	default:
		h.all.Go(func() { h.work(c) })
	}
}

func (h *hands[T]) work(c T) {
	for more := true; more; {
		h.do(c)
		if !h.rest(1) {
			return
		}
		c, more = <-h.next
		h.rest(-1)
	}
}

// rest counts one more or less that waits, and reports whether there is room.
func (h *hands[T]) rest(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.spare+n > h.most {
		return false
	}
	h.spare += n
	return true
}

// dismiss ends those that wait, and the others as soon as they are done, for
// which Wait of all waits.
func (h *hands[T]) dismiss() { close(h.next) }
