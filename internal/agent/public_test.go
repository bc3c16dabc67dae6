package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/api/public"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/lease"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/pki"
)

func TestWhyClientsAreNotLedHere(t *testing.T) {
	// db1 is primary and serves; db2 follows it.
	db1 := func(in *reconcile.Input) {
		in.Self, in.Lease, in.Host.Gate = "db1", lease.Held{Epoch: 5, Until: in.Now.Add(time.Second)}, reconcile.GateOpenLeased
		in.Own.Server = cluster.ServerFact{State: cluster.ServerUp}
	}
	type change = func(*reconcile.Input)
	for name, tt := range map[string]struct {
		change           []change
		primary, replica string
	}{
		"the primary":             {[]change{db1}, "", "this node is primary"},
		"a replica":               {nil, "db1 is primary", ""},
		"one whose gate is shut":  {[]change{db1, func(in *reconcile.Input) { in.Host.Gate = reconcile.GateClosed }}, "the gate is not open for clients that write", "this node is primary"},
		"one that is read-only":   {[]change{db1, func(in *reconcile.Input) { in.Own.Server.ReadOnly = true }}, "this server does not take writes now", "this node is primary"},
		"one whose lease is over": {[]change{db1, func(in *reconcile.Input) { in.Lease.Until = in.Now }}, "this server does not take writes now", "this node is primary"},
		"a replica during a switch": {[]change{func(in *reconcile.Input) {
			in.Record.Primary, in.Record.Phase, in.Own.Server.Replica = "", cluster.PhaseElecting, cluster.ReplicaFact{}
		}}, "the cluster has no primary now", ""},
		"a witness":                {[]change{func(in *reconcile.Input) { in.Self = "w1" }}, "db1 is primary", "a witness has no server"},
		"a cluster without record": {[]change{func(in *reconcile.Input) { in.Rev, in.Record = 0, cluster.Record{} }}, "the cluster has no primary now", "there is no record of the cluster yet"},
		"a replica in maintenance": {[]change{func(in *reconcile.Input) { in.Record = in.Record.WithMaintenance(cluster.Maintenance{Node: "db2"}) }},
			"db1 is primary", "somebody works on this node"},
		"a server that is down":     {[]change{func(in *reconcile.Input) { in.Own.Server.State = cluster.ServerStopped }}, "db1 is primary", "the server is stopped"},
		"a server not looked at":    {[]change{func(in *reconcile.Input) { in.Own.Server.State = "" }}, "db1 is primary", "the server is not known"},
		"a node that is held":       {[]change{func(in *reconcile.Input) { in.Own.Held = "diverged" }}, "db1 is primary", "the node is held: diverged"},
		"a replica that is written": {[]change{func(in *reconcile.Input) { in.Own.Server.ReadOnly = false }}, "db1 is primary", "the server takes writes and is not primary"},
		"a replica's shut gate":     {[]change{func(in *reconcile.Input) { in.Host.Gate = reconcile.GateClosed }}, "db1 is primary", "the gate is shut"},
		"one that only observes":    {[]change{func(in *reconcile.Input) { in.Host.Gate, in.Own.Mode = "", cluster.Observe }}, "db1 is primary", ""},
		"a broken replica":          {[]change{func(in *reconcile.Input) { in.Own.Server.Replica.Error = "1062" }}, "db1 is primary", "replication has stopped: 1062"},
		"one that follows another":  {[]change{func(in *reconcile.Input) { in.Own.Server.Replica.Source = "db3" }}, "db1 is primary", "the server does not follow db1"},
		"one that is cut off":       {[]change{func(in *reconcile.Input) { in.Own.Server.Replica.Receiving = false }}, "db1 is primary", "nothing comes in from db1, or it is not applied"},
		"one that does not apply":   {[]change{func(in *reconcile.Input) { in.Own.Server.Replica.Applier = false }}, "db1 is primary", "nothing comes in from db1, or it is not applied"},
	} {
		t.Run(name, func(t *testing.T) {
			in := reconcile.Input{Self: "db2", Now: 1000, Rev: 51, Record: reviewed().Board.Record,
				Settings: cluster.Settings{Nodes: []cluster.Node{{Name: "db1", Role: cluster.Data}, {Name: "db2", Role: cluster.Data}, {Name: "w1", Role: cluster.Witness}}}}
			in.Own.Mode, in.Host.Gate = cluster.Active, reconcile.GateOpenRead
			in.Own.Server = cluster.ServerFact{State: cluster.ServerUp, ReadOnly: true, Replica: cluster.ReplicaFact{Source: "db1", Receiver: true, Applier: true, Receiving: true}}
			for _, c := range tt.change {
				c(&in)
			}
			if got := notPrimary(in); got != tt.primary {
				t.Errorf("as primary: %q, want %q", got, tt.primary)
			}
			if got := notReplica(in); got != tt.replica {
				t.Errorf("as replica: %q, want %q", got, tt.replica)
			}
		})
	}
}

