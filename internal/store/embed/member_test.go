package embed_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/pki"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/store/embed"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestTheLeadershipGoesWhereItIsWanted(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	n.start(names...)
	for _, to := range []cluster.NodeName{"w1", "db1", "db2", "w1"} {
		m := n.members[to]
		n.eventually("the leadership moves to "+string(to), func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			return m.MoveLeaderHere(ctx) // asked by a follower
		})
		if !m.IsLeader() {
			t.Errorf("%s has asked for the leadership, and it is not there", to)
		}
		for _, other := range names {
			n.eventually(string(other)+" knows it", func(context.Context) error {
				if l, of := n.members[other].Leader(); l != to || of != 3 {
					return fmt.Errorf("%s says %q of %d", other, l, of)
				}
				return nil
			})
		}
	}
	changed := n.members["db1"].LeaderChanged()
	if err := n.members["w1"].MoveLeader(within(t, patience), "db2"); err != nil {
		t.Error(err)
	}
	select {
	case <-changed:
	case <-time.After(patience):
		t.Error("db1 does not notice the change of leader")
	}
	n.stop("db2") // a leader that is closed hands over
	n.put("db1", "after")
	if err := n.members["db1"].Health(within(t, patience)); err != nil {
		t.Error(err)
	}
	n.stop("w1")
	err := n.members["db1"].Health(within(t, time.Second))
	if !errors.Is(err, store.ErrNoQuorum) || !strings.Contains(err.Error(), "member db2 does not answer") || !strings.Contains(err.Error(), "member w1 does not answer") {
		t.Errorf("two of three are gone, and health is: %v", err)
	}
}

// As when the primary's agent is about to restart, and another one finds just then
// that the store should be led from the primary's host.
func TestAMemberStepsDownThoughItIsHandedTheLeadBack(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	n.start(names...)
	db1, others := n.members["db1"], []*embed.Member{n.members["db2"], n.members["w1"]}
	n.leads("db1", "db1")
	back := make(chan struct{})
	go func() {
		defer close(back)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for t.Context().Err() == nil {
			for _, m := range others {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				moved := m.IsLeader() && m.MoveLeader(ctx, "db1") == nil
				cancel()
				if moved {
					return
				}
			}
			<-tick.C
		}
	}()
	n.eventually("it is handed the lead back", func(context.Context) error {
		n.leads("db1", "db1")
		if err := db1.StepDown(within(t, patience)); err != nil {
			t.Errorf("it does not step down: %v", err)
		}
		select {
		case <-back:
			return nil
		default:
			return errors.New("not yet")
		}
	})
}

func TestAMemberComesBackAsItself(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	n.start(names...)
	n.put("db1", "before")
	id := n.members["db2"].ID()
	n.stop("db2")
	n.put("db1", "meanwhile")
	n.start("db2")
	n.has("db2", "before")
	n.has("db2", "meanwhile")
	if got := n.members["db2"].ID(); got != id {
		t.Errorf("it is %x and was %x", got, id)
	}
}

