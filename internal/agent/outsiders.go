package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/endpoint/vip"
	"github.com/baton-db/baton/internal/timeline"
)

// How often the other nodes are asked what they see: soon again at first and while
// something is amiss, and slowly ever after.
const (
	outsidersSoon = time.Second
	outsidersSlow = 15 * time.Second
	outsidersCall = 3 * time.Second
)

// outsiders has the other nodes look at the virtual addresses of this one for as long
// as it leads clients. The loop only says when; no switch waits for it, and nothing is
// decided by it: the neighbours are told again where the addresses are, and people are.
type outsiders struct {
	self  cluster.NodeName
	nodes []cluster.NodeName // the others
	ips   []netip.Addr
	own   netip.Addr // this node's, which does not move
	ask   func(ctx context.Context, of cluster.NodeName, q vip.Question) ([]vip.Sight, error)
	homes func() (map[netip.Addr]vip.Home, error)
	// hear begins to hear the echoes that come to those addresses with those tokens.
	hear func(ips []netip.Addr, tokens []string) (ear, error)
	// facts are the nodes' newest, which name their link-layer addresses.
	facts    func() map[cluster.NodeName]cluster.Fact
	announce func([]netip.Addr) error
	// say is called with what lasts; nothing does when it is empty.
	say      func(map[cluster.Reason]string)
	timeline *timeline.Recorder
	log      *slog.Logger

	last   outlook // the loop's own
	orders chan outlook
}

// outlook is a reign in which this node leads clients.
type outlook struct {
	epoch cluster.Epoch // 0: it does not
	// previous is gone, or about to give the addresses up: it is asked last.
	previous cluster.NodeName
}

// tend is called with every look of the loop.
func (o *outsiders) tend(in reconcile.Input) {
	var now outlook
	if speaks(in) && in.Record.Phase != cluster.PhaseHandoff { // there, the next one is looked at
		now = outlook{in.Record.Epoch, in.Record.Previous}
	}
	if now == o.last {
		return
	}
	o.last = now
	select {
	case <-o.orders: // nobody has taken the one before yet
	default:
	}
	o.orders <- now // only this sends: there is room
}

// run does what tend asks for until ctx ends.
func (o *outsiders) run(ctx context.Context) {
	stop := func() {}
	for {
		select {
		case <-ctx.Done():
			stop()
			return
		case now := <-o.orders:
			stop()
			stop = func() {}
			if now.epoch == 0 {
				continue
			}
			reign, cancel := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				o.watch(reign, now)
			}()
			stop = func() {
				cancel()
				<-done
			}
		}
	}
}

// watch has the others look again and again until ctx ends. The first look, and what
// came of announcing again, are on the timeline, but for the node that was primary
// before unless there is no other.
func (o *outsiders) watch(ctx context.Context, reign outlook) {
	defer o.say(nil)
	var before amiss
	again := backoff{first: outsidersSoon, longest: outsidersSlow}
	for n := 0; ; n++ {
		nodes := o.nodes
		if n == 0 {
			nodes = slices.DeleteFunc(slices.Clone(nodes), func(n cluster.NodeName) bool { return n == reign.previous })
		}
		told := n == 0 || n <= 3 && len(before.what) > 0
		own, looks := o.look(ctx, nodes, func(of cluster.NodeName) bool {
			return told && of != reign.previous || n == 1 && len(o.nodes) == 1
		})
		if ctx.Err() != nil {
			return
		}
		now := own.judge(looks)
		o.mend(ctx, before, now)
		o.say(lasting(before, now))
		if (len(now.what) > 0) != (len(before.what) > 0) {
			again.reset()
		}
		before = now
		if !waited(ctx, again.pause()) {
			return
		}
	}
}

// mend tells the neighbours again where the addresses are that some of them do not find
// here.
func (o *outsiders) mend(ctx context.Context, before, now amiss) {
	if len(now.astray) == 0 {
		if len(before.astray) > 0 {
			o.log.InfoContext(ctx, "the virtual addresses are seen where they are again")
		}
		return
	}
	level := slog.LevelWarn
	if now.String() == before.String() {
		level = slog.LevelDebug // it has been said
	}
	o.log.Log(ctx, level, "the virtual addresses are not seen as they should be: announced again", "amiss", now.String())
	if err := o.announce(now.astray); err != nil {
		o.log.WarnContext(ctx, "announce the addresses again", "err", err)
	}
}

// look asks nodes, all at the same time, what they see.
func (o *outsiders) look(ctx context.Context, nodes []cluster.NodeName, told func(cluster.NodeName) bool) (mine, []looked) {
	facts := o.facts()
	own := mine{self: o.self, own: o.own, whose: func(mac string) cluster.NodeName { return ownerOf(mac, facts) }}
	var err error
	if own.homes, err = o.homes(); err != nil {
		o.log.WarnContext(ctx, "look where the addresses are here", "err", err)
		return own, nil
	}
	tokens := make([]string, len(nodes))
	for i := range tokens {
		tokens[i] = newIncarnation() // a random word
	}
	heard, err := o.hear(append(slices.Clone(o.ips), o.own), tokens)
	if err != nil {
		o.log.DebugContext(ctx, "nobody is asked for echoes", "err", err)
		tokens, heard = make([]string, len(nodes)), nil
	} else {
		defer heard.Close()
	}
	var all sync.WaitGroup
	looks := make([]looked, len(nodes))
	for i, n := range nodes {
		all.Go(func() {
			var span *timeline.Running
			if told(n) {
				span = o.timeline.Begin(timeline.SeenFrom(n), "")
			}
			call, cancel := context.WithTimeout(ctx, outsidersCall)
			defer cancel()
			looks[i].by = n
			looks[i].sights, looks[i].err = o.ask(call, n, vip.Question{IPs: o.ips, Token: tokens[i], Control: o.own})
			looks[i].came = o.came(ctx, looks[i].sights, heard, tokens[i])
			span.End(own.told(looks[i]))
		})
	}
	all.Wait()
	return own, looks
}

// ear hears the echoes that come to this host.
type ear interface {
	Came(ctx context.Context, token string, ip netip.Addr) bool
	Close()
}

// earWait is for how long an echo is waited for whose answer has come back already: it
// came to this host before, and may not have been read yet.
const earWait = 300 * time.Millisecond

// came says to which addresses an echo of one node has come: none if it sent none.
func (o *outsiders) came(ctx context.Context, sights []vip.Sight, heard ear, token string) map[netip.Addr]bool {
	var came map[netip.Addr]bool
	wait, cancel := context.WithTimeout(ctx, earWait)
	defer cancel()
	for _, s := range sights {
		if s.Routed == nil || heard == nil {
			continue
		}
		if came == nil {
			came = map[netip.Addr]bool{o.own: heard.Came(wait, token, o.own)}
		}
		came[s.IP] = heard.Came(wait, token, s.IP)
	}
	return came
}
