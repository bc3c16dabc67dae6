package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/baton-db/baton/internal/backfill"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/timeline"
)

// Limits of a back-fill besides durability.back_fill.
const (
	backFillQuiet = time.Second     // so long, or a lease, the other agent may say nothing at all
	backFillEnd   = 5 * time.Second // stopping the receiver when it is over
)

// backFill brings over what the binary log of a dead primary holds. It never
// fails: what cannot be had is said in the history, and the promotion goes on.
func (h *hands) backFill(ctx context.Context, s reconcile.Step) (deed, error) {
	f, err := h.fill(ctx, s)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		f.Reason, f.Detail = cluster.BackFillIncomplete, err.Error()
		if errors.Is(err, backfill.ErrDiverged) {
			f.Reason = cluster.BackFillDiverged
		}
	}
	h.timeline.BackFilled(f)
	if f.Reason == cluster.BackFilled {
		h.log.Info("back-fill", "what", f.String())
	} else {
		h.log.Warn("back-fill", "what", f.String())
	}
	return func(l *loop) { l.HasDone(s.Kind, s.Epoch) }, nil
}

// fill does it, and says why not all of it could be done.
func (h *hands) fill(ctx context.Context, s reconcile.Step) (timeline.BackFill, error) {
	f := timeline.BackFill{From: s.Node, Reason: cluster.BackFilled}
	if s.Why != "" {
		return f, errors.New(s.Why)
	}
	budget := h.settings().BackFill
	limited, cancel := context.WithTimeoutCause(ctx, budget, fmt.Errorf("the time for it is over (durability.back_fill, %s)", budget))
	defer cancel()
	defer h.goesOn(limited, s.Node)()
	own, err := h.observe(limited)
	if err != nil {
		return f, because(limited, fmt.Errorf("read what the own server has: %w", err))
	}
	stream, err := h.askTail(limited, s.Node, tailAsked{Epoch: s.Epoch, Have: own.Executed, Limit: budget})
	if err != nil {
		return f, because(limited, err)
	}
	defer stream.Close()
	in, err := backfill.Receive(stream)
	if err != nil {
		return f, because(limited, err)
	}
	tail := in.Tail
	f.Known = true
	if tail.Transactions > 0 {
		var held gtid.Set
		held, err = h.replay(ctx, limited, in, own.Flavor)
		left := tail.Set.Subtract(own.Executed.Union(held))
		brought := tail.Set.Subtract(left)
		f.Brought, f.GTIDs = brought.Count(), brought.String()
		f.Left, f.LeftGTID = left.Count(), left.String()
		if left.IsZero() {
			err = nil // whatever it was: all of it came
		}
	}
	if f.Detail = ""; tail.Torn != "" {
		f.Detail = tail.Torn + ", which was never committed"
	}
	return f, err
}

// goesOn says again and again that a back-fill is under way, until it is told that
// it is over. It has an end of its own: no candidate is given up meanwhile because
// one transaction takes long.
func (h *hands) goesOn(ctx context.Context, from cluster.NodeName) (over func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(h.settings().Renew)
		defer tick.Stop()
		for n := 1; ; n++ {
			h.progressed(fmt.Sprintf("back-fill from %s, %d", from, n))
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// because is why something came to nothing: its time was over, or it failed.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// replay has the own server replicate what comes in. It returns what the server
// holds of it when that is over.
func (h *hands) replay(ctx, limited context.Context, in *backfill.Incoming, flavor string) (held gtid.Set, err error) {
	source, err := backfill.NewSource(in, flavor, h.log)
	if err != nil {
		return held, err
	}
	limited, cancel := context.WithCancelCause(limited)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := source.Serve(limited); err != nil {
			cancel(err)
		}
	}()
	defer func() { cancel(nil); <-served }()

	h.sql.Lock()
	defer h.sql.Unlock()
	err = h.withSession(limited, func(session db.Session) error {
		from := db.Source{Node: "the binary log of a dead server", Host: source.Addr().IP.String(), Port: source.Addr().Port,
			Account: db.Account{User: source.User, Password: source.Password}, Silence: h.settings().BackFill + time.Minute}
		if err := session.Follow(limited, from); err != nil {
			return err
		}
		return session.WaitApplied(limited, in.Tail.Set, source.Applied)
	})
	if err != nil {
		err = because(limited, err)
		h.takeIn(ctx, limited, source.Given())
	}
	ending, done := context.WithTimeout(ctx, backFillEnd)
	defer done()
	stopping := h.withSession(ending, func(session db.Session) error {
		now, err := session.StopReceiver(ending)
		held = now.Executed.Union(now.Received)
		return err
	})
	return held, errors.Join(err, stopping)
}

// takeIn waits for what was given whole before the stream broke: the receiver may not
// have read it yet. If time was over, it is over.
func (h *hands) takeIn(ctx, limited context.Context, given gtid.Set) {
	end, _ := limited.Deadline()
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	ctx, done := context.WithTimeout(ctx, backFillQuiet)
	defer done()
	if ctx.Err() != nil || given.IsZero() {
		return
	}
	_ = h.withSession(ctx, func(session db.Session) error { return session.WaitApplied(ctx, given, nil) })
}

// withSession does something in the session of the server lane; one that broke is
// not used again.
func (h *hands) withSession(ctx context.Context, do func(db.Session) error) error {
	session, err := h.openSession(ctx)
	if err != nil {
		return fmt.Errorf("connect to the server: %w", err)
	}
	err = do(session)
	if errors.Is(err, db.ErrSessionBroken) || ctx.Err() != nil {
		h.closeSession()
	}
	return err
}

// askTail asks the agent of a dead server for what its log holds. A stream in
// which nothing moves for a while ends.
func (h *hands) askTail(ctx context.Context, of cluster.NodeName, q tailAsked) (io.ReadCloser, error) {
	link := h.link()
	if link == nil {
		return nil, errors.New("there is no direct link to the other agents (tls)")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	quiet := max(backFillQuiet, h.settings().Lease)
	late := time.AfterFunc(quiet, func() { cancel(fmt.Errorf("the agent of %s does not answer", of)) })
	stream, err := link.Stream(ctx, of, tailPath, q)
	if err != nil {
		late.Stop()
		err = because(ctx, err)
		cancel(nil)
		return nil, err
	}
	return &impatient{ReadCloser: stream, ctx: ctx, late: late, quiet: quiet, cancel: cancel}, nil
}

// impatient ends a stream whose sender says nothing; the time that the reader
// takes between two readings does not count.
type impatient struct {
	io.ReadCloser
	ctx    context.Context
	late   *time.Timer
	quiet  time.Duration
	cancel context.CancelCauseFunc
}

func (i *impatient) Read(b []byte) (int, error) {
	i.late.Reset(i.quiet)
	n, err := i.ReadCloser.Read(b)
	i.late.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = because(i.ctx, err)
	}
	return n, err
}

func (i *impatient) Close() error {
	i.late.Stop()
	i.cancel(nil)
	return i.ReadCloser.Close()
}
