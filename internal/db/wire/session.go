package wire

import (
	"context"
	"errors"
	"fmt"

	"github.com/baton-db/baton/internal/db"
)

// sessionLock is the user lock (GET_LOCK) that a session holds on its server.
// The server frees it only once the session's last statement has ended, so
// whoever gets it knows that nothing queued by an earlier session is carried
// out any more; and its holder is known without any naming of sessions.
const sessionLock = "baton.session"

// Session is the connection for the steps of a switch.
type Session struct {
	server *Server
	Link   *Link
	broken error // why; nil while it is of use
}

// Session opens a session, as db.Server says.
func (s *Server) Session(ctx context.Context) (*Session, error) {
	l, err := s.dialer(s.Agent, false, nil)(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	if err := takeLock(ctx, l); err != nil {
		l.Close()
		return nil, fmt.Errorf("open a session: %w", err)
	}
	return &Session{server: s, Link: l}, nil
}

// takeLock kills whoever holds the session lock until we have it.
func takeLock(ctx context.Context, l *Link) error {
	const patience = 1 // second, which MySQL knows no part of; then look again whom to kill
	for {
		holder, err := l.Value(ctx, "SELECT IS_USED_LOCK(?)", sessionLock)
		if err != nil {
			return err
		}
		if holder != "" {
			if err := Kill(ctx, l, Number(holder)); err != nil {
				return fmt.Errorf("end the session %s: %w", holder, err)
			}
		}
		got, err := l.Value(ctx, "SELECT GET_LOCK(?, ?)", sessionLock, patience)
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

// Kill ends a session. That it is gone already is fine.
func Kill(ctx context.Context, l *Link, thread uint64) error {
	err := l.Exec(ctx, fmt.Sprintf("KILL CONNECTION %d", thread))
	if Code(err) == ErUnknownThread {
		return nil
	}
	return err
}

// Close implements db.Session.
func (s *Session) Close() error {
	if s.broken == nil {
		s.broken = errors.New("closed")
	}
	return s.Link.Close()
}

// Step runs one step, unless the session is broken, and notes if it breaks.
func (s *Session) Step(ctx context.Context, what string, f func() error) error {
	if s.broken != nil {
		return fmt.Errorf("%s: %w: %w", what, db.ErrSessionBroken, s.broken)
	}
	err := f()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, Breaks(serverSide(err)):
		s.broken = err
		return fmt.Errorf("%s: %w: %w", what, db.ErrSessionBroken, err)
	}
	return fmt.Errorf("%s: %w", what, InOurWords(err))
}

// serverSide returns nil for refusals of our own, which leave the connection as
// it was.
func serverSide(err error) error {
	var unapplied *db.UnappliedError
	var applier *db.ApplierError
	var refused Refusal
	switch {
	case errors.As(err, &unapplied), errors.As(err, &applier), errors.As(err, &refused),
		errors.Is(err, db.ErrNotReceived), errors.Is(err, db.ErrReadOnly):
		return nil
	}
	return err
}

// Refusal is an error of ours that no caller tells apart. It leaves the session whole.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Exec runs statements one after the other.
func (s *Session) Exec(ctx context.Context, statements ...string) error {
	for _, q := range statements {
		if err := s.Link.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}
