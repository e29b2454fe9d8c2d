package kmsresponder

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-kms/coredns-kms/internal/kmswire"
	"github.com/coredns-kms/coredns-kms/internal/ledger"
)

const (
	// declinedFor outlives the two hours after which a client that was not
	// activated tries again. It decides the order only, so a host that was given
	// a key meanwhile is still asked when the others fail.
	declinedFor = 24 * time.Hour

	maxDeclined = 10_000
)

// declined reports whether hr says that this host cannot serve this client, and
// another may.
func declined(hr kmswire.HRESULT) bool {
	return hr == kmswire.HostUnusable || hr == kmswire.NotActivated || hr == kmswire.NotEnabled
}

// refused is a host that declined a client's requests of one protocol version.
type refused struct {
	client   ledger.Client
	version  kmswire.Version
	endpoint string
}

// memory is who declined whom, the latest maxDeclined of them. It reads no
// clock; any number of goroutines may use it.
type memory struct {
	size atomic.Int64 // so that where nobody ever declines, nobody locks

	mu     sync.Mutex
	latest list.List // of remembered, the latest last
	by     map[refused]*list.Element
}

type remembered struct {
	refused
	at time.Time
}

// add remembers that r happened.
func (m *memory) add(r refused, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil {
		m.by = make(map[refused]*list.Element)
	}
	if e := m.by[r]; e != nil {
		e.Value.(*remembered).at = now
		m.latest.MoveToBack(e)
		return
	}
	if m.latest.Len() == maxDeclined {
		m.drop(m.latest.Front())
	}
	m.by[r] = m.latest.PushBack(&remembered{r, now})
	m.size.Store(int64(m.latest.Len()))
}

// has reports whether r happened within declinedFor.
func (m *memory) has(r refused, now time.Time) bool {
	if m.size.Load() == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.by[r]
	return e != nil && now.Sub(e.Value.(*remembered).at) < declinedFor
}

// forget drops r: the host served the client after all.
func (m *memory) forget(r refused) {
	if m.size.Load() == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.by[r]; e != nil {
		m.drop(e)
	}
}

func (m *memory) drop(e *list.Element) {
	delete(m.by, m.latest.Remove(e).(*remembered).refused)
	m.size.Store(int64(m.latest.Len()))
}
