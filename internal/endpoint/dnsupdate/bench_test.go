package dnsupdate_test

import (
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// BenchmarkVisibleAtTheZonesServer is the time from the call of Set until the zone's
// own server answers with the new address.
func BenchmarkVisibleAtTheZonesServer(b *testing.B) {
	for name, start := range kinds() {
		b.Run(name, func(b *testing.B) {
			s := start(b, served())
			e := open(b, options("db", s.Addr))
			epoch := cluster.Epoch(0)
			for b.Loop() {
				epoch++
				target := db1(epoch)
				if epoch%2 == 0 {
					target = db2(epoch)
				}
				if err := e.Set(b.Context(), target); err != nil {
					b.Fatal(err)
				}
				if err := endpoint.Verify(b.Context(), "the name", e, target); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/move")
		})
	}
}
