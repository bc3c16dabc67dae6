package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/command"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/timeline"
)

// hooks are a person's commands around the phases of a switch. Each has a queue of
// its own, in which its runs wait for each other and for nothing else; the loop
// never waits for them. Only a planned switchover can: until those before handoff
// have ended on the primary's host, nobody begins it (decide.Hooks).
type hooks struct {
	all      []hook
	node     cluster.NodeName
	cluster  string
	log      *slog.Logger
	timeline *timeline.Recorder
	// hidden are the passwords, of which nothing is told that a hook prints.
	hidden func() []string
	// tell says in the loop what came of the hooks that a request waited for.
	tell func(request, why string)
	// raise says in the loop which hooks have failed at their last run; nothing: none.
	raise func(failed string)
	mu    sync.Mutex
	bad   map[string]string // what those said, by their name
	asked map[string]bool   // requests whose hooks have been started; the loop's own
}

type hook struct {
	config.Hook
	queue chan moment
}

// queued is how many runs of one hook may wait.
const queued = 16

// moment is what a hook is told, as JSON on its standard input.
type moment struct {
	Cluster string           `json:"cluster"`
	Node    cluster.NodeName `json:"node"` // where it runs
	Hook    string           `json:"hook"`
	When    string           `json:"when"` // before or after
	Phase   cluster.Phase    `json:"phase"`
	Epoch   cluster.Epoch    `json:"epoch"`
	From    cluster.NodeName `json:"from,omitempty"` // who has or had the role
	To      cluster.NodeName `json:"to,omitempty"`   // who gets it; missing as long as nobody knows
	Planned bool             `json:"planned"`
	Cause   cluster.Reason   `json:"cause"`
	Detail  string           `json:"detail,omitempty"`

	done func(error)
}

func newHooks(a *Agent) *hooks {
	if a.Config.Mode != cluster.Active || len(a.Config.Hooks) == 0 {
		return nil
	}
	h := &hooks{node: a.Config.Node, cluster: a.Config.Cluster, log: a.Log, timeline: a.recorder, asked: map[string]bool{},
		hidden: func() []string { return a.inForce().passwords.Hidden() },
		raise:  func(failed string) { a.post(func(l *loop) { l.Conditions.Put(cluster.HookFailed, failed) }) },
		tell: func(request, why string) {
			a.post(func(l *loop) {
				if l.Node.Hooks.Said == nil {
					l.Node.Hooks.Said = map[string]string{}
				}
				l.Node.Hooks.Said[request] = why
			})
		}}
	for _, c := range a.Config.Hooks {
		h.all = append(h.all, hook{c, make(chan moment, queued)})
	}
	return h
}

// delays reports whether planned switches wait for any of them.
func (h *hooks) delays() bool {
	return h != nil && slices.ContainsFunc(h.all, func(h hook) bool { return h.Delays() })
}

// run runs what is queued, until ctx ends.
func (h *hooks) run(ctx context.Context, spawn func(func())) {
	for _, one := range h.all {
		spawn(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case m := <-one.queue:
					h.perform(ctx, one, m)
				}
			}
		})
	}
}

// saw queues what is to be run because the record has changed.
func (h *hooks) saw(before, now cluster.Record) {
	if before.Epoch == 0 || before.Phase == now.Phase && before.Epoch == now.Epoch {
		return
	}
	planned := now.Planned || before.Phase == cluster.PhaseHandoff || now.Phase == cluster.PhaseHandoff
	for _, one := range h.all {
		if slices.Contains(one.After, string(before.Phase)) {
			h.queue(one, h.moment(one, "after", before.Phase, now, planned))
		}
		if slices.Contains(one.Before, string(now.Phase)) && !one.Delays() {
			h.queue(one, h.moment(one, "before", now.Phase, now, planned))
		}
	}
}

func (h *hooks) moment(one hook, when string, phase cluster.Phase, r cluster.Record, planned bool) moment {
	m := moment{Cluster: h.cluster, Node: h.node, Hook: one.Name, When: when, Phase: phase, Epoch: r.Epoch, Planned: planned, Cause: r.Reason, Detail: r.Detail}
	switch r.Phase {
	case cluster.PhaseHandoff:
		m.From, m.To = r.Primary, r.Candidate
	case cluster.PhaseFencing, cluster.PhaseElecting:
		m.From, m.To = r.Previous, r.Candidate
	default:
		m.From, m.To = r.Previous, r.Primary
	}
	return m
}

