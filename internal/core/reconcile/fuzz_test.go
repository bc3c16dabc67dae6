package reconcile

import (
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/cluster/clustertest"
	"github.com/baton-db/baton/internal/core/lease"
)

// FuzzOddRecordsAndPeers: whatever the store says of the cluster, a host's steps
// can be listed, and none opens it to writes without the lease.
func FuzzOddRecordsAndPeers(f *testing.F) {
	seeds := func(v any, encode func() ([]byte, error), peer bool) {
		b, err := encode()
		if err != nil {
			f.Fatalf("%v: %v", v, err)
		}
		f.Add(peer, b)
		for _, odd := range clustertest.Odd(b) {
			f.Add(peer, odd)
		}
	}
	r := base("db1").Record
	seeds(r, func() ([]byte, error) { return cluster.Encode(r) }, false)
	r.Phase, r.Epoch, r.Previous, r.Planned, r.Required, r.Source, r.Joining = cluster.PhasePromoting, 6, "db2", true, position("0-1-120"), "db3", "db3"
	seeds(r, func() ([]byte, error) { return cluster.Encode(r) }, false)
	p := cluster.Fact{Schema: 1, Node: "db1", Epoch: 5, RecordRev: 50, Serving: 5, Addresses: []string{"a", "b"},
		Server: cluster.ServerFact{State: cluster.ServerUp, Executed: position("0-1-100"), SemiSrc: cluster.SemiSyncFact{Stuck: true}, Replica: cluster.ReplicaFact{Received: position("0-1-100"), SemiSync: true}}}
	seeds(p, func() ([]byte, error) { return cluster.Encode(p) }, true)

	f.Fuzz(func(t *testing.T, peer bool, b []byte) {
		for _, in := range []Input{primaryOf(), primaryOf(closed), replicaOf(), primaryOf(phase(cluster.PhaseHandoff, 6, "db1", "")), replicaOf(phase(cluster.PhasePromoting, 6, "db2", "db1"))} {
			if peer {
				fact, err := cluster.DecodeFact(b)
				if err != nil {
					return
				}
				for _, n := range []cluster.NodeName{"db1", "db2", "db3"} {
					if n != in.Self {
						in.Peers[n] = fact
					}
				}
			} else if record, err := cluster.DecodeRecord(b); err == nil {
				in.Record, in.Rev = record, 51
			} else {
				return
			}
			in.Lease = lease.Held{}
			plan := Next(in)
			for _, s := range plan.Steps {
				switch s.Kind {
				case GateLease, SetWritable, BindAddresses, WriteMarker:
					t.Fatalf("%s\nopened %s without the lease: %s", b, in.Self, s.Key())
				}
			}
			Serving(in)
		}
	})
}
