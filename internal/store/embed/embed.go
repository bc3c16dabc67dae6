// Package embed answers: how does this process take part in the store? It runs
// one member of the cluster's etcd inside the process.
//
// It knows nothing of what is stored. The one rule: a member whose data is gone
// never starts again as if it were the one it had been. It would have forgotten
// what it voted for and acknowledged, and with it a majority could lose what the
// store has promised to keep (Raft, section 5.2 of the paper: a server's term,
// vote and log survive a restart). It comes back only as a new member.
package embed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	etcd "go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
)

// Options say which member this is.
type Options struct {
	Cluster string                              // name of the cluster
	Self    cluster.NodeName                    // one of Peers
	Peers   map[cluster.NodeName]netip.AddrPort // where each node's member listens to the others, this one included

	DataDir string // of the member; made with mode 0700
	// Marker is a file outside of DataDir that remembers that this node has been
	// a member, so that a data directory that was wiped is known for what it is.
	// Empty: a file beside DataDir.
	Marker string

	CA, Cert, Key string // PEM files: the cluster's authority, this node's certificate (its common name is Self) and key

	// RunDir is where a directory of mode 0700 is made with a unix socket for
	// etcd's own tools (Socket); empty: the member listens to its peers only.
	RunDir string

	Heartbeat time.Duration // of the leader; 0 means 50 ms
	Election  time.Duration // without a heartbeat for so long, the others elect; 0 means 500 ms

	Log *slog.Logger // nil: slog.Default
}

// What Start and a running member may end with.
var (
	// ErrWiped says that this node was a member and its data is gone.
	ErrWiped = errors.New("the data of this node's member of the store is gone")
	// ErrNotMember says that the others do not count this node as a member.
	ErrNotMember = errors.New("this node is not a member of the store")
	// ErrUncertain says that too few of the others answered to know whether it
	// is safe to start with an empty data directory.
	ErrUncertain = errors.New("not known whether this node may start with an empty store")
	// ErrRemoved says that the others have removed this member for good.
	ErrRemoved = errors.New("this node's member was removed from the store")
)

// Member is a running member of the store.
type Member struct {
	opts    Options
	log     *slog.Logger
	etcd    *etcd.Etcd
	client  *clientv3.Client
	backend *store.Etcd
	peers   *peerClient
	disk    *disk

	closing   atomic.Bool
	closeOnce sync.Once
	done      chan struct{} // the member has stopped
	fatal     chan error    // the first of etcd's fatal errors
	err       error         // why it stopped; set before done is closed
}

// Start starts this node's member and returns at once if it has been one before:
// Ready tells when it takes part. With an empty data directory it first makes
// sure, by asking the others, that this node is new: all of them are new as
// well, or they have invited it (Replace). It waits for them until ctx ends.
//
// Errors: ErrWiped, ErrNotMember, ErrUncertain, each with what to do.
func Start(ctx context.Context, o Options) (*Member, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("start the store's member %s: %w", o.Self, err)
	}
	m := &Member{opts: o, log: o.Log, done: make(chan struct{}), fatal: make(chan error, 1)}
	m.peers = newPeerClient(o)
	if err := m.start(ctx); err != nil {
		m.peers.close()
		return nil, fmt.Errorf("start the store's member %s: %w", o.Self, err)
	}
	return m, nil
}

func (m *Member) start(ctx context.Context) error {
	if err := os.MkdirAll(m.opts.DataDir, 0o700); err != nil {
		return fmt.Errorf("make its data directory: %w", err)
	}
	founding, err := m.howToStart(ctx)
	if err != nil {
		return err
	}
	cfg, err := m.config(founding)
	if err != nil {
		return err
	}
	if m.etcd, err = m.launch(cfg); err != nil {
		return err
	}
	go m.watchOver()
	m.disk = newDisk(m.opts.DataDir, m.opts.Election, m.log)
	go m.disk.watch(m.done)
	err = writeMarker(m.opts, m.etcd.Server.MemberID())
	if m.opts.RunDir != "" { // etcd leaves it to the umask; the directory has kept others out so far
		err = errors.Join(err, os.Chmod(m.opts.Socket(), 0o600))
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return errors.Join(err, m.stop(ctx))
	}
	m.client = v3client.New(m.etcd.Server)
	m.backend = store.Local(m.client, m.probe, m.log)
	return nil
}

// launch starts etcd in a goroutine of its own: what is fatal to etcd (a torn
// log, a directory that cannot be read) ends that goroutine, not the process.
func (m *Member) launch(cfg *etcd.Config) (*etcd.Etcd, error) {
	var e *etcd.Etcd
	err := errors.New("etcd gave up")
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("etcd gave up: %v", p)
			}
		}()
		e, err = etcd.StartEtcd(cfg)
	}()
	<-finished
	select {
	case fatal := <-m.fatal:
		err = fmt.Errorf("etcd gave up: %w", fatal)
	default:
	}
	if err != nil {
		return nil, fmt.Errorf("%w (data directory %s)", err, m.opts.DataDir)
	}
	return e, nil
}