func (h *hooks) queue(one hook, m moment) {
	switch {
	case one.On == config.OnOld && m.From != h.node, one.On == config.OnNew && m.To != h.node:
		return
	}
	select {
	case one.queue <- m:
	default:
		h.log.Warn("a hook is left out: it has not ended so often before", "hook", one.Name, "when", m.When, "phase", m.Phase, "epoch", m.Epoch, "waiting", queued)
		if m.done != nil {
			m.done(fmt.Errorf("%d runs of it wait already", queued))
		}
	}
}

// askHooks has the hooks run that a switchover waits for, once for each request.
func (l *loop) askHooks(w decide.World, now cluster.Instant) {
	gone := func(id string) bool {
		return !slices.ContainsFunc(w.Requests, func(q decide.Seen[cluster.Request]) bool { return q.Value.ID == id })
	}
	maps.DeleteFunc(l.hooks.asked, func(id string, _ bool) bool { return gone(id) })
	maps.DeleteFunc(l.Node.Hooks.Said, func(id, _ string) bool { return gone(id) })
	if q, next, ok := decide.AwaitsHooks(w, now); ok && !l.hooks.asked[q.ID] {
		l.hooks.asked[q.ID] = true
		l.hooks.ask(q.ID, next)
	}
}

// ask starts the hooks that the switch to a record waits for.
func (h *hooks) ask(request string, next cluster.Record) {
	var mu sync.Mutex
	left, refused := 0, []string(nil)
	for _, one := range h.all {
		if one.Delays() {
			left++
		}
	}
	for _, one := range h.all {
		if !one.Delays() {
			continue
		}
		m := h.moment(one, "before", cluster.PhaseHandoff, next, true)
		m.done = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil && one.Veto {
				refused = append(refused, fmt.Sprintf("the hook %s is against it: %v", one.Name, err))
			}
			if left--; left == 0 {
				slices.Sort(refused)
				h.tell(request, strings.Join(refused, "; "))
			}
		}
		h.queue(one, m)
	}
}

// perform runs a hook once.
func (h *hooks) perform(ctx context.Context, one hook, m moment) {
	input, err := json.Marshal(m)
	if err != nil {
		h.log.Error("a hook", "hook", one.Name, "err", err)
		return
	}
	span := h.timeline.Begin(timeline.Step("hook "+one.Name), m.When+" "+string(m.Phase))
	began := clock.Now()
	env := []string{"BATON_CLUSTER=" + m.Cluster, "BATON_NODE=" + string(m.Node), "BATON_HOOK=" + m.Hook, "BATON_WHEN=" + m.When, "BATON_PHASE=" + string(m.Phase),
		fmt.Sprintf("BATON_EPOCH=%d", m.Epoch), "BATON_FROM=" + string(m.From), "BATON_TO=" + string(m.To), fmt.Sprintf("BATON_PLANNED=%t", m.Planned)}
	printed, err := command.Command{Args: one.Command, Env: env, Input: append(input, '\n'), Limit: one.Limit, Hidden: h.hidden()}.Run(ctx)
	took := clock.Now().Sub(began).Round(time.Millisecond)
	log := h.log.With("hook", one.Name, "when", m.When, "phase", m.Phase, "epoch", m.Epoch, "took", took)
	if err != nil {
		log.Warn("a hook failed", "err", err)
		span.End(timeline.Failed, m.When+" "+string(m.Phase)+": "+err.Error())
	} else {
		log.Info("a hook has run", "printed", printed)
		span.End(timeline.OK, m.When+" "+string(m.Phase))
	}
	if ctx.Err() == nil {
		h.ended(one.Name, m, err)
	}
	if m.done != nil {
		m.done(err)
	}
}

// ended keeps in mind how a hook's last run went.
func (h *hooks) ended(name string, m moment, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bad == nil {
		h.bad = map[string]string{}
	}
	if delete(h.bad, name); err != nil {
		h.bad[name] = fmt.Sprintf("%s, %s %s of epoch %d: %v", name, m.When, m.Phase, m.Epoch, err)
	}
	var all []string
	for _, n := range slices.Sorted(maps.Keys(h.bad)) {
		all = append(all, h.bad[n])
	}
	h.raise(strings.Join(all, "; "))
}
