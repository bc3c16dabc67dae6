package dbtest

import (
	"runtime"
	"runtime/debug"
	"time"
)

// Peak is the most memory that f had in use at once, beyond what was before.
func Peak(f func()) (most uint64) {
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	ended, looked := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(looked)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			runtime.ReadMemStats(&m)
			if m.HeapAlloc > before {
				most = max(most, m.HeapAlloc-before)
			}
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}()
	f()
	close(ended)
	<-looked
	return most
}
