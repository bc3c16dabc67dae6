package agent

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/fence"
	"github.com/baton-db/baton/internal/ledger"
	"github.com/baton-db/baton/internal/timeline"
)

// tookOver is what db2 rests on when it has taken over from db1 at epoch 6.
func tookOver(now cluster.Instant) reconcile.Input {
	return reconcile.Input{
		Self: "db2", Now: now, Settings: cluster.Settings{Lease: 2 * time.Second},
		Record: cluster.Record{Epoch: 6, Phase: cluster.PhasePromoting, Primary: "db2", Previous: "db1"},
		Lease:  lease.Held{Epoch: 6, Until: now.Add(time.Second)},
		Host:   reconcile.Host{Gate: reconcile.GateOpenLeased, Addresses: 2, Bound: 2},
		Peers:  map[cluster.NodeName]cluster.Fact{"db1": {Epoch: 5, ClientsReset: 3}},
	}
}

func TestWhoHasToTellTheClients(t *testing.T) {
	type change = func(*reconcile.Input)
	planned := func(in *reconcile.Input) { in.Record.Planned = true }
	fact := func(f cluster.Fact) change {
		return func(in *reconcile.Input) { in.Peers["db1"] = f }
	}
	for name, tt := range map[string]struct {
		of      cluster.NodeName
		changes []change
		after   time.Duration
		want    owing
	}{
		"the host before has died":                            {"db1", nil, 0, owesNow},
		"nothing is known of it":                              {"db1", []change{func(in *reconcile.Input) { in.Peers = nil }}, 0, owesNow},
		"it has reset them":                                   {"db1", []change{fact(cluster.Fact{ClientsReset: 5})}, 0, owesNothing},
		"it has reset them in this epoch":                     {"db1", []change{fact(cluster.Fact{ClientsReset: 6})}, 0, owesNothing},
		"it has, in a reign long ago":                         {"db1", []change{fact(cluster.Fact{ClientsReset: 4})}, 0, owesNow},
		"it has, but the clients' network does not reach it":  {"db1", []change{fact(cluster.Fact{ClientsReset: 5, Network: cluster.LayerView{State: cluster.Down}})}, 0, owesNow},
		"it has, and the clients' network is well":            {"db1", []change{fact(cluster.Fact{ClientsReset: 5, Network: cluster.LayerView{State: cluster.Up}})}, 0, owesNothing},
		"it is fenced, and could not reset them":              {"db1", []change{fact(cluster.Fact{Fenced: 5})}, 0, owesNow},
		"it never had to reset any":                           {"db1", []change{func(in *reconcile.Input) { in.Record.Epoch = 1 }, fact(cluster.Fact{})}, 0, owesNow},
		"a ledger of nobody":                                  {"", nil, 0, owesNothing},
		"its own":                                             {"db2", nil, 0, owesNothing},
		"a planned switch, and it still has the addresses":    {"db1", []change{planned, fact(cluster.Fact{Epoch: 6, ClientsReset: 5})}, time.Second, owesLater},
		"a planned switch, and it has let them go":            {"db1", []change{planned, fact(cluster.Fact{Epoch: 6, ClientsReset: 6})}, time.Second, owesNothing},
		"a planned switch, and nothing is known of it":        {"db1", []change{planned, func(in *reconcile.Input) { in.Peers = nil }}, time.Second, owesLater},
		"a planned switch in which it died":                   {"db1", []change{planned, fact(cluster.Fact{Epoch: 5})}, 4 * time.Second, owesNow},
		"a planned switch after one that a third died before": {"db3", []change{planned}, 0, owesNow},
	} {
		t.Run(name, func(t *testing.T) {
			in := tookOver(100 * ms)
			in.Now = in.Now.Add(tt.after)
			for _, c := range tt.changes {
				c(&in)
			}
			if got := owed(in, tt.of, 100*ms); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

const ms = cluster.Instant(time.Millisecond)

func TestWhoSpeaksForTheAddresses(t *testing.T) {
	if in := tookOver(100 * ms); !speaks(in) {
		t.Fatal("who has taken over does not speak")
	}
	for name, change := range map[string]func(*reconcile.Input){
		"another is primary":              func(in *reconcile.Input) { in.Record.Primary = "db1" },
		"the lease is over":               func(in *reconcile.Input) { in.Lease.Until = in.Now },
		"the lease is an earlier reign's": func(in *reconcile.Input) { in.Record.Epoch++ },
		"it has fenced itself":            func(in *reconcile.Input) { in.Lease.Latched = 6 },
		"the gate is shut":                func(in *reconcile.Input) { in.Host.Gate = reconcile.GateClosed },
		"the gate is open for readers":    func(in *reconcile.Input) { in.Host.Gate = reconcile.GateOpenRead },
		"an address is not bound":         func(in *reconcile.Input) { in.Host.Bound = 1 },
		"the addresses are muted":         func(in *reconcile.Input) { in.Host.Muted = true },
		"there is no address":             func(in *reconcile.Input) { in.Host.Addresses, in.Host.Bound = 0, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			in := tookOver(100 * ms)
			if change(&in); speaks(in) {
				t.Error("it speaks")
			}
		})
	}
}

// knows has a node know one connection of db1.
func knows(k *clients, c ledger.Connection) {
	copied := ledger.NewCopy(10)
	copied.Apply(ledger.Frame{Whole: true, Added: []ledger.Aged{{Connection: c}}}, clock.Now())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.copy, k.of = copied, "db1"
}

func TestTheClientsOfAReignAreToldOnce(t *testing.T) {
	enabled := true
	k := &clients{self: "db2"}
	to := newTakeover(k, nil, func() bool { return enabled }, nil)
	begun := func(in reconcile.Input) bool {
		to.tend(in)
		select {
		case o := <-to.begin:
			return o.epoch == in.Record.Epoch && o.of == "db1" && len(o.Entries) == 1
		default:
			return false
		}
	}
	c := ledger.Connection(clientAt(1))
	if in := tookOver(100 * ms); begun(in) {
		t.Error("it begins and knows nobody")
	}
	knows(k, c)
	in := tookOver(200 * ms)
	if begun(in) {
		t.Error("it begins in a reign that has been seen to")
	}
	next := func() {
		in.Record.Epoch++
		in.Lease.Epoch++
	}
	next()
	in.Host.Muted = true
	if begun(in) {
		t.Error("it begins before it speaks for the addresses")
	}
	in.Host.Muted = false
	if !begun(in) {
		t.Error("it does not begin")
	}
	if begun(in) {
		t.Error("it begins again")
	}
	if next(); begun(in) {
		t.Error("it tells those again in its next reign")
	}
	knows(k, c)
	enabled = false
	if next(); begun(in) {
		t.Error("it begins although connections.tickle is false")
	}
}

// On one host: a client that is back, and one that is not.
func TestWhoIsBackIsLeftAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, for raw sockets")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	at := netip.MustParseAddrPort(listener.Addr().String())
	back := ledger.Connection{Local: at, Remote: netip.MustParseAddrPort(client.LocalAddr().String())}
	gone := ledger.Connection{Local: at, Remote: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), back.Remote.Port())}

	recorder := timeline.NewRecorder(timeline.Options{Node: "db2", Clock: "boot", Now: clock.Now})
	recorder.Saw(cluster.Record{Epoch: 6, Phase: cluster.PhasePromoting, Primary: "db2"}, 1)
	k := &clients{self: "db2", log: slog.New(slog.DiscardHandler), open: func() (lister, error) { return fence.OpenConnections([]netip.AddrPort{at}) }}
	may := true
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	to := newTakeover(k, func(epoch cluster.Epoch) bool {
		cancel() // once is enough
		return may && epoch == 6
	}, nil, recorder)
	told := takenOver{epoch: 6, inherited: inherited{of: "db1", State: ledger.State{At: clock.Now(), Entries: []ledger.Entry{{Connection: back}, {Connection: gone}}}}}

	to.tell(ctx, told)
	did, err := to.once(t.Context(), told)
	if want := "1 told, 1 are with this host by now"; err != nil || did != want {
		t.Errorf("%q and %v, want %q", did, err, want)
	}
	if _, err := io.WriteString(server, "x"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Errorf("who was back: %v", err)
	}
	may = false
	if did, err := to.once(t.Context(), told); err == nil {
		t.Errorf("%q without the right to", did)
	}
	part, _ := recorder.Part(6)
	if !slices.ContainsFunc(part.Events, func(e timeline.Event) bool {
		return e.Step == timeline.StepTickle && e.Outcome == timeline.OK && strings.HasPrefix(e.Detail, "2 connections that db1 had ") && strings.HasSuffix(e.Detail, " before: 1 told, 1 are with this host by now")
	}) {
		t.Errorf("the timeline does not tell of it: %+v", part.Events)
	}
}
