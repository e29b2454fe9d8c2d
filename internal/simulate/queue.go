package simulate

import (
	"cmp"
	"slices"
	"time"
)

// bucketTime is how long the clients of one bucket of a queue are due within.
const bucketTime = 10 * time.Second

const bucketTicks = instant(bucketTime / tick)

// queue is the clients in the order in which they are due: a list for each bucket of time, put in order when its time comes.
// To enter or leave it costs the same however many wait.
type queue struct {
	clients []client
	heads   []uint32 // the number of a client plus one, or 0
	bucket  int      // the next to be opened
	open    []uint32 // the numbers of those that are left of the last, the next one last
}

func newQueue(clients []client, length time.Duration) *queue {
	return &queue{clients: clients, heads: make([]uint32, length/bucketTime+1)}
}

// push enters client n at due. One that is due after the end is not entered. Nothing may be due in a bucket that was opened
// already: no attempt is that soon after another.
func (q *queue) push(n uint32, due instant) {
	b := int((due - 1) / bucketTicks)
	if b >= len(q.heads) {
		return
	}
	if b < q.bucket {
		panic("simulate: a client is due in the past")
	}
	c := &q.clients[n]
	c.due, c.next = due, q.heads[b]
	q.heads[b] = n + 1
}

// peek is when the next client is due, false if none is before the end of limit's bucket.
func (q *queue) peek(limit instant) (instant, bool) {
	for len(q.open) == 0 {
		if q.bucket >= len(q.heads) || instant(q.bucket)*bucketTicks+1 > limit {
			return 0, false
		}
		q.fill()
	}
	return q.clients[q.open[len(q.open)-1]].due, true
}

// pop removes and returns the client of which peek told.
func (q *queue) pop() uint32 {
	last := len(q.open) - 1
	n := q.open[last]
	q.open = q.open[:last]
	return n
}

// fill opens the next bucket.
func (q *queue) fill() {
	for link := q.heads[q.bucket]; link != 0; link = q.clients[link-1].next {
		q.open = append(q.open, link-1)
	}
	slices.SortFunc(q.open, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(q.clients[b].due, q.clients[a].due), cmp.Compare(b, a))
	})
	q.heads[q.bucket] = 0
	q.bucket++
}
