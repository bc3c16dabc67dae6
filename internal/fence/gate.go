// Package fence answers: can a client write on this host's server now?
//
// The gate is one nftables table per cluster. Clients reach the database port
// only while it is open, and the kernel closes it by itself when the lease
// that it was opened with has run out. DestroyClientSockets tells the clients
// of a fenced server so. The package never decides whether the gate should be
// open, knows no database, and never runs a command.
//
// The one rule that must not be broken: whatever stops this process, and
// wherever it stops, the gate is never open after the instant that was given
// to OpenUntil. Two of the kernel's timers watch it, the set element's timeout
// and the absolute time in chain "until"; see OpenUntil.
//
// A Gate works in the network namespace of the thread that opened it, the
// functions about sockets in that of the thread that calls them. It must be the
// server's own: the gate sees what arrives there.
package fence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Gate is one cluster's gate on this host. Its methods may be called from
// several goroutines.
type Gate struct {
	cfg   GateConfig
	table string
	log   *slog.Logger

	mu    sync.Mutex
	nft   *nlConn // owns the table
	flags uint32  // of the table
	want  wanted

	// diag sees the sockets of the same network namespace. It has a lock of its
	// own: a renewal must not wait for the end of a thousand connections.
	diagMu sync.Mutex
	diag   *nlConn

	sentry   *sentry
	tampered chan Tampering
	released sync.Once
}

// wanted is what the kernel was last told to do.
type wanted struct {
	mode    Mode // Closed, ReadOnly or Leased
	until   cluster.Instant
	cut     []cluster.NodeName
	sources []netip.AddrPort
}

// Open takes the gate of this cluster in hand. If there is none, a closed one
// is installed; one that is there is adopted as it stands, timers running,
// unless it is not built like ours or cfg.Fresh is set: then it is replaced by
// a closed one in one atomic step.
//
// Errors: ErrUnavailable, ErrOwned.
func Open(ctx context.Context, cfg GateConfig, log *slog.Logger) (*Gate, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gate of cluster %q: %w", cfg.Cluster, err)
	}
	g := &Gate{
		cfg:      cfg,
		table:    TableName(cfg.Cluster),
		log:      log.With("table", TableName(cfg.Cluster)),
		flags:    nftTableOwner | nftTablePersist,
		want:     wanted{mode: cmp.Or(cfg.Initial, Closed), until: cfg.Until},
		tampered: make(chan Tampering, 16),
	}
	if cfg.plain {
		g.flags = 0
	}
	if err := g.dial(); err != nil {
		return nil, fmt.Errorf("gate %s: %w", g.table, unavailable("connect", err))
	}
	if err := g.takeInHand(ctx); err != nil {
		g.Leave()
		return nil, fmt.Errorf("gate %s: %w", g.table, err)
	}
	g.sentry.start(g.repair, g.recheck)
	return g, nil
}

// dial opens the gate's sockets, all in the present network namespace: later
// calls may come from any thread. The sentry listens before anything is
// installed, so that no change after it goes unseen.
func (g *Gate) dial() (err error) {
	if g.nft, err = dialNetlink(unix.NETLINK_NETFILTER); err != nil {
		return err
	}
	if g.diag, err = dialNetlink(unix.NETLINK_SOCK_DIAG); err != nil {
		g.nft.close()
		return err
	}
	if g.sentry, err = newSentry(g.table, g.nft.port, g.log); err != nil {
		g.diag.close()
		g.nft.close()
		return err
	}
	return nil
}

func (g *Gate) takeInHand(ctx context.Context) error {
	info, err := findTable(ctx, g.nft, g.table)
	switch {
	case err != nil:
		return g.explain(ctx, "look for the table", err)
	case info.present && info.owner != 0:
		return fmt.Errorf("%w (netlink port %d, usually its process id)", ErrOwned, info.owner)
	case info.present:
		g.want.mode, g.want.until = Closed, 0
	}
	if info.present && !g.cfg.Fresh {
		if err = g.adopt(ctx, info); err == nil {
			return nil
		}
		g.log.WarnContext(ctx, "the gate that is there cannot be adopted; replacing it by a closed one", "err", err)
	}
	return g.explain(ctx, "install", g.install(ctx, info.present))
}

// install builds the whole table as it is wanted, in one transaction.
func (g *Gate) install(ctx context.Context, replace bool) error {
	err := g.build(replace).commit(ctx, g.nft)
	if g.flags != 0 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL)) {
		// Before Linux 6.9 a table is either nobody's, or vanishes with its
		// owner: it must be nobody's.
		g.flags = 0
		err = g.build(replace).commit(ctx, g.nft)
	}
	return err
}

