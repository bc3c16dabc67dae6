package agent

import (
	"cmp"
	"context"
	"slices"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/ledger"
	"github.com/baton-db/baton/internal/timeline"
)

// Ledger implements api.Connections.
func (a *Agent) Ledger(context.Context) (api.Ledger, error) {
	k := a.host.clients
	if k == nil {
		return api.Ledger{Why: "this node keeps none: it is a witness, the cluster has no virtual address (addresses), or connections.limit is 0", Connections: []api.Connection{}}, nil
	}
	return k.shown(clock.Now()), nil
}

// shown is the ledger for people: this node's own while it leads, else the copy of
// the last one that led.
func (k *clients) shown(now cluster.Instant) api.Ledger {
	k.mu.Lock()
	of, leads, why, copied := k.of, k.leads, k.trouble, ledger.State{}
	feed := k.feed
	if feed == nil && k.copy != nil {
		copied = k.copy.State()
	}
	k.mu.Unlock()
	state := copied
	if feed != nil {
		of, state, why = k.self, feed.State(), ""
	}
	switch {
	case why != "":
	case leads == "":
		why = "nobody leads the clients now"
	case leads != k.self && k.stream == nil:
		why = "there is no direct link to the other agents (tls)"
	case state.At == 0:
		why = "nothing has been seen yet"
	case leads != of:
		why = "nothing of " + string(leads) + " has come yet"
	}
	l := api.Ledger{Limit: k.limit, Beyond: state.Beyond, Why: why, Connections: []api.Connection{}}
	if state.At == 0 {
		return l
	}
	l.Node, l.Age = of, timeline.Millis(now.Sub(state.At))
	slices.SortFunc(state.Entries, func(a, b ledger.Entry) int {
		return cmp.Or(a.Remote.Compare(b.Remote), a.Local.Compare(b.Local))
	})
	for _, e := range state.Entries {
		l.Connections = append(l.Connections, api.Connection{Client: e.Remote.String(), Address: e.Local.String(), Known: timeline.Millis(now.Sub(e.Since))})
	}
	return l
}
