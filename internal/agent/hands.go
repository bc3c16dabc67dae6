package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/peer"
	"github.com/baton-db/baton/internal/timeline"
)

var errLeaseOver = errors.New("the lease is over")

// hands carries out the steps of this host. Its methods run in the goroutines
// of the lanes; what they change in the loop's own state they return as a deed.
type hands struct {
	self     cluster.NodeName
	settings func() cluster.Settings // in force now
	log      *slog.Logger
	timeline *timeline.Recorder

	gate     Gate
	sockets  Sockets
	vip      Addresses
	database db.Server
	process  Process
	keeper   *keeper
	// observe reads the server anew and tells the loop; steps end with it, so
	// that the next look rests on what is so now.
	observe func(ctx context.Context) (cluster.ServerFact, error)
	hung    func() bool // the server was last found to answer nothing
	// silent says that the last write did not come back.
	silent func() bool
	// record is the newest record that the loop has acted on, and peers the
	// other nodes' facts.
	situation func() (cluster.Record, map[cluster.NodeName]cluster.Fact)
	source    func(cluster.NodeName) db.Source
	// progressed tells the loop how far a long step has come.
	progressed func(string)
	rejoined   func(string) // the same of a rejoin
	cloner     *cloner
	logs       *logKeeper
	link       func() *peer.Link // nil without certificates

	rewinder *rewinder
	keepLog  func(context.Context) // of a primary that died

	sql     sync.Mutex // held while the session is used, but by a fence
	mu      sync.Mutex
	session db.Session // of the server lane; nil if none is open
}

// perform carries out one step.
func (h *hands) perform(ctx context.Context, s reconcile.Step) (deed, error) {
	switch s.Kind {
	case reconcile.GateClose:
		h.keeper.gateShut()
		return h.afterGate(ctx, h.gate.Close(ctx))
	case reconcile.GateReadOnly:
		h.keeper.gateShut()
		return h.afterGate(ctx, h.gate.OpenReadOnly(ctx))
	case reconcile.GateLease:
		return h.afterGate(ctx, h.keeper.openGate(ctx, s.Epoch))
	case reconcile.Cut:
		return h.cut(ctx, s.Nodes)
	case reconcile.Uncut:
		return h.afterGate(ctx, h.gate.Uncut(ctx, s.Nodes...))
	case reconcile.ReleaseBlocked:
		return h.afterGate(ctx, h.gate.Unblock(ctx))
	case reconcile.Fence:
		return h.fence(ctx, s.Epoch)
	case reconcile.ProbeAddresses, reconcile.BindAddresses, reconcile.Mute, reconcile.Release, reconcile.VerifyPaths:
		return h.onAddresses(ctx, s)
	case reconcile.StartServer:
		return nil, h.logs.starting(func() error {
			h.keepLog(ctx) // its recovery may drop what nobody else has
			return h.process.Start(ctx)
		})
	case reconcile.BackFill:
		return h.backFill(ctx, s)
	case reconcile.Reclone, reconcile.Rewind:
		return h.rejoin(ctx, s)
	}
	return h.onServer(ctx, s)
}

// afterGate reads the gate back after a step on it.
func (h *hands) afterGate(ctx context.Context, err error) (deed, error) {
	state, readErr := h.gate.State(ctx)
	if readErr != nil {
		return nil, errors.Join(err, fmt.Errorf("read the gate back: %w", readErr))
	}
	return func(l *loop) { l.sawGate(state) }, err
}

// cut stops nodes from replicating from here, then reads the position: nothing
// after it was acknowledged by them.
func (h *hands) cut(ctx context.Context, nodes []cluster.NodeName) (deed, error) {
	if err := h.gate.Cut(ctx, nodes...); err != nil {
		return nil, fmt.Errorf("cut the replication of %v: %w", nodes, err)
	}
	state, err := h.gate.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the gate back: %w", err)
	}
	server, err := h.observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the position after the cut: %w", err)
	}
	return func(l *loop) {
		l.sawGate(state)
		l.HasCut(state.Cut, server.Executed)
	}, nil
}

// fence makes sure that no client can write here any more, in the order of
// design.md, section 5. The gate alone does it; everything after that is for
// the clients' sake, and so that it stays so.
func (h *hands) fence(ctx context.Context, epoch cluster.Epoch) (deed, error) {
	h.keeper.latch(epoch) // waits for an extension under way: none comes after this
	if err := h.timed(timeline.StepCloseGate, func() error { return h.gate.Close(ctx) }); err != nil && !errors.Is(err, ErrNoGate) {
		return nil, fmt.Errorf("close the gate: %w", err)
	}
	// Resets reach the clients only while the address is still there.
	resetting := h.timed(timeline.StepSockets, func() error {
		n, err := h.sockets.DestroyClients(ctx)
		h.log.Info("client sockets destroyed", "count", n, "epoch", epoch)
		return err
	})
	withdrawn := make(chan error, 1)
	go func() { withdrawn <- h.withdraw(ctx) }()
	silenced := h.timed(timeline.StepReadOnly, func() error { return h.silenceServer(ctx) })
	withdrawal := <-withdrawn
	if silenced != nil {
		return nil, errors.Join(silenced, withdrawal)
	}
	state, err := h.gate.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the gate back: %w", err)
	}
	bound, muted := h.lookAtAddresses(ctx)
	if withdrawal == nil && len(bound) > 0 && !muted {
		withdrawal = fmt.Errorf("%v are still announced although they were muted", bound)
	}
	// Clients cannot write here any more, and others may know; that an address
	// is still announced is an error all the same, so that it is tried again.
	return func(l *loop) {
		l.sawGate(state)
		l.SawAddresses(bound, muted)
		l.HasFenced(epoch)
		if resetting == nil {
			l.ClientsReset = max(l.ClientsReset, epoch)
		}
		l.kick()
	}, withdrawal
}

