package store_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	etcd "go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/pki"
	"github.com/baton-db/baton/internal/store"
	"github.com/baton-db/baton/internal/store/storetest"
)

const patience = 30 * time.Second

// server is one member of an etcd that somebody else runs: a process of its own,
// with a listener for clients.
type server struct {
	Name, Dir, Client, Peer, Initial string
	CA, Cert, Key                    string

	process *exec.Cmd
}

// memberEnv makes the test binary a member instead: its value is a server.
const memberEnv = "BATON_TEST_ETCD"

func TestMain(m *testing.M) {
	if conf := os.Getenv(memberEnv); conf != "" {
		if err := serve(conf); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve runs a member until its standard input ends.
func serve(conf string) error {
	var s server
	if err := json.Unmarshal([]byte(conf), &s); err != nil {
		return err
	}
	cfg := etcd.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = s.Name, s.Dir, s.Initial
	cfg.TickMs, cfg.ElectionMs = 50, 500
	client, peer := must(url.Parse(s.Client)), must(url.Parse(s.Peer))
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.ClientTLSInfo = transport.TLSInfo{CertFile: s.Cert, KeyFile: s.Key, TrustedCAFile: s.CA, ClientCertAuth: true, SkipClientSANVerify: true}
	cfg.PeerTLSInfo = cfg.ClientTLSInfo
	cfg.ZapLoggerBuilder = etcd.NewZapLoggerBuilder(zap.NewNop())
	e, err := etcd.StartEtcd(cfg)
	if err != nil {
		return err
	}
	<-e.Server.ReadyNotify()
	fmt.Println("ready")
	_, err = os.Stdin.Read(make([]byte, 1))
	_ = err // that it has ended is all there is to know
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// servers starts three members and waits until they take part. They are killed
// at the end of the test, and with it.
func servers(t *testing.T) []*server {
	t.Helper()
	dir, addr := t.TempDir(), loopback()
	certify(t, dir, addr)
	var all []*server
	var initial []string
	for i := range 3 {
		s := &server{
			Name:   fmt.Sprintf("etcd%d", i),
			Client: fmt.Sprintf("https://%s:%d", addr, 5000+i),
			Peer:   fmt.Sprintf("https://%s:%d", addr, 5100+i),
			CA:     filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "etcd.crt"), Key: filepath.Join(dir, "etcd.key"),
		}
		s.Dir = filepath.Join(dir, s.Name)
		initial = append(initial, s.Name+"="+s.Peer)
		all = append(all, s)
	}
	var ready []*bufio.Scanner
	for _, s := range all {
		s.Initial = strings.Join(initial, ",")
		ready = append(ready, s.start(t))
	}
	for i, r := range ready {
		if !r.Scan() || r.Text() != "ready" {
			t.Fatalf("%s does not get ready: %q %v", all[i].Name, r.Text(), r.Err())
		}
	}
	return all
}

func (s *server) start(t *testing.T) *bufio.Scanner {
	t.Helper()
	s.process = exec.Command(os.Args[0])
	s.process.Env = append(os.Environ(), memberEnv+"="+string(must(json.Marshal(s))))
	s.process.Stderr = os.Stderr
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in := must(s.process.StdinPipe())
	out := must(s.process.StdoutPipe())
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = s.process.Process.Kill() // frozen or not
		_ = s.process.Wait()
	})
	return bufio.NewScanner(out)
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// freeze stops a member, and returns once none of its threads runs any more: the
// signal alone leaves those on other processors time for an answer.
func (s *server) freeze(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx := within(t, patience); !s.frozen(t); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s does not stop", s.Name)
		}
	}
}

func (s *server) thaw(t *testing.T) { s.signal(t, syscall.SIGCONT) }

func (s *server) frozen(t *testing.T) bool {
	t.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.Process.Pid))
	if err != nil || len(stats) == 0 {
		t.Fatalf("look at the threads of %s: %v", s.Name, err)
	}
	for _, f := range stats {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		if _, rest, _ := strings.Cut(string(raw), ") "); !strings.HasPrefix(rest, "T") {
			return false
		}
	}
	return true
}

// loopback returns an address that no other test of this host uses now: it is
// made of this process's number.
func loopback() netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, byte(64 + pid>>16&63), byte(pid >> 8), byte(pid)})
}

func certify(t *testing.T, dir string, addr netip.Addr) {
	t.Helper()
	ca, err := pki.NewAuthority("external", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Pair().Write(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue("etcd", []netip.Addr{addr}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := pair.Write(filepath.Join(dir, "etcd.crt"), filepath.Join(dir, "etcd.key")); err != nil {
		t.Fatal(err)
	}
}

func (s *server) tls(t *testing.T) *tls.Config {
	t.Helper()
	c, err := transport.TLSInfo{CertFile: s.Cert, KeyFile: s.Key, TrustedCAFile: s.CA}.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dial returns a backend that prefers the endpoints in that order, and does not
// take a busy host for a silent one unless the test is about that.
func dial(t *testing.T, s *server, silence time.Duration, endpoints ...string) *store.Etcd {
	t.Helper()
	b, err := store.Dial(store.DialOptions{Endpoints: endpoints, TLS: s.tls(t), Silence: silence})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestAnExternalStore(t *testing.T) {
	all := servers(t)
	rig := &storetest.Rig{}
	for i := range all {
		a, b, c := all[i], all[(i+1)%3], all[(i+2)%3]
		rig.Backends = append(rig.Backends, dial(t, a, patience, a.Client, b.Client, c.Client))
	}
	rig.Lose = func(t *testing.T) { all[1].freeze(t); all[2].freeze(t) }
	rig.Restore = func(t *testing.T) { all[1].thaw(t); all[2].thaw(t) }
	rig.Compact = func(ctx context.Context, rev cluster.Revision) error {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{all[0].Client}, TLS: all[0].tls(t), Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Compact(ctx, int64(rev), clientv3.WithCompactPhysical())
		return err
	}
	storetest.Run(t, rig)

	t.Run("a frozen endpoint costs one call", func(t *testing.T) { frozenEndpoint(t, all) })
	t.Run("a dead endpoint costs nothing", func(t *testing.T) { deadEndpoint(t, all) })
	t.Run("a write whose answer is lost is unknown, and has happened", func(t *testing.T) { lostAnswer(t, all) })
}
