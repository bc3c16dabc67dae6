package fence

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	// ErrUnavailable says that this host cannot have a gate: no nftables in the
	// kernel, one that lacks a feature we need, or no permission (CAP_NET_ADMIN).
	// What is left is read_only and destroying sockets, a weaker guarantee.
	ErrUnavailable = errors.New("nftables is not available")
	// ErrOwned says that another living process holds this cluster's gate.
	ErrOwned = errors.New("the gate belongs to another process")
	// ErrLate says that the lease ended before the gate could be opened for it.
	// The gate is closed.
	ErrLate = errors.New("too late for this lease")
)

// explain turns the kernel's answers into the errors that callers act on.
func (g *Gate) explain(ctx context.Context, doing string, err error) error {
	if errors.Is(err, unix.EPERM) {
		info, lookErr := findTable(ctx, g.nft, g.table)
		if lookErr == nil && info.owner != 0 && info.owner != g.nft.port {
			return fmt.Errorf("%s: %w (netlink port %d, usually its process id)", doing, ErrOwned, info.owner)
		}
	}
	return unavailable(doing, err)
}

// unavailable recognizes the errors which say that this host cannot have a gate.
func unavailable(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s: %w: %w: this needs CAP_NET_ADMIN in the network namespace", doing, ErrUnavailable, err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT),
		errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%s: %w: %w: the kernel lacks nf_tables, family inet, or one of its parts (reject, meta time, set timeouts)",
			doing, ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
