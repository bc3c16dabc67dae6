package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/db"
)

// rejoin carries out this host's part of a rejoin, once: whether it is done or
// has failed, it is over, and the others learn of it. A failure is told to the
// person who asked, who decides whether to try again.
func (h *hands) rejoin(ctx context.Context, s reconcile.Step) (deed, error) {
	var detail string
	var err error
	h.rejoining("%s begins", s.Kind)
	switch s.Kind {
	case reconcile.Reclone:
		h.closeSession() // of a server that is about to be another one
		detail, err = h.cloner.reclone(ctx, s)
	case reconcile.Rewind:
		detail, err = h.rewind(ctx, s)
	}
	rewinding := h.rewinder.unfinished()
	if ctx.Err() != nil {
		// Nobody wants it any more, or the record asks for something else first.
		return func(l *loop) { l.Rejoining, l.Host.Rewinding = "", rewinding }, errors.Join(ctx.Err(), err)
	}
	_, _ = h.observe(ctx) // what it is now; a server that does not run is no news
	res := &cluster.RejoinResult{ID: s.Asked, Detail: detail}
	if err != nil {
		res.Failed = err.Error()
		h.log.Error("the rejoin failed", "step", s.String(), "request", s.Asked, "err", err)
	}
	return func(l *loop) { l.Rejoined, l.Rejoining, l.Host.Rewinding = res, "", rewinding }, nil
}

// rejoining tells the loop, and so everybody, how far it has come.
func (h *hands) rejoining(format string, args ...any) { h.rejoined(fmt.Sprintf(format, args...)) }

// rewindTries is how often a rewind goes on over a new session: the one that is
// held may be of an earlier life of the server.
const rewindTries = 3

// rewind undoes what only this server has.
func (h *hands) rewind(ctx context.Context, _ reconcile.Step) (detail string, err error) {
	h.sql.Lock()
	defer h.sql.Unlock()
	for range rewindTries {
		var session db.Session
		if session, err = h.openSession(ctx); err != nil {
			return "", fmt.Errorf("connect to the server: %w", err)
		}
		detail, err = h.rewinder.run(ctx, session)
		broken := errors.Is(err, db.ErrSessionBroken)
		if broken || ctx.Err() != nil {
			h.closeSession()
		}
		if !broken || ctx.Err() != nil {
			break
		}
	}
	return detail, err
}