// withdrawTime bounds one attempt to withdraw the addresses.
const withdrawTime = time.Second

// withdraw stops announcing the addresses. Muted they would still refuse who
// connects; where that cannot be had they are dropped.
func (h *hands) withdraw(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, withdrawTime)
	defer cancel()
	err := h.vip.Mute(ctx)
	if err == nil {
		return nil
	}
	h.log.Warn("mute the addresses; they are dropped instead", "err", err)
	if dropping := h.vip.Drop(ctx); dropping != nil {
		return errors.Join(fmt.Errorf("mute the addresses: %w", err), fmt.Errorf("drop the addresses: %w", dropping))
	}
	return nil
}

// fenceSQL is how long the SQL of a fence may take before the server is killed.
const fenceSQL = 250 * time.Millisecond

// silenceServer makes the server read-only, or sees that it is dead, or kills
// it. The waiters are released first, and only now: the gate is shut and their
// sockets are gone, so the answer that nobody acknowledged reaches nobody.
func (h *hands) silenceServer(ctx context.Context) error {
	if !h.process.Alive() {
		return nil
	}
	// What waits for commits would not come back either, where they hang: no time
	// is lost on it. Where the server may not be killed it is all that is left.
	hopeless := h.silent() && h.process.MayKill()
	if !h.process.Stopped() && !h.hung() && !hopeless {
		sql, cancel := context.WithTimeout(ctx, fenceSQL+h.lockWait())
		defer cancel()
		err := h.silence(sql)
		if err == nil {
			_, err = h.observe(sql)
			return err
		}
		// Given up, by a loop that has seen since that nobody can write here: that
		// is no reason to kill anybody, and nothing is said to be fenced. One that hangs
		// is not writable either, but for how long nobody knows.
		if errors.Is(context.Cause(ctx), errNotWanted) && !h.hung() {
			return fmt.Errorf("silence the server: %w", errNotWanted)
		}
		h.log.Warn("the fencing SQL did not come back", "err", err)
	}
	if !h.process.MayKill() {
		return errors.New("the server does not turn read-only, and the configuration forbids to kill it (server.kill_hung)")
	}
	return h.timed(timeline.StepKillServer, h.process.Kill)
}

// silence turns the server read-only by SQL, over a new session: opening it
// ends the one before, whose last statement may be the one that opens.
func (h *hands) silence(ctx context.Context) error {
	h.closeSession()
	session, err := h.openSession(ctx)
	if err != nil {
		return fmt.Errorf("connect to the server: %w", err)
	}
	if n, err := session.ReleaseWaiters(ctx); err != nil {
		return fmt.Errorf("release the sessions that wait for an acknowledgement: %w", err)
	} else if n > 0 {
		h.log.Info("sessions ended that waited for an acknowledgement", "count", n)
	}
	if err := session.SetReadOnly(ctx, true, h.lockWait()); err != nil {
		return fmt.Errorf("turn read-only: %w", err)
	}
	if _, err := session.DisableEvents(ctx); err != nil {
		h.log.Warn("disable the scheduled events", "err", err)
	}
	return nil
}

// lockWait is how long read_only may wait for locks: it hangs behind a commit
// that waits for its acknowledgement, and stalls everyone else meanwhile.
func (h *hands) lockWait() time.Duration { return time.Second }

// timed records a part of a step on the timeline.
func (h *hands) timed(step timeline.Step, do func() error) error {
	span := h.timeline.Begin(step, "")
	err := do()
	if err != nil {
		span.End(timeline.Failed, err.Error())
	} else {
		span.End(timeline.OK, "")
	}
	return err
}

// timelineStep is the name under which a step stands in the timeline.
func timelineStep(s reconcile.Step) timeline.Step {
	switch s.Kind {
	case reconcile.GateLease:
		return timeline.StepOpenGate
	case reconcile.BindAddresses:
		return timeline.StepAddress
	case reconcile.SetReadOnly:
		return timeline.StepReadOnly
	case reconcile.Apply:
		record := s.Position
		if !record.IsZero() && s.Node != "" {
			return timeline.StepFetch
		}
		return timeline.StepApply
	}
	return timeline.Step(s.Kind)
}

func without[T comparable](list []T, drop ...T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(drop, v) })
}
