package fence

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// RemoveLeftover takes away what an agent that is gone has left of a cluster's
// gate, and says whether there was something. It touches nothing else.
func RemoveLeftover(ctx context.Context, clusterName string) (found bool, err error) {
	nft, err := dialNetlink(unix.NETLINK_NETFILTER)
	if err != nil {
		return false, fmt.Errorf("remove gate of cluster %s: %w", clusterName, unavailable("connect", err))
	}
	defer nft.close()
	info, err := findTable(ctx, nft, TableName(clusterName))
	if err != nil {
		return false, fmt.Errorf("remove gate of cluster %s: %w", clusterName, unavailable("look for the table", err))
	}
	if !info.present {
		return false, nil
	}
	if info.owner != 0 {
		return true, fmt.Errorf("remove gate of cluster %s: %w (netlink port %d, usually its process id)", clusterName, ErrOwned, info.owner)
	}
	return true, removeTable(ctx, nft, TableName(clusterName))
}

func removeTable(ctx context.Context, nft *nlConn, table string) error {
	b := newBatch(table)
	b.deleteTable()
	if err := b.commit(ctx, nft); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
