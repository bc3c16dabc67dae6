package agent

import (
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// audit has the errant transactions looked at, and keeps in mind what will be
// asked of a reign once it is over.
func (l *loop) audit() {
	l.rememberReign()
	if l.auditor == nil {
		return
	}
	r := l.Board.Record
	d := divergence{errant: l.Divergence.Errant, epoch: r.Epoch, primary: r.Primary, serverID: l.Server.ID,
		forced: r.Forced, reign: l.memory.Reign, lossless: l.Settings.Durability == cluster.Lossless}
	l.auditor.look(d)
	if l.deadLogs != nil && l.Mode == cluster.Active {
		l.deadLogs.look(l.lifeSign(d))
	}
}

// lifeSign is what there is to say of the own server and of those that its log is
// compared with.
func (l *loop) lifeSign(d divergence) lifeSign {
	r, srv := l.Board.Record, l.Server
	s := lifeSign{divergence: d, self: l.Self, up: srv.State == cluster.ServerUp, life: srv.Start, held: srv.Held(), source: srv.Replica.Source}
	for _, n := range l.Settings.DataNodes() {
		held := l.Board.Facts[n].Value.Server.Held()
		switch {
		case n == l.Self:
		case r.Primary == n:
			s.others = []gtid.Set{held.Union(r.Required)}
		case r.Primary == "" || r.Primary == l.Self:
			s.others = append(s.others, held)
		}
	}
	serving := l.Board.Facts[r.Primary].Value.Serving == r.Epoch
	s.settled = r.Phase == cluster.PhaseSteady && serving
	return s
}

// rememberReign notes that this node is primary, whether its commits wait, and
// what its server has when that is over.
func (l *loop) rememberReign() {
	if l.Mode != cluster.Active || l.Board.RecordRev == 0 {
		return
	}
	was, r, srv := l.memory.Reign, l.Board.Record, l.Server
	now := was
	_, unsure := l.Conditions[cluster.SemiSyncOff]
	switch {
	case r.Primary == l.Self:
		if now.Epoch != r.Epoch {
			now = reign{Epoch: r.Epoch, Waited: l.Settings.Durability == cluster.Lossless && (was.Waited || !was.continues()), Unkept: was.continues() && was.Unkept}
		}
		if srv.State == cluster.ServerUp && !srv.ReadOnly {
			now.Unkept = now.Unkept || was.continues() && l.unkept(was.Life)
			now.Life = srv.Start
		}
		now.Waited = now.Waited && !unsure
	case now.Epoch != 0 && now.Ended.IsZero() && srv.State == cluster.ServerUp && srv.ReadOnly:
		now.Ended = srv.Executed
		now.Unkept = now.Unkept || l.unkept(now.Life)
	}
	if now.Epoch == was.Epoch && now.Waited == was.Waited && now.Life == was.Life && now.Ended.Equal(was.Ended) {
		return
	}
	l.memory.Reign = now
	if err := l.remember(l.memory); err != nil {
		l.log.Error("keep in mind", "err", err)
	}
}

// unkept reports that a life of the server has ended and nobody looked after what
// its log held.
func (l *loop) unkept(life string) bool {
	return life != "" && l.Server.Start != life && l.deadLogs != nil && !l.deadLogs.has(life)
}

// continues reports that the next reign of this node follows this one directly,
// as after a planned switch that went back: what it wrote in both is one tail.
func (r reign) continues() bool { return r.Epoch != 0 && r.Ended.IsZero() }

// foundLost takes in what an audit found.
func (l *loop) foundLost(found lostOf) {
	if found.errant.Equal(l.Divergence.Errant) {
		l.Lost = found.told()
	}
}
