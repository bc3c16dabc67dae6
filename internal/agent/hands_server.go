package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/timeline"
)

// onServer carries out a step on the database server and reads the server anew.
func (h *hands) onServer(ctx context.Context, s reconcile.Step) (deed, error) {
	if s.Kind == reconcile.WriteMarker {
		return h.writeMarker(ctx, s.Epoch)
	}
	h.sql.Lock()
	defer h.sql.Unlock()
	session, err := h.openSession(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the server: %w", err)
	}
	done, err := h.inSession(ctx, session, s)
	if errors.Is(err, db.ErrSessionBroken) || ctx.Err() != nil {
		h.closeSession()
	}
	if err != nil {
		return nil, err
	}
	if _, err := h.observe(ctx); err != nil {
		return nil, fmt.Errorf("read the server after the step: %w", err)
	}
	return done, nil
}

func (h *hands) inSession(ctx context.Context, session db.Session, s reconcile.Step) (deed, error) {
	switch s.Kind {
	case reconcile.Promise:
		return h.promise(ctx, session, s.Epoch)
	case reconcile.Follow:
		return h.follow(ctx, session, s)
	case reconcile.Apply:
		return nil, session.WaitApplied(ctx, s.Position, func(applied gtid.Set) { h.progressed("applied " + applied.String()) })
	case reconcile.Promote:
		return nil, h.promote(ctx, session, s.On)
	case reconcile.SemiSource:
		return nil, session.SourceSemiSync(ctx, s.On, h.settings().Acks)
	case reconcile.SemiReplica:
		return nil, session.ReplicaSemiSync(ctx, s.On)
	case reconcile.AckAgain:
		if err := session.AcknowledgeAgain(ctx); err != nil {
			return nil, err
		}
		return func(l *loop) { l.HasDone(s.Kind, s.Epoch) }, nil
	case reconcile.SetWritable:
		return nil, h.setWritable(ctx, session, s)
	case reconcile.SetReadOnly:
		return nil, session.SetReadOnly(ctx, true, h.lockWait())
	case reconcile.StopReplication:
		return h.stopReplication(ctx, session, s.Node)
	case reconcile.CarryEvents:
		return h.carryEvents(ctx, session, s)
	case reconcile.Drain:
		return h.drain(ctx, session, s.Epoch)
	}
	return nil, fmt.Errorf("nobody knows how to do %q", s.Kind)
}

// openSession returns the session of the server lane, opening it if need be. A
// new one first kills those that an agent before this one left behind.
func (h *hands) openSession(ctx context.Context) (db.Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session != nil {
		return h.session, nil
	}
	session, err := h.database.Session(ctx)
	if err != nil {
		return nil, err
	}
	h.session = session
	return session, nil
}

func (h *hands) closeSession() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session != nil {
		_ = h.session.Close()
		h.session = nil
	}
}

// promise: block the path to every other server first, for stopping a receiver
// that is connected to a frozen one takes seconds; then stop receiving; then
// give the word, with the position read after the stop.
func (h *hands) promise(ctx context.Context, session db.Session, epoch cluster.Epoch) (deed, error) {
	if err := h.timed(timeline.StepBlock, func() error { return h.gate.Block(ctx, h.others()...) }); err != nil && !errors.Is(err, ErrNoGate) {
		return nil, fmt.Errorf("block the path to the old source: %w", err)
	}
	p := cluster.Promise{Epoch: epoch}
	before, err := h.observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("see which life of the server this is: %w", err)
	}
	err = h.timed(timeline.StepStopReceiver, func() (err error) {
		held, err := session.StopReceiver(ctx)
		p.Received, p.Executed, p.Marker = held.Received, held.Executed, held.Marker
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("stop receiving: %w", err)
	}
	server, err := h.observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the position after the receiver stopped: %w", err)
	}
	if server.Replica.Started || server.Replica.Receiver {
		return nil, errors.New("the receiver is running again")
	}
	if p.Start = server.Start; p.Start != before.Start {
		return nil, errors.New("the server restarted meanwhile")
	}
	state, err := h.gate.State(ctx)
	if err != nil && !errors.Is(err, ErrNoGate) {
		return nil, fmt.Errorf("read the gate back: %w", err)
	}
	return func(l *loop) {
		l.sawGate(state)
		l.Promise = &p
	}, nil
}

// stopReplication stops receiving. A source that is named has its path blocked
// first: the ending receiver connects to it once more, and behind clients that
// all come back at the same time that takes long.
func (h *hands) stopReplication(ctx context.Context, session db.Session, source cluster.NodeName) (deed, error) {
	if source != "" {
		if err := h.gate.Block(ctx, source); err != nil && !errors.Is(err, ErrNoGate) {
			return nil, fmt.Errorf("block the path to %s: %w", source, err)
		}
	}
	if _, err := session.StopReceiver(ctx); err != nil {
		return nil, err
	}
	state, err := h.gate.State(ctx)
	if err != nil && !errors.Is(err, ErrNoGate) {
		return nil, fmt.Errorf("read the gate back: %w", err)
	}
	return func(l *loop) { l.sawGate(state) }, nil
}

