package agent

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/decide"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/dnsserver"
	"github.com/baton-db/baton/internal/endpoint/dnsupdate/dnstest"
)

const second = cluster.Instant(time.Second)

// named is a cluster as db3 knows it at 100 s: db1 is primary, db2 and db3 follow it.
type named struct {
	*loop
	in reconcile.Input
	w  decide.World
}

func newNamed() *named {
	l := reviewed()
	l.Self, l.Settings.Beat = "db3", time.Second
	l.names = &names{server: dnsserver.New(dnsserver.Options{Zone: dnsserver.Zone{Name: "shop.test", Nodes: []dnsserver.Node{{Name: "db1", Address: netip.MustParseAddr("10.77.0.11")}}}, Log: slog.New(slog.DiscardHandler)}), maxLag: 10 * time.Second, orPrimary: true}
	l.hearing.heard(100*second, time.Second)
	l.lag.Saw(80*second, gtid.MustParse("0-1-100"))
	l.lag.Saw(95*second, gtid.MustParse("0-1-200"))
	replica := func(n cluster.NodeName, at string) cluster.Fact {
		return cluster.Fact{Node: n, Mode: cluster.Active, Gate: string(reconcile.GateOpenRead), Server: cluster.ServerFact{State: cluster.ServerUp, ReadOnly: true,
			Executed: gtid.MustParse(at), Replica: cluster.ReplicaFact{Source: "db1", Receiver: true, Applier: true, Receiving: true}}}
	}
	n := &named{loop: l}
	n.said("db1", 40, cluster.Fact{Node: "db1", Mode: cluster.Active, Serving: 5, Server: cluster.ServerFact{State: cluster.ServerUp}})
	n.said("db2", 41, replica("db2", "0-1-200"))
	n.in = reconcile.Input{Self: "db3", Now: 100 * second, Settings: l.Settings, Record: l.Board.Record, Rev: 51, Own: replica("db3", "0-1-200")}
	return n
}

func (n *named) hearAndName() {
	n.hearStore(n.in, n.w)
	n.name(n.in)
}

func (n *named) said(who cluster.NodeName, rev cluster.Revision, f cluster.Fact) {
	n.Board.Facts[who] = decide.Seen[cluster.Fact]{Value: f, Rev: rev, At: 99 * second}
}

// change edits what a node said.
func (n *named) change(who cluster.NodeName, edit func(*decide.Seen[cluster.Fact])) {
	seen := n.Board.Facts[who]
	edit(&seen)
	n.Board.Facts[who] = seen
}

