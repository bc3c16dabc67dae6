package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/node"
)

// asks asks the other data nodes for their promises while the store does not
// accept renewals, until ctx ends. Nobody who is slow to answer delays another.
func (k *keeper) asks(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(k.keeps.Settings.Renew / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		k.mu.Lock()
		q, needed := k.keeps.Asks(clock.Now())
		others := k.keeps.Others()
		k.mu.Unlock()
		if !needed {
			continue
		}
		for _, n := range others {
			calls.Go(func() { k.askOne(ctx, n, q) })
		}
	}
}

// askOne asks one node. What its promise is worth counts from before it was asked.
func (k *keeper) askOne(ctx context.Context, n cluster.NodeName, q node.Ask) {
	sent := clock.Now()
	call, cancel := context.WithTimeout(ctx, k.keeps.Settings.Call)
	answer, err := k.ask(call, n, q)
	cancel()
	if err != nil {
		answer = node.Answer{Why: err.Error()}
	}
	k.mu.Lock()
	defer k.unlock()
	kept := k.keeps.Answered(n, q.Epoch, sent, clock.Now(), answer)
	if kept.Extend {
		if err := k.extend(ctx, k.keeps.Until()); err != nil {
			k.log.Error("hand the lease to the kernel", "epoch", q.Epoch, "err", err)
		}
	}
	if kept.Changed {
		signal(k.changed)
	}
}

// promised says on whose promises the lease rests, or who withholds theirs; both
// empty while the store accepts renewals.
func (k *keeper) promised(now cluster.Instant) (rests, lacks string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	yes, refused := k.keeps.Promised(now)
	if yes {
		var names []string
		for _, n := range k.keeps.Others() {
			names = append(names, string(n))
		}
		return strings.Join(names, ", "), ""
	}
	var all []string
	for _, n := range slices.Sorted(maps.Keys(refused)) {
		all = append(all, fmt.Sprintf("%s: %s", n, refused[n]))
	}
	return "", strings.Join(all, "; ")
}

// failsafe shows on what the primary's lease rests while the store is silent.
func (l *loop) failsafe(now cluster.Instant, silent bool) {
	rests, lacks := l.keeper.promised(now)
	say := func(reason cluster.Reason, detail string) {
		if !silent {
			detail = ""
		}
		l.Conditions.Put(reason, detail)
	}
	if rests != "" {
		rests = "the store does not answer; it serves on because all other data nodes have promised to take no part in a newer reign: " + rests
	}
	if lacks != "" {
		lacks = "the store does not answer, and not all other data nodes promise to wait: " + lacks
	}
	say(cluster.ServingOnPromises, rests)
	say(cluster.PromiseWithheld, lacks)
}

// askPledge asks one node to wait.
func (a *Agent) askPledge(ctx context.Context, n cluster.NodeName, q node.Ask) (node.Answer, error) {
	var answer node.Answer
	err := a.link.Call(ctx, n, pledgePath, q, &answer)
	return answer, err
}

// pledge answers a primary that the store does not answer. What it promises
// binds this node before it is written, and is written before it is answered.
func (a *Agent) pledge(ctx context.Context, q node.Ask) (node.Answer, error) {
	type said struct {
		answer node.Answer
		pledge lease.Pledge
	}
	reply := make(chan said, 1)
	select {
	case a.events <- func(l *loop) {
		now := clock.Now()
		answer := l.Asked(q, l.senses(now))
		reply <- said{answer, l.Node.Pledge}
	}:
	case <-ctx.Done():
		return node.Answer{}, ctx.Err()
	}
	select {
	case s := <-reply:
		if s.answer.Pledged {
			if err := a.pledges.keep(s.pledge); err != nil {
				return node.Answer{Why: err.Error()}, nil
			}
		}
		return s.answer, nil
	case <-ctx.Done():
		return node.Answer{}, ctx.Err()
	}
}

// pledges keeps on disk what this node has promised, so that its agent's restart
// does not break it.
type pledges struct {
	dir  string
	boot string // the host's: what was promised in another boot is over

	mu   sync.Mutex
	kept lease.Pledge
}

// keptPledge is the file's content. Instants are of the host's boot clock, which
// goes on while no agent runs.
type keptPledge struct {
	Boot  string          `json:"boot"`
	Epoch cluster.Epoch   `json:"epoch"`
	Until cluster.Instant `json:"until"`
}

const pledgeFile = "pledge.json"

// keep writes a pledge unless a later one is written already. It need not survive
// the host, whose boot outlasts it (node.PledgeAtStart), and so is not synced.
func (p *pledges) keep(g lease.Pledge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.Until <= p.kept.Until && g.Epoch >= p.kept.Epoch {
		return nil
	}
	b, err := json.Marshal(keptPledge{Boot: p.boot, Epoch: g.Epoch, Until: g.Until})
	if err != nil {
		return err
	}
	path := filepath.Join(p.dir, pledgeFile)
	if err = os.WriteFile(path+".new", b, 0o600); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write down the promise to epoch %d: %w", g.Epoch, err)
	}
	p.kept = g
	return nil
}

// read returns what the last agent of this boot promised, and whether that is
// known.
func (p *pledges) read() (lease.Pledge, bool, error) {
	b, err := os.ReadFile(filepath.Join(p.dir, pledgeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return lease.Pledge{}, false, nil
	}
	var k keptPledge
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil {
		return lease.Pledge{}, false, fmt.Errorf("read what this agent has promised: %w", err)
	}
	if k.Boot != p.boot {
		return lease.Pledge{}, false, nil
	}
	return lease.Pledge{Epoch: k.Epoch, Until: k.Until}, true, nil
}

// atStart is what binds this node now that its agent has just started. What
// cannot be read counts as having been promised a moment ago.
func (p *pledges) atStart(now cluster.Instant, s cluster.Settings) (lease.Pledge, error) {
	kept, known, err := p.read()
	if err != nil {
		return lease.Pledge{Until: now.Add(lease.PledgeLasts(s.Lease, s))}, err
	}
	return node.PledgeAtStart(kept, known, s), nil
}