// TestWhatIsShownOfTheLease: as the keeper has it, without waiting for its lock.
func TestWhatIsShownOfTheLease(t *testing.T) {
	l := reviewed()
	k := l.keeper
	k.extend, k.onTick, k.log = func(context.Context, cluster.Instant) error { return nil }, func(cluster.Instant) {}, slog.New(slog.DiscardHandler)
	k.changed, k.kick = make(chan struct{}, 1), make(chan struct{}, 1)
	k.renew = func(context.Context, cluster.Revision, cluster.Lease) (cluster.Revision, error) { return 60, nil }
	w := &window{}
	if w.Serving() != (public.Serving{}) {
		t.Error("something is held before there is a keeper")
	}
	w.keeper.Store(k)
	k.want(5, 51, true)
	before := clock.Now()
	k.once(t.Context(), k.next())
	s := w.Serving()
	if s.Epoch != 5 || s.Open || s.Until < before.Add(time.Second) {
		t.Errorf("after a renewal: %+v", s)
	}
	if err := k.openGate(t.Context(), 5); err != nil || !w.Serving().Open {
		t.Errorf("after opening: %+v, %v", w.Serving(), err)
	}
	k.mu.Lock() // while the gate is being extended, for instance
	s = w.Serving()
	k.mu.Unlock()
	if !s.Open {
		t.Errorf("meanwhile: %+v", s)
	}
	k.gateShut()
	if w.Serving().Open {
		t.Error("the gate is shown as open after it was shut")
	}
	k.latch(5)
	if s := w.Serving(); s.Until != 0 || s.Open {
		t.Errorf("after the fence: %+v", s)
	}
}

// listening is an agent that does nothing but answer on an address.
func listening(t *testing.T, http config.HTTP) (conditions <-chan string) {
	t.Helper()
	c := &config.Config{HTTP: http}
	a := &Agent{Options: Options{Config: c, Log: slog.New(slog.DiscardHandler)}, events: make(chan event, 64), live: &api.Live{}}
	a.window.live, a.window.late = a.live, &a.lates
	a.window.look.Store(&public.Look{At: clock.Now(), Stale: time.Hour, Node: "db2", NotPrimary: "db1 is primary"})
	ctx, stop := context.WithCancel(t.Context())
	done, told := make(chan struct{}), make(chan string, 1) // the newest
	go func() { defer close(done); a.answerPublicly(ctx, 10*time.Millisecond) }()
	go func() {
		l := reviewed()
		for {
			select {
			case e := <-a.events:
				e(l)
				select {
				case <-told:
				default:
				}
				told <- l.Conditions[cluster.NotListening].Detail
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return told
}

func next(t *testing.T, told <-chan string) string {
	t.Helper()
	select {
	case s := <-told:
		return s
	case <-time.After(time.Minute):
		t.Fatal("nothing is told")
		return ""
	}
}

func TestAnAddressThatCannotBeListenedOnIsToldAndTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := taken.Addr().String()
	told := listening(t, config.HTTP{Listen: []string{at, "192.0.2.1:7482"}})
	for said := ""; !strings.Contains(said, at+": bind: address already in use") || !strings.Contains(said, "192.0.2.1:7482: bind: cannot assign"); {
		said = next(t, told)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	for said := at; strings.Contains(said, at); {
		said = next(t, told)
	}
	r, err := http.Get("http://" + at + "/primary")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, _ := io.ReadAll(r.Body); r.StatusCode != 503 || string(body) != "db1 is primary\n" {
		t.Errorf("answered %d %q", r.StatusCode, body)
	}
}

// certificate writes one for a node of that name on 127.0.0.1.
func certificate(t *testing.T, ca *pki.Authority, name string) config.TLS {
	t.Helper()
	pair, err := ca.Issue(name, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := config.TLS{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	if err := errors.Join(pair.Write(files.Cert, files.Key), os.WriteFile(files.CA, ca.Pair().Cert, 0o600)); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestOverTLSOnlyThoseWithACertificateAreAnswered(t *testing.T) {
	ca, err := pki.NewAuthority("shop", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, guest := certificate(t, ca, "db2"), certificate(t, ca, "prometheus")
	secure, err := publicTLS(own)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Pair().Cert)
	pair, err := tls.LoadX509KeyPair(guest.Cert, guest.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", secure)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if c.(*tls.Conn).Handshake() == nil {
				_, _ = c.Write([]byte("in"))
			}
			_ = c.Close()
		}
	}()
	shows := func(certs ...tls.Certificate) (by string, in bool) {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, Certificates: certs})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		said, _ := io.ReadAll(c)
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName, string(said) == "in"
	}
	if by, in := shows(pair); by != "db2" || !in {
		t.Errorf("with a certificate: %s, let in: %t", by, in)
	}
	if _, in := shows(); in {
		t.Error("one without a certificate is let in")
	}

	// A new one takes the place of the old one, and a broken one does not.
	other := certificate(t, ca, "db2-renewed")
	replace := func(cert, key string, at time.Time) {
		if err := errors.Join(os.Rename(key, own.Key), os.Rename(cert, own.Cert), os.Chtimes(own.Cert, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	replace(other.Cert, other.Key, time.Now().Add(time.Hour))
	if by, in := shows(pair); by != "db2-renewed" || !in {
		t.Errorf("after it was replaced: %s, let in: %t", by, in)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(broken, own.Cert), os.Chtimes(own.Cert, time.Now(), time.Now().Add(2*time.Hour))); err != nil {
		t.Fatal(err)
	}
	if by, in := shows(pair); by != "db2-renewed" || !in {
		t.Errorf("after it was broken: %s, let in: %t", by, in)
	}
	if _, err := publicTLS(own); err == nil || !strings.Contains(err.Error(), "load the certificate") {
		t.Errorf("from the start: %v", err)
	}
}
