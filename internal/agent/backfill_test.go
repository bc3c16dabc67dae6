package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/backfill"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/db/dbtest"
	"github.com/baton-db/baton/internal/db/mariadb"
	"github.com/baton-db/baton/internal/peer"
	"github.com/baton-db/baton/internal/pki"
	"github.com/baton-db/baton/internal/timeline"
)

// linkTo is db2's link to the agent of db1, which answers for its log as told.
func linkTo(t *testing.T, gives peer.Source) *peer.Link {
	t.Helper()
	return linked(t, func(db1 *peer.Link) { db1.HandleStream(tailPath, gives) })
}

// linked is db2's link to the agent of db1, whose handlers setup registers.
func linked(t *testing.T, setup func(db1 *peer.Link)) *peer.Link {
	t.Helper()
	dir, here := t.TempDir(), netip.MustParseAddr("127.0.0.1")
	ca, err := pki.NewAuthority("shop", time.Now())
	if err == nil {
		err = ca.Pair().Write(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	}
	if err != nil {
		t.Fatal(err)
	}
	listen := func(self, other cluster.NodeName, at netip.AddrPort) *peer.Link {
		f := pki.Files{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, string(self)+".crt"), Key: filepath.Join(dir, string(self)+".key")}
		pair, err := ca.Issue(string(self), []netip.Addr{here}, time.Now())
		if err == nil {
			err = pair.Write(f.Cert, f.Key)
		}
		if err != nil {
			t.Fatal(err)
		}
		id, err := pki.Load(f, string(self), []netip.Addr{here}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		l, err := peer.Listen(t.Context(), peer.Options{Self: self, Nodes: map[cluster.NodeName]netip.AddrPort{self: netip.AddrPortFrom(here, 0), other: at},
			Server: id.Server(), Log: slog.New(slog.DiscardHandler), Client: func(n cluster.NodeName) *tls.Config { return id.Client(string(n)) }})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	db1 := listen("db1", "db2", netip.AddrPortFrom(here, 1))
	setup(db1)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- db1.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	db2 := listen("db2", "db1", netip.MustParseAddrPort(db1.Addr().String()))
	t.Cleanup(func() { _ = db2.Close() })
	return db2
}

// candidateHands are those of db2, whose server is to be primary.
func candidateHands(server db.Server, link *peer.Link, budget, lease time.Duration) *hands {
	log := slog.New(slog.DiscardHandler)
	return &hands{self: "db2", log: log, database: server, link: func() *peer.Link { return link }, progressed: func(string) {},
		settings: func() cluster.Settings {
			return cluster.Settings{BackFill: budget, Lease: lease, Renew: 10 * time.Millisecond, Durability: cluster.Async}
		},
		timeline: timeline.NewRecorder(timeline.Options{Node: "db2", Clock: "boot", Now: clock.Now}),
		observe: func(ctx context.Context) (cluster.ServerFact, error) {
			o, err := server.Observe(ctx)
			return o.Server, err
		}}
}

func openServer(t *testing.T, id uint32) (*dbtest.Server, db.Server) {
	t.Helper()
	s := dbtest.Start(t, dbtest.Options{ID: id})
	agent, prober := db.Account{User: "baton", Password: "a"}, db.Account{User: "baton_probe", Password: "p"}
	s.Unlogged(t, mariadb.LeastPrivilegeSQL(db.Accounts{Agent: agent, Probe: prober, Replication: db.Account{User: "baton_repl", Password: "r"}})...)
	open, err := mariadb.Open(db.Config{Socket: s.Socket, Agent: agent, Writer: prober, NodeOf: func(string, int) (cluster.NodeName, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { open.Close() })
	return s, open
}

// freezing is a writer after so many bytes of which nothing goes on.
type freezing struct {
	io.Writer
	ctx  context.Context
	left int
}

func (f *freezing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		<-f.ctx.Done()
		return 0, f.ctx.Err()
	}
	return f.Writer.Write(b)
}

// TestABackFillGoesAsFarAsItCan: with a real server, from agents that freeze at one
// point or another. What came whole stays, what is missing is told exactly once it is
// known, and in the end all is there.
func TestABackFillGoesAsFarAsItCan(t *testing.T) {
	old, _ := openServer(t, 1)
	here, server := openServer(t, 2)
	old.Exec(t, "SET GLOBAL read_only = 0", "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY, v VARCHAR(1000)) ENGINE=InnoDB")
	for i := range 40 {
		old.Exec(t, fmt.Sprintf("INSERT INTO app.t VALUES (%d, REPEAT('x', 1000))", i))
	}
	all := gtid.MustParse(old.Value(t, "SELECT @@global.gtid_binlog_state"))
	old.Kill(t)
	files, err := filepath.Glob(filepath.Join(old.Dir, "data", "bin.[0-9]*"))
	if err != nil {
		t.Fatal(err)
	}
	log := backfill.Log{Flavor: backfill.MariaDB, Files: files}
	var far atomic.Int64 // bytes
	far.Store(-1)
	link := linkTo(t, peer.Ask(func(ctx context.Context, _ cluster.NodeName, q tailAsked, w io.Writer) error {
		if far.Load() < 0 {
			<-ctx.Done()
			return ctx.Err()
		}
		var whole bytes.Buffer
		sent := log.Send(ctx, q.Have, &whole)
		f := &freezing{w, ctx, int(far.Load())}
		for whole.Len() > 0 {
			if _, err := f.Write(whole.Next(100)); err != nil {
				return err
			}
		}
		return sent
	}))
	step := reconcile.Step{Kind: reconcile.BackFill, Epoch: 6, Node: "db1"}
	has := func() gtid.Set { return gtid.MustParse(here.Value(t, "SELECT @@global.gtid_binlog_state")) }

	if f, err := candidateHands(server, link, time.Minute, 0).fill(within(t), step); err == nil || f.Known || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("an agent that says nothing: %+v, %v", f, err)
	}
	far.Store(20_000)
	h := candidateHands(server, link, time.Minute, 2*time.Second)
	f, err := h.fill(within(t), step)
	if err == nil || !f.Known || f.Brought == 0 || f.Left == 0 || f.Brought+f.Left != all.Count() {
		t.Errorf("an agent that freezes in the middle: %+v, %v", f, err)
	}
	dbtest.Until(t, func() bool { return has().Count() == f.Brought }, func() string {
		return fmt.Sprintf("the server has %s, and %s was brought over", has(), f.GTIDs)
	})
	if tail := gtid.MustParse(f.LeftGTID); !all.Subtract(has()).Equal(tail) {
		t.Errorf("left is %s, the server lacks %s", tail, all.Subtract(has()))
	}
	short := step
	short.Why = "its server runs"
	if f, err := h.fill(within(t), short); err == nil || f.Known {
		t.Errorf("it cannot be tried: %+v, %v", f, err)
	}
	far.Store(1 << 30)
	if f, err := candidateHands(server, link, time.Nanosecond, time.Minute).fill(within(t), step); err == nil || f.Known || !strings.Contains(err.Error(), "durability.back_fill") {
		t.Errorf("there is no time: %+v, %v", f, err)
	}
	// A new agent on this host begins where the one before it ended.
	h = candidateHands(server, link, time.Minute, time.Minute)
	if f, err := h.fill(within(t), step); err != nil || !f.Known || f.Left != 0 || !has().Contains(all) {
		t.Errorf("the rest: %+v, %v; the server has %s of %s", f, err, has(), all)
	}
	if f, err := h.fill(within(t), step); err != nil || !f.Known || f.Brought != 0 || f.Left != 0 {
		t.Errorf("again: %+v, %v", f, err)
	}
	if on := here.Value(t, "SELECT @@global.read_only"); on != "1" {
		t.Error("the server does not refuse writes any more")
	}
	here.Exec(t, "STOP SLAVE", "SET GLOBAL read_only = 0", "INSERT INTO app.t VALUES (1000, 'of its own')")
	if _, err := h.fill(within(t), step); !errors.Is(err, backfill.ErrDiverged) {
		t.Errorf("a server that has something else: %v", err)
	}
}

// TestADeadServersLogIsGivenToTheOneChosen, and to nobody else, and never while
// somebody writes to it.
func TestADeadServersLogIsGivenToTheOneChosen(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	record := cluster.Record{Epoch: 6, Primary: "db2"}
	asked := 0
	k := &logKeeper{flavor: backfill.MariaDB, process: &serverProcess{socket: socket}, log: slog.New(slog.DiscardHandler), record: func() cluster.Record { return record },
		where: func() (logsAt, error) { asked++; return logsAt{}, errors.New("nobody knows where it is") }}
	give := func(from cluster.NodeName, epoch cluster.Epoch) error {
		return k.give(within(t), from, tailAsked{Epoch: epoch, Limit: time.Minute}, io.Discard)
	}
	for name, tt := range map[string]struct {
		from  cluster.NodeName
		epoch cluster.Epoch
		given bool
	}{
		"the one chosen": {"db2", 6, true},
		"one that is chosen, as is not known yet": {"db3", 7, true},
		"another":               {"db3", 6, false},
		"one of a reign before": {"db2", 5, false},
	} {
		before := asked
		if err := give(tt.from, tt.epoch); err == nil || asked > before != tt.given {
			t.Errorf("%s: looked for the log %t, %v", name, asked > before, err)
		}
	}

	before := asked
	if err := k.starting(func() error { return give("db2", 6) }); err == nil || asked != before {
		t.Errorf("while the server is started: %v", err)
	}
	k.where = func() (logsAt, error) {
		return logsAt{}, k.starting(func() error { t.Error("the server is started while its log is read"); return nil })
	}
	if err := give("db2", 6); err == nil || !strings.Contains(err.Error(), "not started yet") {
		t.Errorf("while it is read: %v", err)
	}

	l, err := net.Listen("unix", socket) // it is this process that lives
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, there := k.process.find(within(t)); !there {
		t.Fatal("the server is not found")
	}
	if err := give("db2", 6); err == nil || !strings.Contains(err.Error(), "its server runs") {
		t.Errorf("a server that lives: %v", err)
	}
}
