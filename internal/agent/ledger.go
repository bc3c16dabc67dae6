package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/ledger"
	"github.com/baton-db/baton/internal/peer"
)

// ledgerPath is where a node asks the primary for its ledger, and is then told of
// every change.
const ledgerPath = "connections"

const (
	// ledgerShare is how much of a processor looking at the connections may take.
	// Where a look takes longer, the next one comes later.
	ledgerShare = 0.008
	// ledgerRetry is the pause after a first failure, and ledgerRetryMost after many.
	ledgerRetry     = time.Second
	ledgerRetryMost = 30 * time.Second
	// ledgerSilence is for how long a primary may say nothing: it looks at least that
	// often.
	ledgerSilence = 30 * time.Second
)

// lister lists connections of this host's sockets.
type lister interface {
	Each(ctx context.Context, stage fence.Stage, f func(fence.Socket)) error
	Close()
}

// clients keeps the ledger of the clients' connections (package ledger): the primary
// looks at its sockets, the other data nodes keep a copy of what it saw. When one of
// those takes over, it tells the clients (takeover.go). No decision depends on it.
type clients struct {
	self     cluster.NodeName
	services []netip.AddrPort // where clients connect to
	limit    int
	every    func() time.Duration
	open     func() (lister, error)
	stream   func(ctx context.Context, from cluster.NodeName) (io.ReadCloser, error) // nil: there is no link
	raise    func(cluster.Reason, string)
	log      *slog.Logger

	mu      sync.Mutex
	leads   cluster.NodeName // who has clients now, as far as this node knows
	turned  chan struct{}    // closed when that changes
	feed    *ledger.Feed     // of this node, while it leads
	copy    *ledger.Copy     // of another one, the last that led
	of      cluster.NodeName // whose copy it is
	trouble string           // why the copy is not kept up
}

// openClients prepares for keeping the ledger; nil if there is none to be kept.
func openClients(a *Agent, c *config.Config) *clients {
	services := serviceAddresses(c)
	if len(services) == 0 || c.Conns.Limit == 0 {
		return nil
	}
	k := &clients{self: c.Node, services: services, limit: c.Conns.Limit, log: a.Log, turned: make(chan struct{}),
		every: func() time.Duration { return a.inForce().config.Conns.Every },
		open:  func() (lister, error) { return fence.OpenConnections(services) },
		raise: func(why cluster.Reason, detail string) { a.post(func(l *loop) { l.Conditions.Put(why, detail) }) }}
	if c.HasLink() {
		k.stream = func(ctx context.Context, from cluster.NodeName) (io.ReadCloser, error) {
			return a.link.Stream(ctx, from, ledgerPath, nil)
		}
	}
	return k
}

// serviceAddresses are the addresses and ports that move with the role. A client of
// a node's own address cannot be told anything: that address is gone with its host.
func serviceAddresses(c *config.Config) []netip.AddrPort {
	var all []netip.AddrPort
	for _, a := range c.Addresses {
		for _, port := range scopeOf(c).Ports {
			all = append(all, netip.AddrPortFrom(a.Address, port))
		}
	}
	return all
}

// saw takes in a record. Between two reigns nobody leads, and what is known of the
// last one stays: a candidate that fails must not have replaced it with nothing.
func (k *clients) saw(r cluster.Record) {
	var leads cluster.NodeName
	if r.Phase == cluster.PhaseSteady || r.Phase == cluster.PhaseHandoff {
		leads = r.Primary
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if leads != k.leads {
		k.leads = leads
		close(k.turned)
		k.turned = make(chan struct{})
	}
}

// run keeps the ledger until ctx ends.
func (k *clients) run(ctx context.Context) {
	for ctx.Err() == nil {
		k.mu.Lock()
		leads, turned := k.leads, k.turned
		k.mu.Unlock()
		reign, end := context.WithCancel(ctx)
		var work sync.WaitGroup
		switch {
		case leads == k.self:
			work.Go(func() { k.look(reign) })
		case leads != "" && k.stream != nil:
			work.Go(func() { k.follow(reign, leads) })
		}
		select {
		case <-turned:
		case <-ctx.Done():
		}
		end()
		work.Wait()
	}
}

// look looks at this host's connections again and again until ctx ends.
func (k *clients) look(ctx context.Context) {
	feed := ledger.NewFeed(k.limit)
	k.setFeed(feed)
	full := ""
	defer func() {
		k.setFeed(nil)
		feed.Close()
		if full != "" {
			k.raise(cluster.LedgerFull, "")
		}
	}()
	var list lister
	defer func() {
		if list != nil {
			list.Close()
		}
	}()
	again := backoff{first: ledgerRetry, longest: ledgerRetryMost}
	for wait := time.Duration(0); waited(ctx, wait); {
		var err error
		if list == nil {
			list, err = k.open()
		}
		var took time.Duration
		if err == nil {
			took, err = k.lookOnce(ctx, feed, list)
		}
		if err != nil && ctx.Err() == nil {
			wait = again.pause()
			k.log.Warn("look at the clients' connections", "err", err, "again_in", wait)
			continue
		}
		again.reset()
		wait = k.nextLook(took)
		if now := k.fullness(feed.Beyond()); now != full {
			full = now
			k.raise(cluster.LedgerFull, full)
		}
	}
}

// nextLook is how long to wait after a look that took so much of a processor.
func (k *clients) nextLook(took time.Duration) time.Duration {
	fair := time.Duration(float64(took) / ledgerShare)
	return max(k.every(), min(fair, ledgerSilence/3))
}

// lookOnce looks once and says how much of a processor it took.
func (k *clients) lookOnce(ctx context.Context, feed *ledger.Feed, list lister) (time.Duration, error) {
	runtime.LockOSThread() // whose time is measured
	defer runtime.UnlockOSThread()
	before := threadTime()
	err := feed.Look(clock.Now(), func(saw func(ledger.Connection)) error {
		return list.Each(ctx, fence.Established, func(s fence.Socket) { saw(ledger.Connection(s)) })
	})
	if err != nil {
		return 0, err
	}
	return threadTime() - before, nil
}

// fullness says that the ledger has no room for some connections, or nothing.
func (k *clients) fullness(beyond int) string {
	if beyond == 0 {
		return ""
	}
	return fmt.Sprintf("there are more connections than connections.limit (%d): the newest are not in the ledger", k.limit)
}

// threadTime is the processor time that the calling thread has taken.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0 // then a look costs nothing, and the configured time is kept
	}
	return time.Duration(ts.Nano())
}

func (k *clients) setFeed(f *ledger.Feed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.feed = f
}

// answer has this node tell the others, while it leads.
func (k *clients) answer(link *peer.Link) {
	link.HandleStream(ledgerPath, func(ctx context.Context, _ cluster.NodeName, _ []byte, w io.Writer) error {
		return k.tell(ctx, w)
	})
}

// tell writes the whole ledger, then every change of it, until this node does not
// lead any more. It says nothing if it does not lead.
func (k *clients) tell(ctx context.Context, w io.Writer) error {
	k.mu.Lock()
	feed := k.feed
	k.mu.Unlock()
	if feed == nil {
		return nil
	}
	var look uint64
	var wire []byte
	for {
		frames, newest, news, open := feed.After(look, clock.Now())
		for _, f := range frames {
			wire = f.Append(wire[:0])
			if _, err := w.Write(wire); err != nil {
				return fmt.Errorf("tell of the connections: %w", err)
			}
		}
		if f, can := w.(interface{ Flush() error }); can {
			if err := f.Flush(); err != nil {
				return fmt.Errorf("tell of the connections: %w", err)
			}
		}
		if look = newest; !open {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}