// others are the data nodes but this one.
func (h *hands) others() []cluster.NodeName { return without(h.settings().DataNodes(), h.self) }

func (h *hands) follow(ctx context.Context, session db.Session, s reconcile.Step) (deed, error) {
	if err := h.gate.Unblock(ctx, s.Node); err != nil && !errors.Is(err, ErrNoGate) {
		return nil, fmt.Errorf("open the path to %s: %w", s.Node, err)
	}
	source := h.source(s.Node)
	source.SemiSync = s.On
	if err := session.Follow(ctx, source); err != nil {
		return nil, fmt.Errorf("follow %s: %w", s.Node, err)
	}
	state, err := h.gate.State(ctx)
	if err != nil && !errors.Is(err, ErrNoGate) {
		return nil, fmt.Errorf("read the gate back: %w", err)
	}
	return func(l *loop) { l.sawGate(state) }, nil
}

// promote makes the server nobody's replica and, if commits are to wait, a
// source that waits. It stays read-only.
func (h *hands) promote(ctx context.Context, session db.Session, wait bool) error {
	if err := session.Detach(ctx); err != nil {
		return fmt.Errorf("forget the source: %w", err)
	}
	if err := session.ReplicaSemiSync(ctx, false); err != nil {
		return fmt.Errorf("stop acknowledging: %w", err)
	}
	if err := session.SourceSemiSync(ctx, wait, h.settings().Acks); err != nil {
		return fmt.Errorf("make commits wait for acknowledgements: %w", err)
	}
	return nil
}

// setWritable looks at the lease once more: the way here may have been long.
func (h *hands) setWritable(ctx context.Context, session db.Session, s reconcile.Step) error {
	epoch := s.Epoch
	if held, _ := h.keeper.state(); !held.Valid(epoch, clock.Now()) {
		return errLeaseOver
	}
	if s.On {
		unmarked, err := session.SkipNumbers(ctx, epoch, h.self)
		if err != nil {
			return fmt.Errorf("give no number twice: %w", err)
		}
		if unmarked != "" {
			h.log.WarnContext(ctx, "numbers are left out without the marker of the reign: should this server die before it has written that, a person may have to decide the election",
				"epoch", epoch, "err", unmarked)
		}
	}
	if err := session.SetReadOnly(ctx, false, 0); err != nil {
		return fmt.Errorf("take writes: %w", err)
	}
	if held, _ := h.keeper.state(); !held.Valid(epoch, clock.Now()) {
		return errors.Join(errLeaseOver, session.SetReadOnly(ctx, true, h.lockWait()))
	}
	return nil
}

// writeMarker writes the first transaction of a reign. It returns when that is
// acknowledged, which may take until a replica comes.
func (h *hands) writeMarker(ctx context.Context, epoch cluster.Epoch) (deed, error) {
	ctx, cancel := context.WithTimeout(ctx, markerWait)
	defer cancel()
	err := h.database.WriteMarker(ctx, epoch, h.self)
	if err != nil && ctx.Err() == nil {
		// The first reign of a cluster finds no schema yet.
		if err = h.ensureSchema(ctx); err == nil {
			err = h.database.WriteMarker(ctx, epoch, h.self)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("write the marker of epoch %d: %w", epoch, err)
	}
	return func(l *loop) { l.Marked = epoch }, nil
}

// ensureSchema makes Baton's schema on the primary, beside the server lane: the
// first change waits for an acknowledgement, and the server must be able to be
// told other things meanwhile.
func (h *hands) ensureSchema(ctx context.Context) error {
	if err := h.database.EnsureSchema(ctx); err != nil {
		return fmt.Errorf("make baton's schema: %w", err)
	}
	return nil
}

// markerWait bounds one attempt to write the marker: another follows.
const markerWait = time.Minute

// carryEvents enables on the new primary what was enabled on the old one.
func (h *hands) carryEvents(ctx context.Context, session db.Session, s reconcile.Step) (deed, error) {
	enabled, unknown, err := session.EnableEvents(ctx)
	if err != nil {
		return nil, fmt.Errorf("enable the scheduled events: %w", err)
	}
	if len(enabled) > 0 {
		h.log.Info("scheduled events carried over", "events", enabled)
	}
	return func(l *loop) {
		l.HasDone(s.Kind, s.Epoch)
		l.Conditions.Put(cluster.EventsUnknown, strings.Join(unknown, ", "))
	}, nil
}
