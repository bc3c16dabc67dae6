package lab

import (
	"context"
	"errors"
)

// storeLeader is the node whose member leads the store. The agents look at the
// store now and then only, so it may take a moment until one knows.
func (l *Lab) storeLeader(ctx context.Context) (leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	err = until(ctx, "an agent knows who leads the store", func(ctx context.Context) error {
		for _, n := range l.Nodes() {
			st, err := l.ClusterStatus(ctx, n)
			if err == nil && st.Store.Leader != "" {
				leader = string(st.Store.Leader)
				return nil
			}
		}
		return errors.New("no agent knows who leads the store")
	})
	return leader, err
}
