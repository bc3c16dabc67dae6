package reconcile

import (
	"fmt"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// readings is how many readings later the primary's position must have been
// taken than the last one known at the time of the own snapshot.
const readings = 8

// Divergence finds what this server has and the primary does not.
//
// The two positions are never read at the same moment: a replica that keeps up
// is usually ahead of what the primary last published. So a snapshot of the own
// position is held against a reading that the primary surely made later: one
// that is readings ahead of the last one known when the snapshot was taken.
// Readings are a quarter of a lease apart, so it could be older only if the
// news of it had been under way for two leases.
type Divergence struct {
	snapshot gtid.Set
	epoch    cluster.Epoch
	agent    string // the primary's agent when the snapshot was taken
	reading  uint64 // of the primary's fact when the snapshot was taken
	taken    bool
	start    string // of the own server: another one may have other data

	// Errant is what was found; it stays until a later look finds otherwise.
	Errant gtid.Set
}

// Look compares once more and returns what is known now.
func (d Divergence) Look(in Input) Divergence {
	p, r := in.Peers[in.Record.Primary], in.Record
	srv := in.Own.Server
	if r.Primary == in.Self {
		return Divergence{}
	}
	if srv.State == cluster.ServerUp && d.start != srv.Start {
		// What it has beyond the primary keeps it from following all the same.
		d = Divergence{start: srv.Start}
	}
	if r.Primary == "" || p.Serving != r.Epoch || srv.State != cluster.ServerUp {
		return Divergence{start: d.start, Errant: d.Errant} // nothing to compare with: what was known stays
	}
	if !d.taken || d.epoch != r.Epoch || d.agent != p.Agent {
		return Divergence{start: d.start, snapshot: srv.Held(), epoch: r.Epoch, agent: p.Agent, reading: p.Server.Reading, taken: true, Errant: d.Errant}
	}
	if p.Server.Reading < d.reading+readings {
		return d
	}
	errant := d.snapshot.Subtract(p.Server.Executed)
	return Divergence{start: d.start, snapshot: srv.Held(), epoch: r.Epoch, agent: p.Agent, reading: p.Server.Reading, taken: true, Errant: errant}
}

// Held says why a node with errant transactions does not follow; empty if it
// has none.
func (d Divergence) Held() string {
	if d.Errant.IsZero() {
		return ""
	}
	return fmt.Sprintf("it has transactions that the primary does not: %s", d.Errant)
}
