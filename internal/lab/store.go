package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/store/embed"
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

// dialStore connects to the store: the embedded one through a node's member.
func (l *Lab) dialStore(node string) (*store.Etcd, error) {
	if l.Store == StoreExternal {
		return l.dialExternal()
	}
	socket := embed.Options{Cluster: clusterName, Self: cluster.NodeName(node), RunDir: filepath.Dir(l.ControlSocket(node))}.Socket()
	return store.Dial(store.DialOptions{Endpoints: []string{"unix://" + socket}})
}

// cutPowerOfStoreLeader makes a host lead the store and cuts its power. The
// agents would soon have the leadership follow the primary again.
func (l *Lab) cutPowerOfStoreLeader(ctx context.Context, node string) error {
	leader, err := "", error(nil)
	if l.Store == StoreEmbedded {
		leader, err = l.storeLeader(ctx)
	}
	if err != nil {
		return err
	}
	e, err := l.dialStore(leader)
	if err != nil {
		return err
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := e.MoveLeader(ctx, node); err != nil {
		return fmt.Errorf("have %s lead the store: %w", node, err)
	}
	return l.cutPower(ctx, node)
}
