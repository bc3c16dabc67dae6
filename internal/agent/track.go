package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint/vip"
)

// tracking judges one interface of the clients' network by what looks at it
// found. It is lost only after it has been bad for the limit without a break and
// for as many looks as the configuration asks for: a blip moves nothing. One that
// is back is suspect for the limit before it is up: where the gateway itself was
// away, one node sees its return before another does, and must not count as better
// off meanwhile.
type tracking struct {
	since cluster.Instant // of the first look of a row that found the same
	bad   int             // looks in a row
	good  int
	lost  bool
	back  bool // it was lost, and is not believed to be well yet
}

// state is how the network counts now.
func (t *tracking) state() cluster.LayerState {
	switch {
	case t.lost:
		return cluster.Down
	case t.bad > 0 || t.back:
		return cluster.Suspect
	}
	return cluster.Up
}

// looked takes in one look, which began then.
func (t *tracking) looked(well bool, began, now cluster.Instant, limit time.Duration, failures, recover int) {
	if well {
		if t.good == 0 {
			t.since = began
		}
		t.bad, t.good = 0, t.good+1
		if t.good >= recover {
			t.lost = false
			t.back = t.back && now.Sub(t.since) < limit
		}
		return
	}
	if t.bad == 0 {
		t.since = began
	}
	t.bad, t.good = t.bad+1, 0
	if t.bad >= failures && now.Sub(t.since) >= limit {
		t.lost, t.back = true, true
	}
}

// trackNetworks watches the clients' networks that the configuration names, each
// by itself, so that a gateway that does not answer holds up none, until ctx
// ends.
func trackNetworks(ctx context.Context, a *Agent) {
	c := a.inForce().config
	if len(c.Detection.Track) == 0 {
		return
	}
	asker, err := vip.NewAsker(vip.Config{AskWait: c.Detection.Timeout.Host}, a.Log)
	if err != nil {
		a.Log.Error("the clients' networks are not tracked", "err", err)
		return
	}
	seen := make([]cluster.LayerView, len(c.Detection.Track)) // the loop's own
	var trackers sync.WaitGroup
	for i, t := range c.Detection.Track {
		trackers.Go(func() {
			trackOne(ctx, a, asker, t, func(v cluster.LayerView) {
				a.post(func(l *loop) {
					seen[i] = v
					l.Network = worst(seen)
				})
			})
		})
	}
	trackers.Wait()
	if err := asker.Close(); err != nil {
		a.Log.Debug("close what tracks the clients' networks", "err", err)
	}
}

// worst is all tracked networks in one: as bad as the worst, which is named.
func worst(all []cluster.LayerView) cluster.LayerView {
	for _, s := range []cluster.LayerState{cluster.Down, cluster.Suspect, cluster.Up} {
		var evidence []string
		found := false
		for _, v := range all {
			if v.State != s {
				continue
			}
			found = true
			if v.Evidence != "" {
				evidence = append(evidence, v.Evidence)
			}
		}
		if found {
			return cluster.LayerView{State: s, Evidence: strings.Join(evidence, "; ")}
		}
	}
	return cluster.LayerView{}
}

// trackOne looks at one network until ctx ends, quicker after a bad look, and
// says how it counts whenever that changes.
func trackOne(ctx context.Context, a *Agent, asker *vip.Asker, t config.Track, say func(cluster.LayerView)) {
	var track tracking
	var said cluster.LayerView
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		now := a.inForce()
		d := now.config.Detection
		began := clock.Now()
		wrong := lookAt(ctx, asker, t)
		if ctx.Err() != nil {
			return
		}
		// By the time one is sure, every node has looked: of a gateway that fails
		// all of them, none is to believe that it alone is cut off.
		limit := max(now.settings.Lease, d.Normal+d.Timeout.Host+now.settings.Renew)
		track.looked(wrong == "", began, clock.Now(), limit, d.Failures, d.Recover)
		v := cluster.LayerView{State: track.state(), Evidence: wrong}
		if wrong == "" && v.State != cluster.Up {
			v.Evidence = said.Evidence // good again, and not for long enough to be believed
		}
		every := d.Normal
		if v.State != cluster.Up {
			every = d.Critical
		}
		next.Reset(every)
		if v.State != said.State || v.Evidence != said.Evidence {
			a.Log.Info("a tracked network", "interface", t.Interface, "state", v.State, "evidence", v.Evidence)
			said = v
			say(v)
		}
	}
}

// lookAt returns what is wrong with a network, or nothing.
func lookAt(ctx context.Context, asker *vip.Asker, t config.Track) string {
	carrier, err := asker.Carrier(t.Interface)
	switch {
	case err != nil:
		return err.Error()
	case !carrier:
		return t.Interface + " has no carrier"
	case !t.Gateway.IsValid():
		return ""
	}
	if _, err := asker.Ask(ctx, t.Interface, t.Gateway); err != nil {
		return fmt.Sprintf("the gateway %s behind %s does not answer", t.Gateway, t.Interface)
	}
	return ""
}
