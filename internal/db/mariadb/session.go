package mariadb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
)

// sessionLock is the user lock (GET_LOCK) that a session holds on its server.
// The server frees it only once the session's last statement has ended, so
// whoever gets it knows that nothing queued by an earlier session is carried
// out any more; and its holder is known without any naming of sessions.
const sessionLock = "baton.session"

// session is the connection for the steps of a switch.
type session struct {
	server *Server
	link   *link
	broken error // why; nil while it is of use
}

var _ db.Session = (*session)(nil)

// Session implements db.Server.
func (s *Server) Session(ctx context.Context) (db.Session, error) {
	l, err := s.dialer(s.config.Agent, false)(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	if err := takeLock(ctx, l); err != nil {
		l.close()
		return nil, fmt.Errorf("open a session: %w", err)
	}
	return &session{server: s, link: l}, nil
}

// takeLock kills whoever holds the session lock until we have it.
func takeLock(ctx context.Context, l *link) error {
	const patience = 50 * time.Millisecond // then look again whom to kill
	for {
		holder, err := l.value(ctx, "SELECT IS_USED_LOCK(?)", sessionLock)
		if err != nil {
			return err
		}
		if holder != "" {
			if err := kill(ctx, l, number(holder)); err != nil {
				return fmt.Errorf("end the session %s: %w", holder, err)
			}
		}
		got, err := l.value(ctx, "SELECT GET_LOCK(?, ?)", sessionLock, patience.Seconds())
		switch {
		case err == nil && got == "1":
			return nil
		case holder != "" && ctx.Err() != nil:
			return fmt.Errorf("%w (connection %s): %w", db.ErrSessionBusy, holder, ctx.Err())
		case err != nil:
			return err
		}
	}
}

// kill ends a session. That it is gone already is fine.
func kill(ctx context.Context, l *link, thread uint64) error {
	err := l.exec(ctx, fmt.Sprintf("KILL CONNECTION %d", thread))
	if code(err) == erUnknownThread {
		return nil
	}
	return err
}

// Close implements db.Session.
func (s *session) Close() error {
	if s.broken == nil {
		s.broken = errors.New("closed")
	}
	return s.link.close()
}

// step runs one step, unless the session is broken, and notes if it breaks.
func (s *session) step(ctx context.Context, what string, f func() error) error {
	if s.broken != nil {
		return fmt.Errorf("%s: %w: %w", what, db.ErrSessionBroken, s.broken)
	}
	err := f()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, breaks(serverSide(err)):
		s.broken = err
		return fmt.Errorf("%s: %w: %w", what, db.ErrSessionBroken, err)
	}
	return fmt.Errorf("%s: %w", what, inOurWords(err))
}

// serverSide returns nil for refusals of our own, which leave the connection as
// it was.
func serverSide(err error) error {
	var unapplied *db.UnappliedError
	var applier *db.ApplierError
	var refused refusal
	switch {
	case errors.As(err, &unapplied), errors.As(err, &applier), errors.As(err, &refused),
		errors.Is(err, db.ErrNotReceived), errors.Is(err, db.ErrReadOnly):
		return nil
	}
	return err
}

// refusal is an error of ours that no caller tells apart.
type refusal string

func (r refusal) Error() string { return string(r) }

// held reads what the server holds, in a session.
func (s *session) held(ctx context.Context) (db.Held, replication, error) {
	return s.server.held(ctx, s.link)
}

// exec runs statements one after the other.
func (s *session) exec(ctx context.Context, statements ...string) error {
	for _, q := range statements {
		if err := s.link.exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// executed reads what is applied, in a session.
func (s *session) executed(ctx context.Context) (gtid.Set, error) {
	return s.server.executed(ctx, s.link)
}
