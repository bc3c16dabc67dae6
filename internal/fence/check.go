package fence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/clock"
)

// checkTable is a name that no cluster's gate has.
const checkTable = "baton-check"

// Check reports whether this host could have that gate. The kernel goes through
// the whole of it, an open lease included, and then forgets it: a transaction
// without its last message is thrown away, as `nft --check` does it. A gate that
// is there is not looked at.
//
// Errors: ErrUnavailable.
func Check(ctx context.Context, cfg GateConfig) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("gate of cluster %q: %w", cfg.Cluster, err)
	}
	g := &Gate{cfg: cfg, table: checkTable, flags: nftTableOwner | nftTablePersist}
	g.want = wanted{mode: Leased, until: clock.Now().Add(time.Minute), cut: cfg.peerNames()}
	for _, protocol := range []int{unix.NETLINK_SOCK_DIAG, unix.NETLINK_NETFILTER} {
		c, err := dialNetlink(protocol)
		if err != nil {
			return fmt.Errorf("rehearse the gate: %w", unavailable("connect", err))
		}
		defer c.close()
		g.nft = c // the last one
	}
	err := g.build(false).rehearse(ctx, g.nft)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		g.flags = 0 // before Linux 6.9, see install
		err = g.build(false).rehearse(ctx, g.nft)
	}
	return unavailable("rehearse the gate", err)
}

// rehearse has the kernel check the transaction and take nothing of it.
func (b *batch) rehearse(ctx context.Context, c *nlConn) error {
	if b.err != nil {
		return fmt.Errorf("encode nftables batch: %w", b.err)
	}
	return c.transact(ctx, b.msgs, len(b.msgs)-1)
}
