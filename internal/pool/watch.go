package pool

import "sync"

// watch tells any number of goroutines that something changed. The zero value is ready.
type watch struct {
	mu      sync.Mutex
	changed chan struct{} // nil while nobody waits
}

// next returns a channel that is closed by the next tell.
func (w *watch) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.changed
}

// tell wakes whoever waits.
func (w *watch) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// Changed returns a channel that is closed when Answer next changes. Who asks for it before Answer misses nothing.
func (p *Pool) Changed() <-chan struct{} { return p.watch.next() }
