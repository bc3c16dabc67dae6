package lab

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab/load"
	"github.com/baton-db/baton/internal/scenario"
)

// stage is a lab on which a script runs.
type stage struct {
	l     *Lab
	load  *load.Client
	begun time.Time
	at    time.Duration // on the load's clock
	epoch cluster.Epoch // at the start
	no    bool          // a request was turned down
}

var _ scenario.World = (*stage)(nil)

// stagePatience is how many times longer than in a script things may take here: the
// machine may be small, and busy with other labs.
const stagePatience = 5

// shortestReign is less than any reign lasts in which clients come to write: on a
// machine that is busy enough the role may go there and back while clients look on,
// and that is no overlap.
const shortestReign = 500 * time.Millisecond

// Scenario runs a script on the lab and tells say what happens. Everything that it
// broke is mended in the end.
func (l *Lab) Scenario(ctx context.Context, s scenario.Script, say func(string, ...any)) error {
	c := s.Cluster
	switch {
	case !s.Runs(scenario.InLab):
		return fmt.Errorf("this scenario runs only in the %s: %s", s.Only, s.Because)
	case c.Servers != l.Servers || c.Witness != l.Witness:
		return fmt.Errorf("this scenario is about %s, the lab has %d servers, witness: %t", c, l.Servers, l.Witness)
	}
	w := &stage{l: l}
	err := scenario.Run(ctx, s, w, say)
	if w.load != nil {
		w.load.Stop()
	}
	if err != nil {
		_, heal := l.Heal(ctx)
		return errors.Join(err, heal)
	}
	return nil
}

// Begin is scenario.World's.
func (w *stage) Begin(ctx context.Context) (scenario.Cast, error) {
	if err := w.l.WaitSteady(ctx); err != nil {
		return scenario.Cast{}, err
	}
	st, err := w.newest(ctx)
	if err != nil {
		return scenario.Cast{}, err
	}
	if w.load, err = w.l.StartLoad(ctx, load.Options{}); err != nil {
		return scenario.Cast{}, err
	}
	if _, err := w.load.Until(ctx, warmUp, func(load.Ack) bool { return true }); err != nil {
		return scenario.Cast{}, err
	}
	w.begun, w.at, w.epoch = time.Now(), w.load.Now(), st.Epoch
	cast := scenario.Cast{Primary: string(st.Primary), Replicas: slices.DeleteFunc(w.l.DataNodes(), func(n string) bool { return n == string(st.Primary) })}
	if w.l.Witness {
		cast.Witness = witnessName
	}
	return cast, nil
}

// newest is the status of the agent that knows the newest record.
func (w *stage) newest(ctx context.Context) (api.Status, error) {
	var newest api.Status
	var silent []error
	for _, n := range w.l.Nodes() {
		st, err := w.l.ClusterStatus(ctx, n)
		if err != nil {
			silent = append(silent, err)
		} else if !newest.Known || st.Epoch > newest.Epoch {
			newest = st
		}
	}
	if !newest.Known {
		return newest, errors.Join(append(silent, errors.New("no agent knows a record"))...)
	}
	return newest, nil
}

// Do is scenario.World's.
func (w *stage) Do(ctx context.Context, a scenario.Action, node string) error {
	switch a {
	case scenario.Heal:
		_, err := w.l.Heal(ctx)
		return err
	case scenario.Switchover:
		if err := w.l.Switchover(ctx, node); err != nil {
			w.no = true
		}
		return nil
	}
	f, err := FaultByName(string(a))
	if err != nil {
		return fmt.Errorf("a lab knows no %s: %w", a, err)
	}
	if node == "" {
		if node, err = w.l.Target(ctx, f); err != nil {
			return err
		}
	}
	return w.l.Inject(ctx, f, node)
}

// Pass is scenario.World's.
func (w *stage) Pass(ctx context.Context, d time.Duration, done func() bool) error {
	end, tick := time.NewTimer(d), time.NewTicker(lookEvery)
	defer end.Stop()
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Since is scenario.World's.
func (w *stage) Since() time.Duration { return time.Since(w.begun) }

// Patience is scenario.World's.
func (w *stage) Patience() time.Duration { return stagePatience }

// Look is scenario.World's.
func (w *stage) Look(ctx context.Context) (scenario.Sight, error) {
	st, err := w.newest(ctx)
	if err != nil {
		return scenario.Sight{}, err
	}
	s := scenario.Sight{Primary: string(st.Primary), Phase: st.Phase, Writable: w.l.Writable(ctx), Refused: w.no, Why: []cluster.Reason{st.Reason}}
	for _, a := range w.load.Journal().Acks {
		if a.Acked >= w.at {
			s.Acked++
		}
	}
	s.Following = func(node string) error {
		var position string
		if err := w.l.ask(ctx, s.Primary, w.l.words().position, &position); err != nil {
			return err
		}
		return w.l.following(ctx, node, s.Primary, position)
	}
	s.Trace = func() ([]cluster.Reason, error) { return w.trace(ctx, s.Primary) }
	if s.Address, err = w.l.holders(ctx, w.l.Addresses()[0]); err != nil {
		return scenario.Sight{}, err
	}
	return s, nil
}

// trace is why the record changed since the start, from the history.
func (w *stage) trace(ctx context.Context, node string) ([]cluster.Reason, error) {
	if node == "" {
		return nil, errors.New("nobody is primary: no one to ask for the history")
	}
	c := api.NewClient(w.l.ControlSocket(node))
	defer c.Close()
	all, err := c.History(ctx)
	if err != nil {
		return nil, err
	}
	var why []cluster.Reason
	for _, s := range all {
		if s.First <= w.epoch {
			continue
		}
		for _, ch := range s.Changes {
			why = append(why, ch.Why)
		}
	}
	return why, nil
}

// Finish is scenario.World's.
func (w *stage) Finish(ctx context.Context) (scenario.Verdict, error) {
	if _, err := w.l.Heal(ctx); err != nil {
		return scenario.Verdict{}, err
	}
	if err := w.l.Settle(ctx); err != nil {
		return scenario.Verdict{}, err
	}
	if err := w.load.UntilEach(ctx, w.load.Now()); err != nil {
		return scenario.Verdict{}, err
	}
	v, err := w.l.Judge(ctx, w.load.Stop(), Span{Broken: w.at, Healed: math.MaxInt64}, shortestReign)
	if err != nil {
		return scenario.Verdict{}, err
	}
	return scenario.Verdict{Acked: v.Acknowledged, Lost: v.Lost, Twice: v.DoubleWriters, Outage: time.Duration(v.OutageMS * float64(time.Millisecond))}, nil
}
