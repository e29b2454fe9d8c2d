package store

import (
	"fmt"
	"testing"
)

// BenchmarkUpdate is what one durable commit costs, with one small record in it and with a hundred. Nearly all of it is two
// fdatasync, so it says more about the disk than about this package.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, value, i := fresh(b), make([]byte, 200), 0
			for b.Loop() {
				err := s.Update(func(tx *Tx) error {
					for range n {
						i++
						value[0] = byte(i >> 8)
						if err := tx.Put(Registrations, fmt.Sprint(i%1000), value); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(i), "ns/record")
		})
	}
}