// watchOver waits for the member's end and says why it came.
func (m *Member) watchOver() {
	var err error
	select {
	case err = <-m.fatal:
	case <-m.etcd.Server.StopNotify():
		if !m.closing.Load() {
			err = m.whyStopped()
		}
	}
	m.err = err
	if err != nil {
		m.log.Error("the store's member has stopped", "node", m.opts.Self, "err", err)
	}
	close(m.done)
}

func (m *Member) whyStopped() error {
	if m.etcd.Server.IsIDRemoved(uint64(m.etcd.Server.MemberID())) || m.removedByOthers() {
		return fmt.Errorf("%w: the others have replaced it; to take part again, stop baton here, remove %s, and on another node run `baton store member replace %s`", ErrRemoved, m.opts.DataDir, m.opts.Self)
	}
	select {
	case err := <-m.fatal:
		return err
	default:
		return errors.New("etcd stopped by itself")
	}
}

// SlowDisk says how the disk of this member's data is slow, or nothing. The
// others take a member that waits for its disk for one that is away.
func (m *Member) SlowDisk() string { return m.disk.Slow() }

// Done is closed when the member does not take part any more: by Close, or
// because something has happened that Err tells. A member does not come back by
// itself; the process should stop in good order and be started again.
func (m *Member) Done() <-chan struct{} { return m.done }

// Err says why the member stopped; nil if by Close. Valid once Done is closed.
func (m *Member) Err() error { return m.err }

// Ready is closed once the member has found a majority and takes part.
func (m *Member) Ready() <-chan struct{} { return m.etcd.Server.ReadyNotify() }

// Client returns the client inside the process: no network lies between it and
// this member. Close closes it.
func (m *Member) Client() *clientv3.Client { return m.client }

// Backend returns what package store works on.
func (m *Member) Backend() *store.Etcd { return m.backend }

// ID returns etcd's number of this member: a new one after each Replace.
func (m *Member) ID() uint64 { return uint64(m.etcd.Server.MemberID()) }

// Close hands over the leadership, if this member has it, and stops. It returns
// by ctx's deadline even if etcd does not; the member is dead then, and what is
// left of it goes with the process.
func (m *Member) Close(ctx context.Context) error {
	var err error
	m.closeOnce.Do(func() {
		m.closing.Store(true)
		m.handOver(ctx)
		// Our own clients first: etcd waits for open watches for seconds.
		if cerr := m.client.Close(); cerr != nil && !errors.Is(cerr, context.Canceled) {
			err = fmt.Errorf("close the client of the store's member %s: %w", m.opts.Self, cerr)
		}
		err = errors.Join(err, m.stop(ctx))
		m.peers.close()
	})
	return err
}

// handOver gives the leadership to the member that has been connected longest.
func (m *Member) handOver(ctx context.Context) {
	if !m.IsLeader() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*m.opts.Election)
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- m.etcd.Server.TryTransferLeadershipOnShutdown() }() // ends at the latest when the server stops
	select {
	case err := <-over:
		if err != nil {
			m.log.Info("the store's leadership was not handed over", "node", m.opts.Self, "err", err)
		}
	case <-ctx.Done():
		m.log.Info("the store's leadership was not handed over in time", "node", m.opts.Self)
	}
}

func (m *Member) stop(ctx context.Context) error {
	m.closing.Store(true)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		// HardStop, because Stop would try to hand over once more, for seconds.
		m.etcd.Server.HardStop()
		m.etcd.Close()
	}()
	select {
	case <-stopped:
		<-m.done
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the store's member %s: %w", m.opts.Self, ctx.Err())
	}
}

// nodes returns the names of all nodes, sorted.
func (o Options) nodes() []cluster.NodeName { return slices.Sorted(maps.Keys(o.Peers)) }

// peerURL is where a node's member listens to the others.
func (o Options) peerURL(n cluster.NodeName) string { return "https://" + o.Peers[n].String() }

// Socket is the unix socket of a member with that RunDir, for etcd's own tools.
func (o Options) Socket() string {
	return filepath.Join(o.RunDir, o.Cluster+".store", "etcd.sock")
}

func (o Options) tls() transport.TLSInfo {
	info := transport.TLSInfo{
		CertFile: o.Cert, KeyFile: o.Key, TrustedCAFile: o.CA,
		ClientCertAuth: true,
		// The certificate's signature and name count, not the address that a
		// host with several happens to call from.
		SkipClientSANVerify: true,
	}
	for _, n := range o.nodes() {
		info.AllowedCNs = append(info.AllowedCNs, string(n))
	}
	return info
}

// memberID is how etcd writes its members' numbers.
func memberID(id uint64) string { return types.ID(id).String() }