func TestWhereTheNamesLead(t *testing.T) {
	type change = func(*named)
	phase := func(p cluster.Phase, primary, previous cluster.NodeName) change {
		return func(n *named) {
			n.in.Record.Phase, n.in.Record.Primary, n.in.Record.Previous, n.in.Record.Epoch = p, primary, previous, 6
		}
	}
	onlyDB3 := []cluster.NodeName{"db3"}
	both := []cluster.NodeName{"db2", "db3"}
	for name, tt := range map[string]struct {
		change   change
		primary  cluster.NodeName
		replicas []cluster.NodeName
	}{
		"all is well": {func(*named) {}, "db1", both},
		"the primary has just died": {func(n *named) {
			n.in.Own.Server.Replica.Receiving = false
			n.change("db2", func(s *decide.Seen[cluster.Fact]) { s.Value.Server.Replica.Receiving = false })
		}, "db1", both},
		"the primary drains":                  {phase(cluster.PhaseHandoff, "db1", ""), "db1", both},
		"the primary is being fenced":         {phase(cluster.PhaseFencing, "", "db1"), "db1", both},
		"an election":                         {phase(cluster.PhaseElecting, "", "db1"), "db1", both},
		"a candidate that does not serve yet": {phase(cluster.PhasePromoting, "db2", "db1"), "db1", onlyDB3},
		"one that serves": {func(n *named) {
			phase(cluster.PhasePromoting, "db2", "db1")(n)
			n.change("db2", func(s *decide.Seen[cluster.Fact]) { s.Value.Serving = 6 })
		}, "db2", onlyDB3},
		"this one is, and does not serve yet":  {phase(cluster.PhasePromoting, "db3", "db1"), "db1", []cluster.NodeName{"db2"}},
		"this one is, and serves":              {func(n *named) { phase(cluster.PhasePromoting, "db3", "db1")(n); n.in.Own.Serving = 6 }, "db3", []cluster.NodeName{"db2"}},
		"a replica that says nothing any more": {func(n *named) { n.change("db2", func(s *decide.Seen[cluster.Fact]) { s.At = 95 * second }) }, "db1", onlyDB3},
		"one that was never heard":             {func(n *named) { delete(n.Board.Facts, "db2") }, "db1", onlyDB3},
		"one that is broken": {func(n *named) {
			n.change("db2", func(s *decide.Seen[cluster.Fact]) { s.Value.Server.Replica.Error = "1062" })
		}, "db1", onlyDB3},
		"one whose gate is shut": {func(n *named) {
			n.change("db2", func(s *decide.Seen[cluster.Fact]) { s.Value.Gate = string(reconcile.GateClosed) })
		}, "db1", onlyDB3},
		"one that is too far behind": {func(n *named) {
			n.change("db2", func(s *decide.Seen[cluster.Fact]) { s.Value.Server.Executed = gtid.MustParse("0-1-100") })
		}, "db1", onlyDB3},
		"one of which nobody knows how far": {func(n *named) { n.in.Own.Server.Executed = gtid.MustParse("0-1-99") }, "db1", []cluster.NodeName{"db2"}},
		"one in maintenance": {func(n *named) {
			n.in.Record = n.in.Record.WithMaintenance(cluster.Maintenance{Node: "db2"})
		}, "db1", onlyDB3},
		"none is well":                    {func(n *named) { delete(n.Board.Facts, "db2"); n.in.Own.Held = "diverged" }, "db1", []cluster.NodeName{"db1"}},
		"none is, and nobody instead":     {func(n *named) { delete(n.Board.Facts, "db2"); n.in.Own.Held, n.names.orPrimary = "diverged", false }, "db1", nil},
		"the store was lost for long":     {func(n *named) { n.in.Now = 150 * second }, "db1", both},
		"a cluster that just comes to be": {phase(cluster.PhasePromoting, "db1", ""), "", both},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNamed()
			tt.change(n)
			n.hearAndName()
			got := n.names.server.Known()
			want := dnsserver.Snapshot{Serial: 51, HeardAt: 100 * second, Epoch: n.in.Record.Epoch, Primary: tt.primary, Replicas: tt.replicas}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatCannotBeBelievedIsNoNewsForTheZone(t *testing.T) {
	n := newNamed()
	n.in.Rev = 0
	if n.hearAndName(); n.names.server.Known() != nil {
		t.Error("something is known without a record")
	}
	n.in.Rev = 51
	n.hearAndName()
	n.in.Now = 130 * second
	n.hearing.heard(130*second, time.Second)
	n.w.Unreadable = "record: a newer version wrote it"
	n.hearAndName()
	if got := n.names.server.Known(); got.HeardAt != 100*second {
		t.Errorf("with a record that cannot be read, it counts as heard at %s", time.Duration(got.HeardAt))
	}
	n.w.Unreadable = ""
	n.change("db2", func(s *decide.Seen[cluster.Fact]) { s.Rev, s.At, s.Value.Held = 70, 130*second, "diverged" })
	n.in.Own.Server.Executed = gtid.MustParse("0-1-201")
	n.lag.Saw(130*second, gtid.MustParse("0-1-201"))
	n.hearAndName()
	want := dnsserver.Snapshot{Serial: 70, HeardAt: 130 * second, Epoch: 5, Primary: "db1", Replicas: []cluster.NodeName{"db3"}}
	if diff := cmp.Diff(&want, n.names.server.Known()); diff != "" {
		t.Error(diff)
	}
}

// TestADNSAddressThatIsTakenIsSaidAndTriedAgain: the agent goes on without it.
func TestADNSAddressThatIsTakenIsSaidAndTriedAgain(t *testing.T) {
	taken := dnsTaken(t)
	c := &config.Config{Node: "db1", Cluster: "shop", Nodes: []config.Node{{Name: "db1", Role: cluster.Data, Address: netip.MustParseAddr("127.0.0.1")}},
		DNS: config.DNS{Zone: "shop.test", Listen: []string{taken.addr}, Primary: "primary", Replicas: "replicas", TTL: time.Second, Stale: time.Minute}}
	a := &Agent{Options: Options{Config: c, Log: slog.New(slog.DiscardHandler)}, events: make(chan event, 64), live: &api.Live{}, names: openNames(c, slog.New(slog.DiscardHandler))}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.answerDNS(ctx, 10*time.Millisecond) }()
	t.Cleanup(func() { stop(); <-done })
	l := reviewed()
	says := func() string {
		(<-a.events)(l)
		return l.Conditions[cluster.DNSNotListening].Detail
	}
	if got := says(); got == "" {
		t.Fatal("nothing is said of an address that is taken")
	}
	taken.release()
	for says() != "" {
	}
	m := new(dns.Msg)
	m.SetQuestion("primary.shop.test.", dns.TypeA)
	client := dns.Client{Timeout: time.Minute}
	if answer, _, err := client.Exchange(m, taken.addr); err != nil || answer.Rcode != dns.RcodeServerFailure {
		t.Errorf("before anything is known it answers %v (%v)", answer, err)
	}
}

// takenAddress is an address on which somebody else answers.
type takenAddress struct {
	addr    string
	release func()
}

func dnsTaken(t *testing.T) takenAddress {
	t.Helper()
	p, err := net.ListenPacket("udp", dnstest.Free(t).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return takenAddress{p.LocalAddr().String(), func() { _ = p.Close() }}
}
