package zookeeper_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/zookeeper"
)

// real is where the tests' own ZooKeeper listens; empty if there is none.
var real string

func TestMain(m *testing.M) {
	stop, err := startServer()
	if err != nil {
		fmt.Fprintln(os.Stderr, "THE TESTS WITH A REAL ZOOKEEPER WILL BE SKIPPED:", err)
	}
	code := m.Run()
	if stop != nil {
		stop()
	}
	os.Exit(code)
}

// jar is Debian's, package libzookeeper-java.
const jar = "/usr/share/java/zookeeper.jar"

// startServer runs a ZooKeeper on an address of its own in 127.0.0.0/8, so that
// nobody else's ports matter, and returns when it answers.
func startServer() (stop func(), err error) {
	if _, err := os.Stat(jar); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "baton-zookeeper-")
	if err != nil {
		return nil, err
	}
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(255), 1+rand.IntN(254))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	conf := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPort=2181\nclientPortAddress=%s\nadmin.enableServer=false\n", dir, host)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	server := exec.Command("java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no", "-cp", jar,
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", conf)
	server.Stdout, server.Stderr = log, log
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		return nil, err
	}
	dead := make(chan struct{})
	go func() { _ = server.Wait(); close(dead) }()
	stop = func() { _ = server.Process.Kill(); <-dead; _ = os.RemoveAll(dir) }
	at := net.JoinHostPort(host, "2181")
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for ctx, cancel := context.WithTimeout(context.Background(), time.Minute); ; {
		e := zookeeper.Open("probe", zookeeper.Options{Servers: []string{at}, Node: "/probe", Cluster: "shop"})
		ask, enough := context.WithTimeout(ctx, time.Second) // one that is still starting may never answer
		_, err = e.Observe(ask)
		enough()
		if err == nil {
			cancel()
			real = at
			return stop, nil
		}
		select {
		case <-again.C:
			continue
		case <-dead:
		case <-ctx.Done():
		}
		cancel()
		said, _ := os.ReadFile(log.Name())
		stop()
		return nil, fmt.Errorf("it does not get ready: %w: %s", err, said)
	}
}

func needReal(t *testing.T) {
	t.Helper()
	if real == "" {
		t.Skip("NOT TESTED: there is no ZooKeeper here (packages libzookeeper-java and default-jre-headless)")
	}
}

var used atomic.Int32

// node is a path of the test's own.
func node() string { return fmt.Sprintf("/services/%d/primary", used.Add(1)) }

func open(path string, change ...func(*zookeeper.Options)) *zookeeper.Endpoint {
	o := zookeeper.Options{Servers: []string{real}, Node: path, Cluster: "shop"}
	for _, c := range change {
		c(&o)
	}
	return zookeeper.Open("app", o)
}

func at(node string, epoch cluster.Epoch, address string) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: cluster.NodeName(node), Addresses: []netip.Addr{netip.MustParseAddr(address)}, Port: 3306}
}

func here() endpoint.Target  { return at("db1", 7, "10.77.0.11") }
func there() endpoint.Target { return at("db2", 8, "10.77.0.12") }

// wire passes bytes on to the server until it is cut.
type wire struct {
	net.Listener
	cut atomic.Bool
}

func lead(t *testing.T) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", real)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { defer out.Close(); _, _ = io.Copy(gate{out, w}, in) }()
			go func() { defer in.Close(); _, _ = io.Copy(gate{in, w}, out) }()
		}
	}()
	return w
}

// gate swallows what comes after the cut.
type gate struct {
	net.Conn
	w *wire
}

func (g gate) Write(b []byte) (int, error) {
	if g.w.cut.Load() {
		return len(b), nil
	}
	return g.Conn.Write(b)
}

func TestANodeBehavesAsAnEndpoint(t *testing.T) {
	needReal(t)
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		path, w := node(), lead(t)
		through := func(o *zookeeper.Options) { o.Servers = []string{w.Addr().String()} }
		return endpointtest.Subject{
			Endpoint: open(path, through), Again: func() endpoint.Endpoint { return open(path, through) },
			Here: here(), There: there(),
			Meddle: func(ctx context.Context) error {
				there := there()
				there.Epoch = 1
				return somebodyElse(ctx, path, there)
			},
			Silence: func() { w.cut.Store(true) },
		}
	})
}

// somebodyElse writes over a node whatever it holds.
func somebodyElse(ctx context.Context, path string, target endpoint.Target) error {
	e := open(path)
	_, version, err := e.Read(ctx)
	if err != nil {
		return err
	}
	text := fmt.Appendf(nil, `{"cluster":"shop","epoch":%d,"node":%q}`, target.Epoch, target.Node)
	if done, err := e.Swap(ctx, text, version); err != nil || !done {
		return fmt.Errorf("swapped: %v, %w", done, err)
	}
	return nil
}