func (g *Gate) build(replace bool) *batch {
	b := newBatch(g.table)
	if replace {
		b.deleteTable()
	}
	b.addTable(g.flags, "made and watched by baton")
	g.addFixed(b)
	g.addMode(b)
	for _, f := range families() {
		b.addElements(setCut+f.suffix, f.addrElements(g.cfg.peerAddrs(g.want.cut)))
		b.addElements(setSources+f.suffix, f.sourceElements(g.want.sources))
	}
	return b
}

// addFixed adds what depends on the configuration alone.
func (g *Gate) addFixed(b *batch) {
	for _, c := range gateChains() {
		b.addChain(c)
	}
	for i, s := range gateSets() {
		b.addSet(s, uint32(i+1))
	}
	b.addElements(setPorts, g.cfg.portElements())
	for _, f := range families() {
		b.addElements(setOwn+f.suffix, f.addrElements(g.cfg.Own))
		b.addElements(setNodes+f.suffix, f.addrElements(g.cfg.peerAddrs(g.cfg.peerNames())))
	}
	for _, r := range gateRules() {
		b.addRule(r)
	}
}

// adopt makes a table that is there our own. Rules and addresses are written
// anew, in one transaction; the running lease, the cut nodes and the blocked
// sources stay untouched. It fails if chains or sets of our names are built
// differently, or the gate is for other ports.
func (g *Gate) adopt(ctx context.Context, info tableInfo) error {
	seen, err := g.observe(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(seen.ports, sortedPorts(g.cfg.Ports)) {
		return fmt.Errorf("it guards the ports %v, not %v", seen.ports, sortedPorts(g.cfg.Ports))
	}
	if info.flags&nftTablePersist == 0 {
		g.flags = 0 // fixed when a table is made
	}
	b := newBatch(g.table)
	b.addTable(g.flags, "")
	b.flushRules("")
	for _, name := range fixedSets() {
		b.flushSet(name)
	}
	g.addFixed(b)
	for _, r := range untilRules(seen.until, seen.end) {
		b.addRule(r)
	}
	if err := b.commit(ctx, g.nft); err != nil {
		return err
	}
	g.want = seen.wanted(g.cfg.Scope)
	g.log.InfoContext(ctx, "adopted the gate that is there", "mode", g.want.mode)
	return nil
}

func fixedSets() []string {
	names := []string{setPorts}
	for _, f := range families() {
		names = append(names, setOwn+f.suffix, setNodes+f.suffix)
	}
	return names
}

func sortedPorts(ports []uint16) []uint16 { return slices.Sorted(slices.Values(ports)) }

// Leave lets go of the gate and leaves it as it stands, its timers running:
// for an agent that is about to restart. The Gate cannot be used any more.
func (g *Gate) Leave() { g.release(func() {}) }

// release stops the sentry, does the last thing with the kernel, and closes.
func (g *Gate) release(last func()) {
	g.released.Do(func() {
		g.sentry.stop()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.diagMu.Lock()
		defer g.diagMu.Unlock()
		last()
		g.diag.close()
		g.nft.close()
		close(g.tampered)
	})
}

// Remove takes the gate away and lets go of it: the database port is open to
// everybody then. For a clean stop, with the server read-only.
func (g *Gate) Remove(ctx context.Context) (err error) {
	g.release(func() { err = removeTable(ctx, g.nft, g.table) })
	if err != nil {
		return fmt.Errorf("remove gate %s: %w", g.table, err)
	}
	return nil
}

// Present reports whether this host has a gate of that cluster, whoever made it.
func Present(ctx context.Context, clusterName string) (bool, error) {
	nft, err := dialNetlink(unix.NETLINK_NETFILTER)
	if err != nil {
		return false, fmt.Errorf("look for the gate %s: %w (%w)", TableName(clusterName), ErrUnavailable, err)
	}
	defer nft.close()
	info, err := findTable(ctx, nft, TableName(clusterName))
	if err != nil {
		return false, fmt.Errorf("look for the gate %s: %w (%w)", TableName(clusterName), ErrUnavailable, err)
	}
	return info.present, nil
}

func removeTable(ctx context.Context, nft *nlConn, table string) error {
	b := newBatch(table)
	b.deleteTable()
	if err := b.commit(ctx, nft); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
