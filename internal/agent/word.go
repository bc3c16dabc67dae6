package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/peer"
)

// wordPath is where a new primary tells another node that clients can pass its gate.
const wordPath = "word"

// wording is what it tells. Before the gate opens it says so, too: that makes the connection, so
// that the word that counts need not wait for a handshake.
type wording struct {
	Epoch cluster.Epoch `json:"epoch"`
	Open  bool          `json:"open"`
}

// word tells the other nodes directly, as soon as this one begins to lead endpoints, what
// they will read in its fact: what they lead to it themselves, such as the file of a proxy
// on a witness, is led that much sooner. Each is told once; one that does not hear it has
// the store.
type word struct {
	self cluster.NodeName
	to   []cluster.NodeName
	tell func(ctx context.Context, n cluster.NodeName, s wording) error
	call time.Duration // deadline of one call
	log  *slog.Logger

	last wording // the loop's own
}

// newWord is nil where there is no link.
func newWord(a *Agent) *word {
	if a.link == nil {
		return nil
	}
	w := &word{self: a.Config.Node, call: a.settings.Call, log: a.Log, tell: func(ctx context.Context, n cluster.NodeName, s wording) error {
		var none struct{}
		return a.link.Call(ctx, n, wordPath, s, &none)
	}}
	for _, n := range a.Config.Nodes {
		if n.Name != w.self {
			w.to = append(w.to, n.Name)
		}
	}
	return w
}

// tend is called with every look of the loop. It waits for nobody.
func (w *word) tend(ctx context.Context, in reconcile.Input) {
	r := in.Record
	if r.Primary != w.self || r.Phase != cluster.PhasePromoting {
		return
	}
	now := wording{Epoch: r.Epoch, Open: leads(in)}
	if now == w.last || w.last.Epoch == now.Epoch && w.last.Open {
		return
	}
	w.last = now
	for _, n := range w.to {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, w.call)
			defer cancel()
			if err := w.tell(ctx, n, now); err != nil {
				w.log.Debug("tell another node directly whether clients can pass the gate", "to", n, "epoch", now.Epoch, "open", now.Open, "err", err)
			}
		}()
	}
}

// answerWord takes in what a new primary tells.
func (a *Agent) answerWord(link *peer.Link) {
	link.Handle(wordPath, peer.JSON(func(_ context.Context, from cluster.NodeName, s wording) (struct{}, error) {
		if s.Open {
			a.post(func(l *loop) { l.Board.Told(decide.Word{Of: from, Epoch: s.Epoch}) })
		}
		return struct{}{}, nil
	}))
}