func TestTheValueIsWhatIsDocumentedAndWrittenOnce(t *testing.T) {
	needReal(t)
	e := open(node())
	var versions []int64
	for range 2 {
		if err := e.Set(t.Context(), here()); err != nil {
			t.Fatal(err)
		}
		text, version, err := e.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		const want = `{"cluster":"shop","epoch":7,"node":"db1","address":"10.77.0.11","port":3306}`
		if string(text) != want {
			t.Errorf("the node holds %s, want %s", text, want)
		}
		versions = append(versions, version)
	}
	if versions[0] != versions[1] {
		t.Errorf("versions %v: setting what is so woke whoever watches", versions)
	}
}

func TestAnOldVersionIsNotWritten(t *testing.T) {
	needReal(t)
	e := open(node())
	if done, err := e.Swap(t.Context(), []byte("new"), -1); err != nil || !done {
		t.Fatalf("a new node: %v, %v", done, err)
	}
	for name, version := range map[string]int64{"a node that is there is made again": -1, "an old version": 3} {
		if done, err := e.Swap(t.Context(), []byte("x"), version); err != nil || done {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
	if err := e.Set(t.Context(), here()); err != nil { // it holds "new", which is nobody's
		t.Error(err)
	}
}

func TestAUserWhoMayNotIsTold(t *testing.T) {
	needReal(t)
	path := node()
	as := func(user, password string) func(*zookeeper.Options) {
		return func(o *zookeeper.Options) { o.User, o.Password = user, password }
	}
	if err := open(path, as("baton", "right-secret")).Set(t.Context(), here()); err != nil {
		t.Fatal(err)
	}
	for name, who := range map[string]func(*zookeeper.Options){"nobody": as("", ""), "a wrong password": as("baton", "wrong-secret")} {
		e := open(path, who)
		if got, err := e.Observe(t.Context()); err != nil || got.Node != "db1" {
			t.Errorf("%s: everybody may read, but: %s, %v", name, got, err)
		}
		err := e.Set(t.Context(), there())
		if err == nil || !strings.Contains(err.Error(), "not permitted (NoAuth)") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open(path, as("baton", "right-secret")).Set(t.Context(), there()); err != nil {
		t.Error(err)
	}
}

func TestAServerThatCannotHelpIsPassedOver(t *testing.T) {
	needReal(t)
	refuses, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := refuses.Close(); err != nil {
		t.Fatal(err)
	}
	w := lead(t)
	w.cut.Store(true) // hangs
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	e := open(node(), func(o *zookeeper.Options) {
		o.Servers = []string{refuses.Addr().String(), w.Addr().String(), real}
	})
	if err := e.Set(ctx, here()); err != nil {
		t.Error(err)
	}
}

// What is no ZooKeeper, or one without a quorum, which hangs up.
func TestWhatDoesNotSpeakTheProtocolIsNamed(t *testing.T) {
	for name, tt := range map[string]struct{ answer, says string }{
		"it hangs up":        {"", "it has no quorum, or this is not the port of its clients"},
		"it speaks HTTP":     {"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak ZooKeeper's protocol"},
		"half an answer":     {"\x00\x00\x00\x04\x00\x00\x00\x00", "ends too early"},
		"it ends in a frame": {"\x00\x00\x00\x20\x00\x00", "it hung up"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 100)) // all of the greeting: a close with unread bytes would be a reset
				_, _ = io.WriteString(c, tt.answer)
				_ = c.Close()
			}()
			_, err = open("/x", func(o *zookeeper.Options) { o.Servers = []string{l.Addr().String()} }).Observe(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want that it says %q", err, tt.says)
			}
			_ = l.Close()
			<-done
		})
	}
}

func TestACallEndsWithItsContextWhateverTheServerDoes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = open("/x", func(o *zookeeper.Options) { o.Servers = []string{l.Addr().String(), l.Addr().String()} }).Observe(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkSet is a change of an existing node, from the call to its answer.
func BenchmarkSet(b *testing.B) {
	if real == "" {
		b.Skip("there is no ZooKeeper here")
	}
	e := open("/bench")
	epoch := cluster.Epoch(time.Now().UnixNano())
	for b.Loop() {
		epoch++
		if err := e.Set(b.Context(), at("db1", epoch, "10.77.0.11")); err != nil {
			b.Fatal(err)
		}
	}
}
