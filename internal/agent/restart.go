package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
)

// restartNeeds is the shortest lease under which a primary's agent may restart in
// place: the next one renews within half a second, and the lease is what bridges
// that. Under a shorter one the role is to be handed over first.
const restartNeeds = 1500 * time.Millisecond

// Successor is the program that an agent is replaced by in place.
type Successor interface {
	// Check says why it could not run with the configuration as it is now.
	Check(ctx context.Context) error
	// Exec replaces this process. It returns only if that fails.
	Exec() error
}

// PrepareRestart gets this agent ready to be replaced in place, as after an
// upgrade, and returns what does it. Nothing is taken down: the gate, the
// addresses and the role stay as after a kill, and the next agent takes them up.
// It refuses in the midst of a switch, or if the next agent could not start.
func (a *Agent) PrepareRestart(ctx context.Context) (func() error, error) {
	if a.Successor == nil {
		return nil, errors.New("this agent does not know its own program")
	}
	if err := a.Successor.Check(ctx); err != nil {
		return nil, &api.Error{Status: http.StatusConflict, Message: fmt.Sprintf("the program as it is now would not start: %v", err), Mend: "mend that; this agent runs on"}
	}
	if _, err := a.sharedStore(); err != nil {
		return nil, err
	}
	if err := a.mayRestart(ctx); err != nil {
		return nil, err
	}
	if m := a.store.member; m != nil {
		if err := m.StepDown(ctx); err != nil {
			return nil, fmt.Errorf("hand over the lead of the store: %w", err)
		}
	}
	if err := a.loop.keeper.refresh(ctx); err != nil {
		return nil, err
	}
	a.Log.Info("agent is replaced in place", "incarnation", a.id)
	return a.Successor.Exec, nil
}

// mayRestart says why this agent must not be replaced just now.
func (a *Agent) mayRestart(ctx context.Context) error {
	said := make(chan error, 1)
	select {
	case a.events <- func(l *loop) { said <- l.mayRestart() }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-said:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *loop) mayRestart() error {
	r := l.Board.Record
	refuse := func(what, mend string) error {
		return &api.Error{Status: http.StatusConflict, Message: what, Mend: mend}
	}
	switch silent, _ := l.hearing.state(clock.Now(), l.silenceLimit()); {
	case silent:
		return refuse("the store does not answer this node", "bring it back first")
	case l.Board.RecordRev != 0 && r.Phase != cluster.PhaseSteady:
		return refuse(fmt.Sprintf("a switch is going on: %s, epoch %d", r.Phase, r.Epoch), "ask again when it is over")
	case l.lanes.Busy():
		return refuse("this host is in the middle of a step", "ask again in a moment")
	case r.Primary == l.Self && l.Settings.Lease < restartNeeds:
		return refuse(fmt.Sprintf("this is the primary, and its lease of %s is too short to bridge the restart", l.Settings.Lease), "hand the role over first: baton switchover")
	case r.Primary == l.Self && l.roads != nil && len(l.roads.runs) > 0:
		return refuse("this is the primary, and its BGP sessions end with this process: routers would have no way here for seconds", "hand the role over first: baton switchover")
	}
	return nil
}

// refresh renews the lease, if one is held, and returns once the gate and the
// addresses last for what is nearly a whole one.
func (k *keeper) refresh(ctx context.Context) error {
	for {
		k.mu.Lock()
		held, seq := k.keeps.Held, k.keeps.Rev
		k.mu.Unlock()
		if !held.Valid(held.Epoch, clock.Now()) {
			return nil
		}
		r := k.next()
		if r.Epoch == 0 {
			return nil // it is given up, or was lost: there is nothing to bridge
		}
		k.once(ctx, r)
		k.mu.Lock()
		renewed := k.keeps.Rev > seq
		k.mu.Unlock()
		if renewed {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("renew the lease before the restart: %w", err)
		}
	}
}
