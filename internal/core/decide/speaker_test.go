package decide

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestSpeaker(t *testing.T) {
	for name, tt := range map[string]struct {
		world World
		want  cluster.NodeName
	}{
		"the holder of the lease":           {newWorld(record(func(r *cluster.Record) { r.Primary = "db3" }), func(w *World) { w.Lease.Holder = "db3" }), "db3"},
		"the first of those who are there":  {newWorld(leaseSeen(time.Minute)), "db1"},
		"one that is silent does not speak": {newWorld(leaseSeen(time.Minute), silent("db1")), "db2"},
		"a holder that is silent, neither":  {newWorld(silent("db1")), "db2"},
		"nobody is there":                   {newWorld(silent("db1"), silent("db2"), silent("db3")), ""},
		"nobody has ever held it":           {newWorld(func(w *World) { w.Lease.Holder = "" }, silent("db1")), "db2"},
	} {
		if got := Speaker(tt.world, noon); got != tt.want {
			t.Errorf("%s: %q speaks, want %q", name, got, tt.want)
		}
	}
}