func TestAMemberThatLostItsDataIsReplaced(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	n.start(names...)
	n.put("db1", "before")
	id := n.members["db2"].ID()
	n.stop("db2")
	o := n.options("db2")
	old := o.DataDir + ".old"
	if err := os.Rename(o.DataDir, old); err != nil {
		t.Fatal(err)
	}

	// The node itself remembers.
	_, err := embed.Start(within(t, patience), o)
	if !errors.Is(err, embed.ErrWiped) || !strings.Contains(err.Error(), "`baton store member replace db2`") {
		t.Fatalf("with an empty directory: %v", err)
	}
	// It does not, but the others do.
	if err := os.Remove(o.DataDir + ".member"); err != nil {
		t.Fatal(err)
	}
	if _, err := embed.Start(within(t, patience), o); !errors.Is(err, embed.ErrWiped) {
		t.Fatalf("with everything wiped: %v", err)
	}

	replaced := make(chan error, 1)
	go func() { replaced <- n.members["db1"].Replace(within(t, patience), "db2") }()
	n.eventually("db2 may start", func(ctx context.Context) error {
		m, err := embed.Start(ctx, o)
		if err == nil {
			n.members["db2"] = m
		} else if !errors.Is(err, embed.ErrWiped) && !errors.Is(err, embed.ErrNotMember) {
			t.Errorf("while it is not yet invited: %v", err)
		}
		return err
	})
	if err := <-replaced; err != nil {
		t.Fatal(err)
	}
	n.has("db2", "before")
	if got := n.members["db2"].ID(); got == id {
		t.Errorf("it is still %x", got)
	}
	// Its vote counts: with db2 and db1 alone there is a majority.
	n.stop("w1")
	n.put("db1", "after")
	n.has("db2", "after")
	n.start("w1")

	// The old one, found again, is not let in.
	n.stop("db2")
	if err := errors.Join(os.Rename(o.DataDir, o.DataDir+".new"), os.Rename(old, o.DataDir)); err != nil {
		t.Fatal(err)
	}
	m, err := embed.Start(within(t, patience), o)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.Done():
		if !errors.Is(m.Err(), embed.ErrRemoved) || !strings.Contains(m.Err().Error(), o.DataDir) {
			t.Errorf("the replaced member ends with: %v", m.Err())
		}
	case <-time.After(patience):
		t.Error("the replaced member runs on")
	}
	if err := m.Close(within(t, patience)); err != nil {
		t.Error(err)
	}
}

func TestNobodyIsReplacedThatIsWell(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	n.start(names...)
	for node, want := range map[cluster.NodeName]error{"db2": embed.ErrRunning, "db1": embed.ErrRunning, "db7": embed.ErrNoSuchNode} {
		if err := n.members["db1"].Replace(within(t, patience), node); !errors.Is(err, want) {
			t.Errorf("replace %s, seen from db1: %v", node, err)
		}
	}
	if err := n.members["db1"].Admit(within(t, patience), "db2", n.members["db2"].ID()); err != nil {
		t.Errorf("give db2 the vote that it has: %v", err)
	}
	if err := n.members["db1"].Admit(within(t, patience), "db2", 4711); !errors.Is(err, embed.ErrNotInvited) {
		t.Errorf("give a vote to a member that is not there: %v", err)
	}
	n.put("db1", "all the same")
}

