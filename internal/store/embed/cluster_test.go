package embed_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/pki"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/store/embed"
	"github.com/baton-db/baton/internal/store/storetest"
)

const patience = 30 * time.Second

var names = []cluster.NodeName{"db1", "db2", "w1"}

// nodes are three nodes of one cluster, on loopback addresses of their own.
type nodes struct {
	t       testing.TB
	dir     string
	ca      *pki.Authority
	peers   map[cluster.NodeName]netip.AddrPort
	members map[cluster.NodeName]*embed.Member
	log     *slog.Logger
}

var clusters atomic.Uint32

// loopback returns an address that no other test of this host uses now: it is
// made of this process's number.
func loopback() netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, byte(64 + pid>>16&63), byte(pid >> 8), byte(pid)})
}

func newNodes(t testing.TB) *nodes {
	t.Helper()
	n := &nodes{t: t, dir: t.TempDir(), peers: map[cluster.NodeName]netip.AddrPort{}, members: map[cluster.NodeName]*embed.Member{}}
	to := &logTo{t: t}
	t.Cleanup(to.end)
	n.log = slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelInfo}))
	base := uint16(7000 + 10*clusters.Add(1))
	var err error
	if n.ca, err = pki.NewAuthority("shop", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "ca.crt"), n.ca.Pair().Cert, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		n.peers[name] = netip.AddrPortFrom(loopback(), base+uint16(i))
		n.certify(name, n.ca)
	}
	t.Cleanup(n.closeAll)
	return n
}

func (n *nodes) certify(name cluster.NodeName, ca *pki.Authority) {
	n.t.Helper()
	pair, err := ca.Issue(string(name), []netip.Addr{loopback()}, time.Now())
	if err != nil {
		n.t.Fatal(err)
	}
	if err := pair.Write(filepath.Join(n.dir, string(name)+".crt"), filepath.Join(n.dir, string(name)+".key")); err != nil {
		n.t.Fatal(err)
	}
}

func (n *nodes) options(name cluster.NodeName) embed.Options {
	at := func(file string) string { return filepath.Join(n.dir, file) }
	return embed.Options{
		Cluster: "shop", Self: name, Peers: n.peers,
		DataDir: at(string(name)), CA: at("ca.crt"), Cert: at(string(name) + ".crt"), Key: at(string(name) + ".key"),
		Heartbeat: 50 * time.Millisecond, Election: 500 * time.Millisecond, Log: n.log,
	}
}

// start starts those nodes at the same time, as their hosts would, and waits
// until each takes part.
func (n *nodes) start(which ...cluster.NodeName) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, name := range which {
		all.Go(func() {
			m, err := embed.Start(ctx, n.options(name))
			if err != nil {
				n.t.Error(err)
				return
			}
			mu.Lock()
			n.members[name] = m
			mu.Unlock()
			select {
			case <-m.Ready():
			case <-ctx.Done():
				n.t.Errorf("%s does not get ready", name)
			}
		})
	}
	all.Wait()
	if n.t.Failed() {
		n.t.FailNow()
	}
}

func (n *nodes) stop(name cluster.NodeName) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if m := n.members[name]; m != nil {
		delete(n.members, name)
		if err := m.Close(ctx); err != nil {
			n.t.Error(err)
		}
		<-m.Done()
		if m.Err() != nil {
			n.t.Errorf("%s was closed and says %v", name, m.Err())
		}
	}
}

func (n *nodes) closeAll() {
	for _, name := range names {
		n.stop(name)
	}
}

// logTo keeps etcd's words for a failing test.
type logTo struct {
	mu   sync.Mutex
	t    testing.TB
	over bool
}

func (l *logTo) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.t.Log(string(b[:len(b)-1]))
	}
	return len(b), nil
}

// end has what is said after the test go unheard.
func (l *logTo) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

func TestTheEmbeddedStore(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	n.start(names...)
	rig := &storetest.Rig{}
	for _, name := range names {
		rig.Backends = append(rig.Backends, n.members[name].Backend())
	}
	rig.Lose = func(*testing.T) { n.stop("db2"); n.stop("w1") }
	rig.Restore = func(*testing.T) { n.start("db2", "w1") }
	rig.Compact = func(ctx context.Context, rev cluster.Revision) error {
		_, err := n.members["db1"].Client().Compact(ctx, int64(rev), clientv3.WithCompactPhysical())
		return err
	}
	storetest.Run(t, rig)
}

// put writes through a member and returns when it has been written.
func (n *nodes) put(name cluster.NodeName, key string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := n.members[name].Backend().Commit(ctx, nil, []store.Op{{Key: key, Value: []byte("x")}}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *nodes) eventually(what string, look func(ctx context.Context) error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.t.Fatalf("%s: %v", what, err)
		}
	}
}

func (n *nodes) has(name cluster.NodeName, key string) {
	n.t.Helper()
	n.eventually(fmt.Sprintf("%s has %s", name, key), func(ctx context.Context) error {
		resp, err := n.members[name].Client().Get(ctx, key, clientv3.WithSerializable()) // from its own copy
		if err == nil && len(resp.Kvs) != 1 {
			err = fmt.Errorf("not there")
		}
		return err
	})
}
