package kmsresponder

import (
	"sync"
	"testing"
	"testing/synctest"
)

// TestHands: nobody waits for a goroutine, some stay for the next one, and all
// end.
func TestHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3 * spareHands
		hold := make(chan struct{})
		var (
			mu   sync.Mutex
			done = map[int]int{}
		)
		h := newHands(func(i int) {
			<-hold
			mu.Lock()
			defer mu.Unlock()
			done[i]++
		}, spareHands)
		for i := range n {
			h.take(i)
		}
		synctest.Wait()
		close(hold)
		synctest.Wait()
		if h.spare != spareHands {
			t.Errorf("%d goroutines stay, want %d", h.spare, spareHands)
		}
		for i := range n {
			h.take(n + i)
			synctest.Wait()
		}
		if h.spare != spareHands {
			t.Errorf("%d goroutines stay after those that came singly, want %d", h.spare, spareHands)
		}
		h.dismiss()
		h.all.Wait()
		for i := range 2 * n {
			if done[i] != 1 {
				t.Errorf("%d was carried on with %d times", i, done[i])
			}
		}
	})
}
