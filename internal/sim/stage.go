package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/scenario"
)

// Stage is a simulated cluster in which only that happens what a script says.
type Stage struct {
	w     *world
	begun int64
	acked int
	told  int // changes of the record before Begin returned
	undo  []func()
}

var _ scenario.World = (*Stage)(nil)

// Times of a stage, virtual.
const (
	stageBegins  = 30 * time.Second // a cluster is well by then
	stageSettles = 2 * time.Second  // until everybody has said so
	lookEvery    = 5 * time.Millisecond
	lag          = 150 * time.Millisecond // of a server that lags, for every transaction
)

// NewStage builds a cluster as a script wants it.
func NewStage(c scenario.Cluster, seed uint64, trace bool) *Stage {
	w := newWorld(Options{Seed: seed, Trace: trace})
	w.scripted, w.chaos.w, w.chaos.over = true, w, 1
	ms := time.Millisecond
	s := cluster.Settings{Cluster: "stage", Durability: cluster.Lossless, Acks: 1, Alone: cluster.AloneContinue, Drift: 0.01, CoolDown: 30 * time.Second,
		Lease: 750 * ms, Margin: 20 * ms, Beat: time.Second, Hang: time.Second, Drain: 2 * time.Second, PromoteStall: 5 * time.Second}
	s.Renew, s.Call = s.Lease/4, s.Lease/8
	s.Handoff, s.AckLeave, s.PromiseWait = max(2*s.Drain, 2*s.Lease), 2*s.Lease, s.Lease/2
	if c.Async {
		s.Durability, s.BackFill = cluster.Async, 5*time.Second
	}
	if c.Wait {
		s.Alone = cluster.AloneWait
	}
	for i := range c.Servers {
		s.Nodes = append(s.Nodes, cluster.Node{Name: cluster.NodeName(fmt.Sprintf("db%d", i+1)), Role: cluster.Data})
	}
	if c.Witness {
		s.Nodes = append(s.Nodes, cluster.Node{Name: "w1", Role: cluster.Witness})
	}
	w.settings = s
	w.draw = draw{limits: detect.Limits{Normal: 250 * ms, Suspect: 100 * ms, Critical: 50 * ms, Hang: s.Hang}, timeout: 200 * ms,
		apply: 5 * ms, link: ms, trunc: true}
	w.assemble()
	return &Stage{w: w}
}

// Begin is scenario.World's.
func (s *Stage) Begin(ctx context.Context) (scenario.Cast, error) {
	wrong := ""
	well := func() bool {
		wrong = s.w.unwell()
		if members := s.w.store.record.value.Acks().Members; wrong == "" && s.w.settings.Durability == cluster.Lossless && len(members) != len(s.w.settings.DataNodes())-1 {
			wrong = fmt.Sprintf("the ack set is %v", members)
		}
		return wrong == ""
	}
	if err := s.Pass(ctx, stageBegins, well); err != nil {
		return scenario.Cast{}, err
	}
	if wrong != "" {
		return scenario.Cast{}, errors.New(wrong)
	}
	if err := s.Pass(ctx, stageSettles, func() bool { return false }); err != nil {
		return scenario.Cast{}, err
	}
	s.begun, s.acked, s.told, s.w.gap = s.w.now, s.w.result.Written, len(s.w.why), 0
	cast := scenario.Cast{Primary: string(s.w.store.record.value.Primary)}
	for _, h := range s.w.nodes {
		switch {
		case !h.data:
			cast.Witness = string(h.name)
		case string(h.name) != cast.Primary:
			cast.Replicas = append(cast.Replicas, string(h.name))
		}
	}
	return cast, nil
}

// Since is scenario.World's.
func (s *Stage) Since() time.Duration { return time.Duration(s.w.now - s.begun) }

// Patience is scenario.World's: virtual time is never short.
func (s *Stage) Patience() time.Duration { return 1 }

// Pass is scenario.World's.
func (s *Stage) Pass(ctx context.Context, d time.Duration, done func() bool) error {
	w := s.w
	end := w.now + int64(max(d, 0))
	for next := w.now; ; next += int64(lookEvery) {
		if err := ctx.Err(); err != nil {
			return err
		}
		next = min(next, end)
		w.runUntil(next)
		if w.result.Violation != "" {
			return fmt.Errorf("a promise is broken %s", w.result.Violation)
		}
		if done() || next == end {
			return nil
		}
	}
}

// Trace is what happened, if it was to be kept.
func (s *Stage) Trace() string { return strings.Join(s.w.result.Trace, "\n") }

// Look is scenario.World's.
func (s *Stage) Look(context.Context) (scenario.Sight, error) {
	w := s.w
	r := w.store.record.value
	sight := scenario.Sight{
		Primary: string(r.Primary), Phase: r.Phase, Acked: w.result.Written - s.acked, Following: s.following,
		Trace: func() ([]cluster.Reason, error) { return slices.Clone(w.why[s.told:]), nil },
	}
	for _, h := range w.nodes {
		if h.data && h.srv.writable() && h.passes() {
			sight.Writable = append(sight.Writable, string(h.name))
		}
		if _, announced := h.has(); announced {
			sight.Address = append(sight.Address, string(h.name))
		}
		if h.agent != nil && h.agent.n.Outcome.Why != cluster.Nothing && !slices.Contains(sight.Why, h.agent.n.Outcome.Why) {
			sight.Why = append(sight.Why, h.agent.n.Outcome.Why)
		}
	}
	for _, q := range w.store.requests {
		sight.Refused = sight.Refused || q.value.Refused != ""
	}
	return sight, nil
}

