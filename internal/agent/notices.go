package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/health"
	"github.com/baton-db/baton/internal/httpcall"
	"github.com/baton-db/baton/internal/notify"
)

// notices tell people what this node sees. The loop looks and hands over; it waits
// for nobody who is told.
type notices struct {
	watch notify.Watch
	box   *notify.Box
}

// newNotices is nil if nobody is to be told.
func newNotices(a *Agent) (*notices, error) {
	c := a.Config
	if len(c.Notify.Targets) == 0 {
		return nil, nil
	}
	receivers, err := receiversOf(c, a.inForce().passwords.Notify, a.Wall)
	if err != nil {
		return nil, err
	}
	return &notices{box: notify.NewBox(a.Log, receivers...),
		watch: notify.Watch{Cluster: c.Cluster, Self: c.Node, Hold: c.Notify.Hold, Explain: meaningOf}}, nil
}

func meaningOf(r cluster.Reason) notify.Meaning {
	row, _ := health.Explain(r)
	return notify.Meaning{Severity: notify.Severity(row.Severity), Sign: row.Sign, Advice: row.You}
}

// look tells what has changed. own is this node's newest fact, published or not.
func (n *notices) look(w decide.World, own cluster.Fact, out decide.Outcome, now cluster.Instant, wall time.Time) {
	v := notify.View{Now: now, Wall: wall, Speaker: decide.Speaker(w, now), Alone: w.StoreSilent, Record: w.Record,
		Alive: func(n cluster.NodeName) bool { return decide.HeardOf(w, n, now) }, Conditions: map[cluster.NodeName][]cluster.Condition{}}
	for node, f := range w.Facts {
		v.Conditions[node] = f.Value.Conditions
	}
	v.Conditions[w.Self] = own.Conditions
	for node, all := range v.Conditions {
		if w.Record.Maintained(node) != nil {
			delete(v.Conditions, node) // nobody is alarmed by it
			continue
		}
		v.Conditions[node] = slices.DeleteFunc(slices.Clone(all), func(c cluster.Condition) bool { return quiet(c.Reason) })
	}
	if row, _ := health.Explain(out.Why); out.Next == nil && (row.Severity == health.Warning || row.Severity == health.Critical) {
		v.Held, v.HeldDetail = out.Why, out.Detail
	}
	for _, one := range n.watch.Look(v) {
		n.box.Put(one)
	}
}

// quiet reports whether a condition is nothing to tell: there is nothing to do.
func quiet(r cluster.Reason) bool {
	row, _ := health.Explain(r)
	return row.Severity == health.Normal
}

// receiversOf are those that a configuration names.
func receiversOf(c *config.Config, secrets []config.NotifySecrets, now func() time.Time) ([]notify.Receiver, error) {
	var all []notify.Receiver
	for i, t := range c.Notify.Targets {
		tls, err := clientTLS(t.TLS)
		if err != nil {
			return nil, fmt.Errorf("notify.targets[%d] (%s): %w", i, t.Name, err)
		}
		r := notify.Receiver{Name: t.Name, Least: notify.Severity(t.Least)}
		if slices.Contains(notify.Hooks(), t.Kind) {
			address := t.URL
			if t.URLFile != "" {
				address = secrets[i].URL.Reveal()
			}
			r.Sender = notify.Hook{Kind: t.Kind, URL: address, Secret: secrets[i].Secret.Reveal(), Client: httpcall.Client{TLS: tls}, Now: now}
		} else {
			r.Sender = notify.Mail{Server: t.Server, From: t.From, To: t.To, User: t.User, Password: secrets[i].Password.Reveal(), Security: t.Security, TLS: tls, Now: now}
		}
		all = append(all, r)
	}
	return all, nil
}

// Told is what came of trying one target.
type Told struct {
	Name, Kind string
	Err        error
}

// TryNotify tells a test to one target, or to all, from this host and now.
func TryNotify(ctx context.Context, c *config.Config, only string) ([]Told, error) {
	secrets, found := c.NotifySecrets()
	if err := found.Err(); err != nil {
		return nil, err
	}
	receivers, err := receiversOf(c, secrets, time.Now)
	if err != nil {
		return nil, err
	}
	var all []Told
	for i, r := range receivers {
		if only != "" && r.Name != only {
			continue
		}
		n := notify.Notice{ID: fmt.Sprintf("%s/test/%d", c.Cluster, time.Now().UnixNano()), Kind: notify.Test, Severity: notify.Note, Cluster: c.Cluster,
			By: c.Node, At: time.Now().UTC().Format(time.RFC3339), Detail: "nothing: somebody tries whether this arrives"}
		all = append(all, Told{r.Name, c.Notify.Targets[i].Kind, notify.Try(ctx, r.Sender, n)})
	}
	return all, nil
}
