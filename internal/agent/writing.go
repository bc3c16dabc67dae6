package agent

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/vitals"
)

// eventsEvery is how often the primary notes which scheduled events are enabled.
const eventsEvery = 10 * time.Second

// proveWriting has the primary prove that a write comes back: a full or stuck
// disk is noticed by nothing else. A commit that waits for an acknowledgement
// and one that waits for a lock are answers. The user's own statement, if there
// is one, has to succeed too.
func (h *hostParts) proveWriting(ctx context.Context, a *Agent) {
	var own, business detect.Writes
	var recorded cluster.Instant
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		now := a.inForce()
		next.Reset(now.config.Detection.Normal)
		r, _ := h.hands.situation()
		serves := r.Phase == cluster.PhaseSteady || r.Phase == cluster.PhasePromoting
		if r.Primary != a.Config.Node || !serves || !h.process.Alive() {
			own, business = detect.Writes{}, detect.Writes{}
			h.writesSilent.Store(false)
			h.writeTook.Store(0)
			a.post(func(l *loop) { l.provedWriting(proved{}) })
			continue
		}
		if at := clock.Now(); at.Sub(recorded) > eventsEvery {
			h.recordEvents(ctx, a)
			recorded = at
		}
		hang := now.settings.Hang
		wrote := h.ask(ctx, own.Left(clock.Now(), hang), h.database.WriteProbe, ownEnd)
		own = own.Observe(wrote)
		if wrote.How == detect.WriteDone {
			h.writeTook.Store(int64(max(wrote.Ended.Sub(wrote.Asked), 1)))
		}
		var p proved
		p.why, p.stuck = own.Stuck(hang)
		if locked := own.LockedFor(clock.Now()); locked >= hang {
			p.locked = "the write probe has met a lock for " + locked.Round(time.Second).String()
		}
		if statement := now.config.ServerOf(a.Config.Node).Business.Write; statement == "" {
			business = detect.Writes{}
		} else {
			limit := now.config.Detection.Timeout.Business
			business = business.Observe(h.ask(ctx, limit, func(ctx context.Context) db.Answer {
				return h.database.BusinessProbe(ctx, statement)
			}, businessEnd))
			if why, stuck := business.Stuck(hang); business.Worked && p.stuck == "" && why != cluster.Nothing {
				p.why, p.stuck = why, "server.business.write: "+stuck
			}
			if words, failing := business.Failing(); failing && !business.Worked {
				p.wrong = words
			}
		}
		h.writesSilent.Store(own.Silent())
		if _, failing := own.Failing(); failing {
			next.Reset(now.config.Detection.Critical)
		}
		a.post(func(l *loop) { l.provedWriting(p) })
	}
}

// ask has one write made, and looks at the host if it did not come about.
func (h *hostParts) ask(ctx context.Context, within time.Duration, probe func(context.Context) db.Answer, end func(db.Verdict) detect.WriteEnd) detect.Write {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	w := detect.Write{Asked: clock.Now()}
	answer := probe(ctx)
	w.Ended, w.How = clock.Now(), end(answer.Verdict)
	w.Words = strings.TrimSpace(string(answer.Verdict) + " " + answer.Detail)
	if w.How != detect.WriteDone && w.How != detect.WriteAnswered {
		if d := h.disk.Load(); d != nil {
			w.Disk = *d
		}
		w.Waiting = vitals.WaitingThreads(h.process.pid())
	}
	return w
}

// ownEnd puts the answer to Baton's own write in the words of package detect.
func ownEnd(v db.Verdict) detect.WriteEnd {
	switch v {
	case db.Done:
		return detect.WriteDone
	case db.AckWait, db.ReadOnly, db.NoSchema, db.Killed:
		return detect.WriteAnswered
	case db.LockWait:
		return detect.WriteLocked
	case db.TooManyConnections:
		return detect.WriteNoSlot
	case db.DiskFull:
		return detect.WriteNoRoom
	case db.DiskReadOnly:
		return detect.WriteNoDisk
	case db.NoAnswer:
		return detect.WriteSilent
	}
	return detect.WriteFailed
}

// businessEnd does that with the user's statement. A table that is not there is
// no work done.
func businessEnd(v db.Verdict) detect.WriteEnd {
	if v == db.NoSchema {
		return detect.WriteFailed
	}
	return ownEnd(v)
}

// proved is what the attempts to write have come to.
type proved struct {
	why    cluster.Reason // Nothing: writes come back
	stuck  string         // how they do not
	wrong  string         // how the user's statement fails that has never succeeded in this reign
	locked string         // for how long a lock has been in the way
}

// provedWriting takes in how writes fail on the primary, and how the user's
// statement fails that has never succeeded in this reign. The latter is no
// reason to move the role: it would fail on the next server just as well.
func (l *loop) provedWriting(p proved) {
	l.CannotWrite, l.CannotWriteWhy = p.stuck, p.why
	l.Conditions.Put(cluster.BusinessWrong, p.wrong)
	l.Conditions.Put(cluster.WritesLocked, p.locked)
}

// watchDisk looks at the disk of the server's data. It runs beside everything
// else: of a file system on the network, even that question may hang.
func (h *hostParts) watchDisk(ctx context.Context, a *Agent) {
	var unfit string
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		next.Reset(a.inForce().config.Detection.Normal)
		dir := cmp.Or(h.process.dataDir(), a.inForce().config.ServerOf(a.Config.Node).DataDir)
		if dir == "" {
			continue // no server has been seen yet
		}
		d, err := vitals.Disk(dir)
		if err != nil {
			a.Log.Debug("look at the disk of the server's data", "err", err)
			continue
		}
		h.disk.Store(&d)
		if why := d.Unfit(); why != unfit {
			a.Log.Info("the disk of the server's data", "dir", dir, "unfit", why, "free", d.Free)
			unfit = why
			a.post(func(l *loop) { l.Host.DiskUnfit = why })
		}
	}
}

// recordEvents notes which scheduled events are enabled, for the next primary.
func (h *hostParts) recordEvents(ctx context.Context, a *Agent) {
	call, cancel := context.WithTimeout(ctx, a.inForce().settings.Hang)
	defer cancel()
	if _, err := h.database.RecordEvents(call); err != nil {
		a.Log.Debug("record the scheduled events", "err", err)
	}
}
