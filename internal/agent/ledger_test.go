package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/fence"
)

// sockets stands in for a host's kernel.
type sockets struct {
	mu    sync.Mutex
	ports []uint16 // of the clients
	err   error
	looks int
}

func (s *sockets) set(ports ...uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports = ports
}

func (s *sockets) Each(_ context.Context, _ fence.Stage, f func(fence.Socket)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	for _, p := range s.ports {
		f(clientAt(p))
	}
	return s.err
}

func (s *sockets) Close() {}

func clientAt(port uint16) fence.Socket {
	return fence.Socket{Local: netip.MustParseAddrPort("10.77.0.50:3306"), Remote: netip.AddrPortFrom(netip.MustParseAddr("10.77.0.21"), port)}
}

// ledgers are two nodes, with what they raised, and the link between them.
type ledgers struct {
	kernel   *sockets // of db1
	db1, db2 *clients
	raised   map[string]string
	cut      error // what the link answers; nil: it works

	mu     sync.Mutex
	cancel context.CancelFunc // of the stream
}

func newLedgers(t *testing.T, limit int) *ledgers {
	l := &ledgers{kernel: &sockets{}, raised: map[string]string{}}
	node := func(name cluster.NodeName) *clients {
		k := &clients{self: name, limit: limit, every: func() time.Duration { return time.Second }, turned: make(chan struct{}), log: slog.New(slog.DiscardHandler),
			open: func() (lister, error) { return l.kernel, nil },
			raise: func(why cluster.Reason, detail string) {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.raised[string(name)+" "+string(why)] = detail
			}}
		ctx, end := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.run(ctx) })
		t.Cleanup(func() { end(); running.Wait() })
		return k
	}
	l.db1 = node("db1")
	l.db2 = node("db2")
	l.db2.stream = l.stream
	return l
}

// stream is what package peer does between the two.
func (l *ledgers) stream(ctx context.Context, _ cluster.NodeName) (io.ReadCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut != nil {
		return nil, l.cut
	}
	ctx, l.cancel = context.WithCancel(ctx)
	r, w := io.Pipe()
	go func() { w.CloseWithError(l.db1.tell(ctx, w)) }()
	context.AfterFunc(ctx, func() { r.CloseWithError(ctx.Err()) })
	return r, nil
}

func (l *ledgers) setLink(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = err
	if err != nil {
		l.cancel()
	}
}

func (l *ledgers) saw(phase cluster.Phase, primary cluster.NodeName) {
	for _, k := range []*clients{l.db1, l.db2} {
		k.saw(cluster.Record{Phase: phase, Primary: primary})
	}
}

func (l *ledgers) said(what string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raised[what]
}

// shown is a node's ledger in words.
func shown(k *clients) string {
	l := k.shown(clock.Now())
	words := []string{string(l.Node) + ":"}
	for _, c := range l.Connections {
		words = append(words, strings.TrimPrefix(c.Client, "10.77.0.21:"))
	}
	return strings.Join(append(words, l.Why), " ")
}

func wantShown(t *testing.T, k *clients, want string) {
	t.Helper()
	synctest.Wait()
	if got := shown(k); got != want {
		t.Errorf("%s shows %q, want %q", k.self, got, want)
	}
}

func TestTheOthersKnowThePrimarysConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedgers(t, 3)
		wantShown(t, l.db2, ": nobody leads the clients now")
		l.kernel.set(1, 2)
		l.saw(cluster.PhaseSteady, "db1")
		time.Sleep(2500 * time.Millisecond) // whoever asks first, both have begun by then
		wantShown(t, l.db1, "db1: 1 2 ")
		wantShown(t, l.db2, "db1: 1 2 ")
		l.kernel.set(2, 3)
		time.Sleep(time.Second)
		wantShown(t, l.db2, "db1: 2 3 ")

		l.kernel.set(2, 3, 4, 5)
		time.Sleep(time.Second)
		wantShown(t, l.db2, "db1: 2 3 4 ")
		if full := l.said("db1 ledger-full"); !strings.Contains(full, "connections.limit (3)") {
			t.Errorf("said %q, want that there are more than 3", full)
		}
		if s := l.db2.shown(clock.Now()); s.Beyond != 1 || s.Limit != 3 {
			t.Errorf("%d beyond %d on db2, want 1 beyond 3", s.Beyond, s.Limit)
		}
		l.kernel.set(2, 3)
		time.Sleep(time.Second)
		if full := l.said("db1 ledger-full"); full != "" {
			t.Errorf("said %q, want nothing", full)
		}

		// Where the link does not work it is tried again, and said after a while.
		l.setLink(errors.New("connection refused"))
		time.Sleep(20 * time.Second)
		if stale := l.said("db2 ledger-stale"); stale != "" {
			t.Errorf("said %q after 20 s, want nothing", stale)
		}
		l.kernel.set(7)
		time.Sleep(15 * time.Second)
		if stale := l.said("db2 ledger-stale"); !strings.Contains(stale, "connection refused") {
			t.Errorf("said %q, want what is wrong with the link", stale)
		}
		wantShown(t, l.db2, "db1: 2 3 "+l.said("db2 ledger-stale"))
		l.setLink(nil)
		time.Sleep(ledgerRetryMost + time.Second)
		wantShown(t, l.db2, "db1: 7 ")
		if stale := l.said("db2 ledger-stale"); stale != "" {
			t.Errorf("said %q, want nothing", stale)
		}

		// A look that fails leaves what is known.
		l.kernel.mu.Lock()
		l.kernel.err = errors.New("no memory")
		l.kernel.mu.Unlock()
		time.Sleep(5 * time.Second)
		wantShown(t, l.db1, "db1: 7 ")

		// What is known of the dead one stays until its successor serves.
		l.saw(cluster.PhaseElecting, "")
		wantShown(t, l.db1, ": nobody leads the clients now")
		wantShown(t, l.db2, "db1: 7 nobody leads the clients now")
		l.saw(cluster.PhasePromoting, "db2")
		wantShown(t, l.db2, "db1: 7 nobody leads the clients now")
		if of := l.db2.copyOf(); of != "db1" {
			t.Errorf("a copy of %q, want one of db1", of)
		}
		if i := l.db2.takeOut(); i.of != "db1" || len(i.Entries) != 1 {
			t.Errorf("inherited %+v, want one connection of db1", i)
		}
		if i := l.db2.takeOut(); len(i.Entries) != 0 {
			t.Errorf("inherited %+v once more", i)
		}
	})
}

// A primary that is frozen keeps its streams open and says nothing.
func TestASilentStreamIsOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedgers(t, 3)
		var opened int
		l.db2.stream = func(ctx context.Context, _ cluster.NodeName) (io.ReadCloser, error) {
			opened++
			r, w := io.Pipe()
			context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
			return r, nil
		}
		l.db2.saw(cluster.Record{Phase: cluster.PhaseSteady, Primary: "db1"})
		time.Sleep(ledgerSilence + ledgerRetry + time.Millisecond)
		synctest.Wait()
		if stale := l.said("db2 ledger-stale"); opened != 2 || !strings.Contains(stale, "said nothing") {
			t.Errorf("opened %d times, said %q", opened, stale)
		}
	})
}

func TestALookThatIsDearComesSeldom(t *testing.T) {
	k := &clients{every: func() time.Duration { return time.Second }}
	for took, want := range map[time.Duration]time.Duration{
		0: time.Second, 8 * time.Millisecond: time.Second, 16 * time.Millisecond: 2 * time.Second, time.Second: ledgerSilence / 3,
	} {
		if got := k.nextLook(took); got != want {
			t.Errorf("%s after a look of %s, want %s", got, took, want)
		}
	}
}

func TestANodeWithoutALedgerSaysWhy(t *testing.T) {
	a := &Agent{host: &hostParts{}}
	l, err := a.Ledger(t.Context())
	if err != nil || l.Why == "" || l.Connections == nil || l.Node != "" {
		t.Errorf("%+v and %v, want why there is none", l, err)
	}
	var _ api.Connections = a
}
