package etcdkey_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/etcdkey"
)

const theKey = "/services/shop/primary"

// etcd runs a real one on a unix socket and returns a client of the test's own.
func etcd(t *testing.T) (socket string, client *clientv3.Client) {
	t.Helper()
	dir := t.TempDir()
	socket = filepath.Join(dir, "etcd.sock")
	cfg := embed.NewConfig()
	cfg.Dir, cfg.TickMs, cfg.ElectionMs, cfg.UnsafeNoFsync = filepath.Join(dir, "data"), 20, 200, true
	here := []url.URL{{Scheme: "unix", Path: socket}}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = here, here
	peers := []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "peer.sock")}}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = peers, peers
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Fatal("etcd does not get ready")
	}
	client, err = clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + socket}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return socket, client
}

// wire passes bytes on to a server until it is cut.
type wire struct{ cut atomic.Bool }

func lead(t *testing.T, to string) (from string, w *wire) {
	t.Helper()
	from, w = filepath.Join(t.TempDir(), "wire.sock"), &wire{}
	l, err := net.Listen("unix", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go w.pass(out, in)
			go w.pass(in, out)
		}
	}()
	return from, w
}

// pass swallows what comes after the cut.
func (w *wire) pass(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if w.cut.Load() {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

func options(socket string) etcdkey.Options {
	return etcdkey.Options{URLs: []string{"unix://" + socket}, Key: theKey, Cluster: "shop", Calls: time.Minute}
}

func open(t *testing.T, socket string) *etcdkey.Endpoint {
	t.Helper()
	e := etcdkey.Open("app", options(socket))
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func at(node, address string) endpoint.Target {
	return endpoint.Target{Node: cluster.NodeName(node), Addresses: []netip.Addr{netip.MustParseAddr(address)}, Port: 3306}
}

func TestAKeyBehavesAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		socket, client := etcd(t)
		from, w := lead(t, socket)
		return endpointtest.Subject{
			Endpoint: open(t, from), Again: func() endpoint.Endpoint { return open(t, from) },
			Here: at("db1", "10.77.0.11"), There: at("db2", "10.77.0.12"),
			Meddle:  func(ctx context.Context) error { _, err := client.Delete(ctx, theKey); return err },
			Silence: func() { w.cut.Store(true) },
		}
	})
}

func TestTheValueIsWhatIsDocumented(t *testing.T) {
	socket, client := etcd(t)
	e := open(t, socket)
	target := at("db1", "10.77.0.11")
	target.Epoch = 7
	if err := e.Set(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(t.Context(), theKey)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"cluster":"shop","epoch":7,"node":"db1","address":"10.77.0.11","port":3306}`
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != want {
		t.Errorf("the key holds %v, want %s", got.Kvs, want)
	}
	if err := e.Set(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	again, err := client.Get(t.Context(), theKey)
	if err != nil || again.Kvs[0].ModRevision != got.Kvs[0].ModRevision {
		t.Errorf("setting what is so wrote again, and woke whoever watches (%v)", err)
	}
}

func TestTheEpochOutlivesTheAgent(t *testing.T) {
	socket, _ := etcd(t)
	newer := at("db2", "10.77.0.12")
	newer.Epoch = 9
	if err := open(t, socket).Set(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	older := at("db1", "10.77.0.11")
	older.Epoch = 8
	var old *endpoint.OldEpochError
	if err := open(t, socket).Set(t.Context(), older); !errors.As(err, &old) || old.Known != 9 {
		t.Errorf("another instance, epoch 8 after 9: %v", err)
	}
}

func TestWhatSomebodyElseWroteIsNamedAndReplaced(t *testing.T) {
	socket, client := etcd(t)
	e := open(t, socket)
	for value, says := range map[string]string{
		"db1:3306": `holds "db1:3306", which is not of Baton's making`,
		`{"cluster":"crm","epoch":3,"node":"db7"}`: `it is of cluster "crm", not "shop"`,
		strings.Repeat("x", 200):                   "xxx…",
	} {
		if _, err := client.Put(t.Context(), theKey, value); err != nil {
			t.Fatal(err)
		}
		_, err := e.Observe(t.Context())
		var foreign *endpoint.ForeignError
		if !errors.As(err, &foreign) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.20s: got %v, want that it says %q", value, err, says)
		}
		target := at("db1", "10.77.0.11")
		target.Epoch = 1
		if err := e.Set(t.Context(), target); err != nil {
			t.Fatal(err)
		}
		if got, err := e.Observe(t.Context()); err != nil || got.Node != "db1" {
			t.Errorf("after Set: %s, %v", got, err)
		}
	}
}

func TestACredentialThatIsRefusedIsSaid(t *testing.T) {
	socket, client := etcd(t)
	for _, do := range []func() error{
		func() error { _, err := client.UserAdd(t.Context(), "root", "secret"); return err },
		func() error { _, err := client.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := client.AuthEnable(t.Context()); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := open(t, socket).Observe(t.Context())
	if err == nil || !strings.Contains(err.Error(), "user name is empty") {
		t.Errorf("without a user: %v", err)
	}
	wrong := options(socket)
	wrong.User, wrong.Password = "root", "wrong"
	e := etcdkey.Open("app", wrong)
	defer e.Close()
	_, err = e.Observe(t.Context())
	if err == nil || !strings.Contains(err.Error(), "authentication failed") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong password: %v", err)
	}
}
