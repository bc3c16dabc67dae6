package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
	"github.com/baton-db/baton/internal/probe"
)

// watcher looks at one other data node, layer by layer, each at its own pace:
// quicker after a failure. What it concludes goes to the loop.
type watcher struct {
	node   cluster.NodeName
	prober *probe.Prober
	limits detect.Limits
	away   func(detect.Layer) time.Duration // deadline of one probe
	report func(cluster.NodeName, detect.Layer, cluster.LayerView)
	log    *slog.Logger
}

// newWatchers returns a watcher for every other data node.
func newWatchers(a *Agent, c *config.Config) ([]*watcher, error) {
	passwords, findings := c.Passwords()
	if err := findings.Err(); err != nil {
		return nil, err
	}
	t := c.Detection.Timeout
	away := func(l detect.Layer) time.Duration {
		return map[detect.Layer]time.Duration{detect.Host: t.Host, detect.Port: t.Port, detect.Server: t.Server, detect.Business: t.Business}[l]
	}
	var all []*watcher
	for n, at := range sourcesOf(c) {
		p, err := probe.New(targetOf(c, n, at.Port(), passwords.Probe.Reveal()))
		if err != nil {
			return nil, err
		}
		all = append(all, &watcher{node: n, prober: p, limits: c.Limits(), away: away, log: a.Log,
			report: func(n cluster.NodeName, layer detect.Layer, v cluster.LayerView) {
				a.post(func(l *loop) { l.sawLayer(n, layer, v) })
			}})
	}
	return all, nil
}

func targetOf(c *config.Config, n cluster.NodeName, port uint16, password string) probe.Target {
	node, _ := c.NodeNamed(n)
	server := c.ServerOf(n)
	t := c.Detection.Timeout
	return probe.Target{
		Node: n, Address: node.Address, Port: port, User: server.Probe.User, Password: password, Business: server.Business.Read,
		HostTimeout: t.Host, PortTimeout: t.Port, ServerTimeout: t.Server, BusinessTimeout: t.Business,
	}
}

// watchAll runs watchers until ctx ends.
func watchAll(ctx context.Context, all []*watcher) {
	var running sync.WaitGroup
	for _, w := range all {
		running.Go(func() { w.run(ctx) })
	}
	running.Wait()
}

// run probes all layers until ctx ends.
func (w *watcher) run(ctx context.Context) {
	var layers sync.WaitGroup
	for _, layer := range w.prober.Layers() {
		layers.Go(func() { w.watch(ctx, layer) })
	}
	layers.Wait()
	w.prober.Close()
}

func (w *watcher) watch(ctx context.Context, layer detect.Layer) {
	track := detect.New(layer, w.limits)
	next := time.NewTimer(0)
	defer next.Stop()
	var said cluster.LayerView
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		sent := clock.Now()
		track = track.Asked(sent, w.away(layer))
		answer := w.prober.Ask(ctx, layer)
		now := clock.Now()
		if evidence, ok := answer.Evidence(); ok {
			track = track.Observe(now, evidence)
		} else {
			track = track.Tick(now)
		}
		if v := track.Verdict(now); v.State != said.State || v.Evidence != said.Evidence {
			w.log.Info("a node looks different", "of", w.node, "layer", layer, "state", v.State, "evidence", v.Evidence)
			said = v
			w.report(w.node, layer, v)
		}
		next.Reset(track.Next())
	}
}

// sawLayer takes in what a watcher concluded, and has it published.
func (l *loop) sawLayer(n cluster.NodeName, layer detect.Layer, v cluster.LayerView) {
	l.SawLayer(n, func(view *cluster.NodeView) {
		switch layer {
		case detect.Host:
			view.Host = v
		case detect.Port:
			view.Port = v
		case detect.Server:
			view.Server = v
		case detect.Business:
			view.Business = v
		}
	})
}
