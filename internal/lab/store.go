package lab

import (
	"context"
	"errors"
)

// storeLeader is the node whose member leads the store.
func (l *Lab) storeLeader(ctx context.Context) (string, error) {
	for _, n := range l.Nodes() {
		st, err := l.ClusterStatus(ctx, n)
		if err == nil && st.Store.Leader != "" {
			return string(st.Store.Leader), nil
		}
	}
	return "", errors.New("no agent knows who leads the store")
}