func TestAnEmptyStoreIsFoundedByAllOrNobody(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	_, err := embed.Start(within(t, time.Second), n.options("db1"))
	if !errors.Is(err, embed.ErrUncertain) || !strings.Contains(err.Error(), "db2") || !strings.Contains(err.Error(), "w1") {
		t.Fatalf("one of three alone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(n.options("db1").DataDir, "member")); !os.IsNotExist(err) {
		t.Errorf("it has left something behind: %v", err)
	}
	n.start(names...)
	n.put("w1", "founded")
}

func TestAStrangerIsNoPeer(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	n.start(names...)
	n.stop("w1")
	other, err := pki.NewAuthority("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair, err := other.Issue("w1", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Write(filepath.Join(dir, "w1.crt"), filepath.Join(dir, "w1.key")); err != nil {
		t.Fatal(err)
	}
	client, err := n.ca.Issue("somebody", nil, time.Now()) // our authority's, and no node
	if err != nil {
		t.Fatal(err)
	}
	ours, err := tls.X509KeyPair(client.Cert, client.Key)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string][]tls.Certificate{"of another authority": {theirs}, "of no node": {ours}, "none": nil} {
		if err := knock(n.peers["db1"].String(), cert); err == nil {
			t.Errorf("a peer with a certificate %s was let in", name)
		}
	}
	node, err := tls.LoadX509KeyPair(n.options("db2").Cert, n.options("db2").Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := knock(n.peers["db1"].String(), []tls.Certificate{node}); err != nil {
		t.Errorf("a node was not let in: %v", err)
	}
}

// knock asks a member's peer listener for something, as a peer would.
func knock(addr string, certs []tls.Certificate) error {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: &tls.Config{Certificates: certs, InsecureSkipVerify: true}} //nolint:gosec // the server's judgement is tested
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("GET /version HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func TestTheSocketIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	run, err := os.MkdirTemp("/tmp", "bst-") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	o := n.options("db1")
	o.RunDir = run
	o.Peers = map[cluster.NodeName]netip.AddrPort{"db1": n.peers["db1"]}
	m, err := embed.Start(within(t, patience), o)
	if err != nil {
		t.Fatal(err)
	}
	n.members["db1"] = m
	<-m.Ready()
	for _, c := range []struct {
		path string
		want os.FileMode
	}{{o.Socket(), 0o600}, {filepath.Dir(o.Socket()), 0o700}, {o.DataDir, 0o700}} {
		if st, err := os.Stat(c.path); err != nil || st.Mode().Perm() != c.want {
			t.Errorf("%s: mode %v, %v", c.path, st.Mode(), err)
		}
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix:" + o.Socket()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Put(within(t, patience), "k", "v"); err != nil {
		t.Error(err)
	}
	// A watch of somebody else's must not hold up the end for seconds.
	<-c.Watch(within(t, patience), "k", clientv3.WithCreatedNotify())
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	delete(n.members, "db1")
	over := make(chan error, 1)
	go func() { over <- m.Close(ctx) }()
	select {
	case err := <-over:
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it is not closed")
	}
}

func TestATornLogIsAnErrorAndNoExit(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	o := n.options("db1")
	o.Peers = map[cluster.NodeName]netip.AddrPort{"db1": n.peers["db1"]}
	m, err := embed.Start(within(t, patience), o)
	if err != nil {
		t.Fatal(err)
	}
	n.members["db1"] = m
	<-m.Ready()
	n.put("db1", "k")
	n.stop("db1")
	logs, err := filepath.Glob(filepath.Join(o.DataDir, "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no log: %v", err)
	}
	for _, l := range logs {
		if err := os.WriteFile(l, []byte(strings.Repeat("torn", 4096)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := embed.Start(within(t, patience), o); err == nil {
		n.members["db1"] = m
		t.Error("it has started on a torn log")
	} else if !strings.Contains(err.Error(), o.DataDir) {
		t.Errorf("where it is torn is not said: %v", err)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	// Not in parallel: other members would be found.
	before := goleak.IgnoreCurrent()
	n := newNodes(t)
	n.start(names...)
	n.put("db1", "k")
	watched := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer close(watched)
		for range store.New(n.members["db1"].Backend(), "c", store.Options{}).Watch(ctx, 1) {
			return
		}
	}()
	if _, err := store.New(n.members["db2"].Backend(), "c", store.Options{}).PutFact(within(t, patience), cluster.Fact{Schema: 1, Node: "db1"}); err != nil {
		t.Error(err)
	}
	<-watched
	cancel()
	n.closeAll()
	// etcd does not wait for the connections of its peers: they end after a
	// timeout of 5 s.
	n.eventually("everything has ended", func(context.Context) error { return goleak.Find(before) })
}

func TestOptionsThatCannotBeAreRefusedAllAtOnce(t *testing.T) {
	_, err := embed.Start(t.Context(), embed.Options{Self: "db1", DataDir: "/x/data", Marker: "/x/data/marker", Heartbeat: time.Second, Election: 2 * time.Second,
		Peers: map[cluster.NodeName]netip.AddrPort{"a,b": {}}})
	for _, want := range []string{"Cluster is empty", "CA is empty", "Cert is empty", "Key is empty", `does not have "db1"`, `"a,b" cannot be a member's name`, "a,b has no address", "at least 5 times", "outside of Options.DataDir"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
}
