package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/ledger"
	"github.com/baton-db/baton/internal/tickle"
	"github.com/baton-db/baton/internal/timeline"
)

// takeover tells the clients of the host that had the addresses before this one that
// their connections are over (package tickle), if that host cannot have told them
// itself. The loop only says when; it waits for nothing here.
type takeover struct {
	clients  *clients
	enabled  func() bool // connections.tickle
	may      func(cluster.Epoch) bool
	timeline *timeline.Recorder

	epoch cluster.Epoch   // of the reign that has been seen to
	since cluster.Instant // when this host began to speak for the addresses
	begin chan takenOver
}

// takenOver are the clients of the host before, to be told by the primary of a reign.
type takenOver struct {
	epoch cluster.Epoch
	inherited
}

func newTakeover(k *clients, may func(cluster.Epoch) bool, enabled func() bool, recorder *timeline.Recorder) *takeover {
	return &takeover{clients: k, may: may, enabled: enabled, timeline: recorder, begin: make(chan takenOver, 1)}
}

// owing says what is to be done for the clients of the host before.
type owing int

const (
	owesNothing owing = iota // and will not
	owesLater                // not yet
	owesNow
)

// tend is called with every look of the loop.
func (t *takeover) tend(in reconcile.Input) {
	epoch := in.Record.Epoch
	if !speaks(in) {
		t.since = 0
		return
	}
	if t.since == 0 {
		t.since = in.Now
	}
	if t.epoch == epoch || len(t.begin) > 0 {
		return
	}
	owes := owed(in, t.clients.copyOf(), t.since)
	if owes == owesLater {
		return
	}
	t.epoch = epoch
	if i := t.clients.takeOut(); owes == owesNow && t.enabled() && len(i.Entries) > 0 {
		t.begin <- takenOver{epoch: epoch, inherited: i} // only this sends: there is room
	}
}

// speaks says that this host leads the clients: it has the lease, its gate lets them
// in, and the addresses are bound and announced here.
func speaks(in reconcile.Input) bool {
	return open(in) && in.Host.Addresses > 0 && in.Host.Bound >= in.Host.Addresses && !in.Host.Muted
}

// owed: a host resets its clients when it fences itself, and one that hands over does
// it when it lets the addresses go, unless it dies before or its kernel cannot.
func owed(in reconcile.Input, of cluster.NodeName, since cluster.Instant) owing {
	r := in.Record
	f, known := in.Peers[of]
	if known && f.Network.State != "" && f.Network.State != cluster.Up {
		known = false // whatever it did, its clients have not heard of it
	}
	switch {
	case of == "" || of == in.Self:
		return owesNothing
	case r.Planned && of == r.Previous:
		if known && f.ClientsReset >= r.Epoch {
			return owesNothing
		}
		if in.Now.Sub(since) < 2*in.Settings.Lease {
			return owesLater
		}
	case known && f.ClientsReset > 0 && f.ClientsReset+1 >= r.Epoch:
		return owesNothing
	}
	return owesNow
}

// Afterwards it is done again, for those who had not learned yet where the addresses
// are, or lost a packet: a client answers no more than two of them in a second.
func tickleAgain() []time.Duration { return []time.Duration{time.Second, 4 * time.Second} }

// run does what tend asks for until ctx ends.
func (t *takeover) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-t.begin:
			t.tell(ctx, o)
		}
	}
}

// tell tells all clients of the host before.
func (t *takeover) tell(ctx context.Context, o takenOver) {
	span := t.timeline.Begin(timeline.StepTickle, "")
	log := t.clients.log.With("of", o.of, "epoch", o.epoch, "connections", len(o.Entries))
	did, err := t.once(ctx, o)
	detail := fmt.Sprintf("%d connections that %s had %s before: %s", len(o.Entries), o.of, clock.Now().Sub(o.At).Round(10*time.Millisecond), did)
	if err != nil {
		span.End(timeline.Failed, fmt.Sprintf("%s: %v", detail, err))
		log.Warn("tell the clients of the host before that their connections are over", "did", did, "err", err)
	} else {
		span.End(timeline.OK, detail)
		log.Info("the clients of the host before were told that their connections are over", "did", did)
	}
	for _, pause := range tickleAgain() {
		if !waited(ctx, pause) {
			return
		}
		if did, err = t.once(ctx, o); err != nil {
			log.Warn("tell them again", "did", did, "err", err)
			return
		}
	}
}

// once tells each once. Connections that this host has itself are left alone: those
// are clients that have come back, some of them from the same port.
func (t *takeover) once(ctx context.Context, o takenOver) (did string, err error) {
	here, err := t.here(ctx)
	if err != nil {
		return "nobody was told", err
	}
	var gone []tickle.Connection
	for _, e := range o.Entries {
		if !here[e.Connection] {
			gone = append(gone, tickle.Connection(e.Connection))
		}
	}
	sent, err := tickle.Send(ctx, gone, tickle.Options{May: func() bool { return t.may(o.epoch) }})
	did = fmt.Sprintf("%d told", sent.Connections)
	if n := len(o.Entries) - len(gone); n > 0 {
		did += fmt.Sprintf(", %d are with this host by now", n)
	}
	if sent.Failed > 0 {
		did += fmt.Sprintf(", %d could not be (%v)", sent.Failed, sent.Why)
	}
	return did, err
}

// here are the connections that this host has at the addresses.
func (t *takeover) here(ctx context.Context) (map[ledger.Connection]bool, error) {
	list, err := t.clients.open()
	if err != nil {
		return nil, err
	}
	defer list.Close()
	here := map[ledger.Connection]bool{}
	err = list.Each(ctx, fence.Any, func(s fence.Socket) { here[ledger.Connection(s)] = true })
	return here, err
}
