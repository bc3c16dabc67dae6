package agent

import (
	"context"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
)

// eventsEvery is how often the primary notes which scheduled events are enabled.
const eventsEvery = 10 * time.Second

// proveWriting has the primary prove that a write comes back: a full or stuck
// disk is noticed by nothing else. A commit that waits for an acknowledgement
// and one that waits for a lock are answers. The user's own statement, if there
// is one, has to succeed too.
func (h *hostParts) proveWriting(ctx context.Context, a *Agent) {
	var own, business writing
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
			own, business = writing{}, writing{}
			a.post(func(l *loop) { l.provedWriting("", "") })
			continue
		}
		if at := clock.Now(); at.Sub(recorded) > eventsEvery {
			h.recordEvents(ctx, a)
			recorded = at
		}
		own.asked(h.ask(ctx, now.settings.Hang, h.database.WriteProbe), db.Answer.Works, now.settings.Hang)
		stuck, wrong := own.stuck, ""
		if statement := now.config.ServerOf(a.Config.Node).Business.Write; statement == "" {
			business = writing{}
		} else {
			business.asked(h.ask(ctx, now.config.Detection.Timeout.Business, func(ctx context.Context) db.Answer {
				return h.database.BusinessProbe(ctx, statement)
			}), businessWorks, now.settings.Hang)
			switch {
			case business.worked && stuck == "" && business.stuck != "":
				stuck = "server.business.write: " + business.stuck
			case !business.worked:
				wrong = business.last
			}
		}
		a.post(func(l *loop) { l.provedWriting(stuck, wrong) })
	}
}

func (h *hostParts) ask(ctx context.Context, within time.Duration, probe func(context.Context) db.Answer) timedAnswer {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	asked := clock.Now()
	return timedAnswer{answer: probe(ctx), asked: asked, now: clock.Now()}
}

type timedAnswer struct {
	answer     db.Answer
	asked, now cluster.Instant
}

// businessWorks reports whether the answer to the user's statement shows that
// the server does its work. A table that is not there is no work done.
func businessWorks(a db.Answer) bool { return a.Works() && a.Verdict != db.NoSchema }

// writing judges the answers to one kind of write.
type writing struct {
	since  cluster.Instant // of the first of the failures without a success between; 0: none
	worked bool            // it succeeded once in this reign
	stuck  string          // it has failed for the limit: how
	last   string          // how it failed last; empty if it did not
}

// asked takes in an answer. A failure counts from when it was asked for.
func (w *writing) asked(t timedAnswer, works func(db.Answer) bool, limit time.Duration) {
	if works(t.answer) {
		w.since, w.stuck, w.last = 0, "", ""
		w.worked = w.worked || t.answer.Verdict == db.Done
		return
	}
	if w.since == 0 {
		w.since = t.asked
	}
	w.last = strings.TrimSpace(string(t.answer.Verdict) + " " + t.answer.Detail)
	if t.now.Sub(w.since) >= limit {
		w.stuck = w.last
	}
}

// provedWriting takes in how writes fail on the primary, and how the user's
// statement fails that has never succeeded in this reign. The latter is no
// reason to move the role: it would fail on the next server just as well.
func (l *loop) provedWriting(stuck, wrong string) {
	l.CannotWrite = stuck
	l.Conditions.Put(cluster.BusinessWrong, wrong)
}

// recordEvents notes which scheduled events are enabled, for the next primary.
func (h *hostParts) recordEvents(ctx context.Context, a *Agent) {
	call, cancel := context.WithTimeout(ctx, a.inForce().settings.Hang)
	defer cancel()
	if _, err := h.database.RecordEvents(call); err != nil {
		a.Log.Debug("record the scheduled events", "err", err)
	}
}