func (s *Stage) following(node string) error {
	h, p := s.w.node(cluster.NodeName(node)), s.w.node(s.w.store.record.value.Primary)
	switch rep := &h.srv.replica; {
	case p == nil || p == h:
		return fmt.Errorf("%s follows nobody: there is no other primary", node)
	case !h.srv.answers() || rep.source != p || !rep.connected || rep.problem != "":
		return fmt.Errorf("%s does not follow %s %s", node, p.name, rep.problem)
	}
	return nil
}

// Do is scenario.World's.
func (s *Stage) Do(_ context.Context, a scenario.Action, node string) error {
	w := s.w
	h := w.node(cluster.NodeName(node))
	w.trace("***", "%s %s", a, node)
	if h != nil && !a.Asks() {
		h.sicken()
	}
	switch a {
	case scenario.Crash:
		h.srv.crash("")
		s.later(h.srv.start)
	case scenario.Power:
		h.crash()
		s.later(h.start)
	case scenario.Freeze:
		life := h.srv.life
		h.srv.hung = true
		s.later(func() {
			if h.srv.life == life {
				h.srv.goOn()
			}
			h.srv.start()
		})
	case scenario.AgentKill:
		h.killAgent()
		s.later(h.startAgent)
	case scenario.DiskFull:
		h.srv.full = true
		s.later(func() { h.srv.full = false })
	case scenario.BackupLock:
		h.srv.backup = true
		s.later(func() { h.srv.backup = false })
	case scenario.Lag:
		h.srv.lagging = true
		s.later(func() { h.srv.lagging = false })
	case scenario.StoreLoss:
		w.chaos.storeDown = w.now + int64(time.Hour)
		s.later(func() { w.chaos.storeDown = w.now })
	case scenario.StoreLeader:
		return s.loseStoreLeader()
	case scenario.Switchover, scenario.Failover:
		return s.ask(a, cluster.NodeName(node))
	case scenario.Heal:
		s.heal()
	default:
		return s.cut(a, h)
	}
	return nil
}

// later has something undone by the next heal.
func (s *Stage) later(undo func()) { s.undo = append(s.undo, undo) }

func (s *Stage) heal() {
	for _, undo := range slices.Backward(s.undo) {
		undo()
	}
	s.undo = nil
	for _, h := range s.w.nodes {
		h.sicken()
	}
}

// cut has the network fail.
func (s *Stage) cut(a scenario.Action, h *host) error {
	w := s.w
	var ways [][2]int
	for j := range w.net.cut {
		if j == h.i {
			continue
		}
		in, out := [2]int{j, h.i}, [2]int{h.i, j}
		switch {
		case a == scenario.Partition || a == scenario.Blip, a == scenario.PartitionNodes && j != w.net.clientsAt():
			ways = append(ways, in, out)
		case a == scenario.PartitionIn:
			ways = append(ways, in)
		case a == scenario.PartitionOut:
			ways = append(ways, out)
		case a == scenario.PartitionPair && len(ways) == 0 && j < len(w.nodes) && w.nodes[j].data:
			ways = append(ways, in, out)
		}
	}
	if len(ways) == 0 {
		return fmt.Errorf("the simulator knows no %s", a)
	}
	change := func(by int) {
		for _, way := range ways {
			w.net.cut[way[0]][way[1]] += by
			w.chaos.touched(way[0], way[1])
		}
	}
	change(1)
	if a == scenario.Blip {
		w.after(w.settings.Lease/5, func() { change(-1) })
		return nil
	}
	s.later(func() { change(-1) })
	return nil
}

// loseStoreLeader takes a host away that is not the primary's and leads the store.
func (s *Stage) loseStoreLeader() error {
	for _, h := range s.w.nodes {
		if h.name != s.w.store.record.value.Primary {
			s.w.store.leader = h.i
			h.crash()
			s.later(h.start)
			return nil
		}
	}
	return errors.New("there is no other node")
}

// ask asks as a person would.
func (s *Stage) ask(a scenario.Action, to cluster.NodeName) error {
	q := cluster.Request{Schema: cluster.Schema, ID: fmt.Sprintf("r%d", len(s.w.why)), Kind: cluster.RequestSwitchover, To: to, By: "somebody"}
	if a == scenario.Failover {
		q.Kind = cluster.RequestFailover
	}
	if !s.w.store.serves() {
		return errors.New("the store does not answer")
	}
	_, err := s.w.store.putRequest(q)
	return err
}

// held names a node that a person has to provision anew, and will.
func (s *Stage) held() string {
	for n, f := range s.w.store.facts {
		if f.value.Held != "" {
			return fmt.Sprintf("%s: %s", n, f.value.Held)
		}
	}
	return ""
}

// Finish is scenario.World's.
func (s *Stage) Finish(ctx context.Context) (scenario.Verdict, error) {
	w := s.w
	s.heal()
	w.chaos.over = w.now
	wrong := ""
	well := func() bool {
		w.helpOut()
		if wrong = w.unwell(); wrong == "" {
			wrong = s.held()
		}
		return wrong == ""
	}
	if err := s.Pass(ctx, 2*time.Minute, well); err != nil {
		return scenario.Verdict{}, err
	}
	if wrong != "" {
		return scenario.Verdict{}, errors.New(wrong)
	}
	return scenario.Verdict{Acked: w.result.Written - s.acked, Lost: len(w.missing(w.node(w.store.record.value.Primary).srv)), Outage: time.Duration(w.gap)}, nil
}
