package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/clock"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/node"
	"github.com/baton-db/baton/internal/core/reconcile"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/timeline"
)

// stage is a host on which hands can be tried: it writes down what is asked of
// it, in order, and refuses what it is told to.
type stage struct {
	mu    sync.Mutex
	asked []string
	fails map[string]bool
	bound []string
	muted bool
	alive bool
	runs  bool // its process is not stopped
}

func (s *stage) ask(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, what)
	if s.fails[what] {
		return errors.New(what + " is refused")
	}
	return nil
}

func (s *stage) hands() *hands {
	log := slog.New(slog.DiscardHandler)
	h := &hands{self: "db1", log: log, keeper: &keeper{keeps: node.Keeper{Self: "db1"}}, gate: stageGate{weakGate: &weakGate{}, stage: s}, sockets: stageSockets{s}, vip: stageAddresses{noAddresses{}, s},
		process: stageProcess{s}, hung: func() bool { return false }, silent: func() bool { return false }, timeline: timeline.NewRecorder(timeline.Options{Node: "db1", Clock: "boot", Now: clock.Now})}
	h.observe = func(context.Context) (cluster.ServerFact, error) { return cluster.ServerFact{}, s.ask("observe") }
	return h
}

type stageGate struct {
	*weakGate
	stage *stage
}

func (g stageGate) Close(ctx context.Context) error {
	return errors.Join(g.stage.ask("close the gate"), g.weakGate.Close(ctx))
}

type stageSockets struct{ *stage }

func (s stageSockets) DestroyClients(context.Context) (int, error) {
	return 0, s.ask("reset the clients")
}

type stageAddresses struct {
	noAddresses
	*stage
}

func (a stageAddresses) Mute(context.Context) error {
	err := a.ask("mute")
	a.muted = err == nil
	return err
}

func (a stageAddresses) Drop(context.Context) error {
	err := a.ask("drop")
	if err == nil {
		a.bound = nil
	}
	return err
}

func (a stageAddresses) Observe(context.Context) ([]string, bool, error) {
	return a.bound, a.muted, nil
}

type stageProcess struct{ *stage }

func (p stageProcess) Alive() bool                 { return p.alive }
func (p stageProcess) Stopped() bool               { return !p.runs }
func (p stageProcess) MayKill() bool               { return true }
func (p stageProcess) Kill() error                 { return p.ask("kill the server") }
func (p stageProcess) Start(context.Context) error { return p.ask("start the server") }

// TestAFenceWaitsForNoStatementBehindAWriteThatHangs: turning read-only would wait
// for the commits that hang on a dead disk. (There is no server to talk to here:
// whoever tried would panic.)
func TestAFenceWaitsForNoStatementBehindAWriteThatHangs(t *testing.T) {
	s := &stage{fails: map[string]bool{}, alive: true, runs: true}
	h := s.hands()
	h.silent = func() bool { return true }
	l := reviewed()
	l.kick = func() {}
	done, err := h.perform(t.Context(), reconcile.Step{Kind: reconcile.Fence, Epoch: 5})
	if err != nil {
		t.Fatal(err)
	}
	if done(l); l.Fenced != 5 || !slices.Contains(s.asked, "kill the server") {
		t.Errorf("fenced %d after %v", l.Fenced, s.asked)
	}
}

// givesUp is a server to which a session is only ever about to be opened when the loop
// gives the step up, or when the agent ends.
type givesUp struct {
	db.Server
	end func()
}

func (g givesUp) Session(ctx context.Context) (db.Session, error) {
	g.end()
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestAFenceThatIsGivenUpKillsNobody: the loop has seen that nobody can write here, while
// the fence was still about to see to it. When the agent ends nobody has seen that.
func TestAFenceThatIsGivenUpKillsNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		why    error
		killed bool
	}{
		"given up":          {errNotWanted, false},
		"the agent is over": {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stage{fails: map[string]bool{}, alive: true, runs: true}
			h := s.hands()
			ctx, cancel := context.WithCancelCause(t.Context())
			h.database = givesUp{end: func() { cancel(tt.why) }}
			_, err := h.perform(ctx, reconcile.Step{Kind: reconcile.Fence, Epoch: 5})
			if killed := slices.Contains(s.asked, "kill the server"); killed != tt.killed || !killed && err == nil {
				t.Errorf("killed: %t after %v, and it says %v", killed, s.asked, err)
			}
		})
	}
}

// TestFence holds what a fence does, and what comes of it, against what is refused.
func TestFence(t *testing.T) {
	for name, tt := range map[string]struct {
		refused []string
		asked   string
		fenced  cluster.Epoch
		again   bool // it counts as failed, so that it is tried again, less and less often
	}{
		"all goes well": {nil, "close the gate, reset the clients, mute, kill the server", 5, false},
		"an address that cannot be muted is dropped":              {[]string{"mute"}, "close the gate, reset the clients, mute, drop, kill the server", 5, false},
		"one that cannot be dropped either holds up nothing else": {[]string{"mute", "drop"}, "close the gate, reset the clients, mute, drop, kill the server", 5, true},
		"a gate that does not close: nothing can be said":         {[]string{"close the gate"}, "close the gate", 0, true},
		"clients that cannot be reset are no reason to stop":      {[]string{"reset the clients"}, "close the gate, reset the clients, mute, kill the server", 5, false},
		"a server that cannot be silenced is not fenced":          {[]string{"kill the server"}, "close the gate, reset the clients, mute, kill the server", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stage{fails: map[string]bool{}, bound: []string{"10.0.0.9"}, alive: true}
			for _, r := range tt.refused {
				s.fails[r] = true
			}
			l := reviewed()
			l.kick = func() {}
			done, err := s.hands().perform(t.Context(), reconcile.Step{Kind: reconcile.Fence, Epoch: 5})
			if done != nil {
				done(l)
			}
			// The addresses and the server are seen to beside each other.
			i := slices.Index(s.asked, "kill the server")
			if i >= 0 {
				s.asked = append(slices.Delete(s.asked, i, i+1), "kill the server")
			}
			if got := strings.Join(s.asked, ", "); got != tt.asked {
				t.Errorf("asked %q, want %q", got, tt.asked)
			}
			if l.Fenced != tt.fenced || (err != nil) != tt.again {
				t.Errorf("fenced %d, error %v; want %d and an error: %t", l.Fenced, err, tt.fenced, tt.again)
			}
		})
	}
}

// TestAFencesMuteThatDoesNothingIsAnError: it would be repeated without a pause.
func TestAFencesMuteThatDoesNothingIsAnError(t *testing.T) {
	s := &stage{bound: []string{"10.0.0.9"}}
	h := s.hands()
	h.vip = deafAddresses{stageAddresses{noAddresses{}, s}}
	if done, err := h.fence(t.Context(), 5); err == nil || done == nil {
		t.Errorf("got %v; the address is still announced", err)
	}
}

type deafAddresses struct{ stageAddresses }

func (deafAddresses) Mute(context.Context) error { return nil }

// firstReign is a server on which Baton's schema is missing, and whose first
// commit nobody acknowledges.
type firstReign struct {
	db.Server
	waits chan struct{} // closed once the schema's creation waits
	acked chan struct{}
}

func (f *firstReign) WriteMarker(context.Context, cluster.Epoch, cluster.NodeName) error {
	select {
	case <-f.acked:
		return nil
	default:
		return errors.New("no such table")
	}
}

func (f *firstReign) EnsureSchema(context.Context) error {
	close(f.waits)
	<-f.acked
	return nil
}

func (f *firstReign) Session(context.Context) (db.Session, error) { return obedient{}, nil }

type obedient struct{ db.Session }

func (obedient) SetReadOnly(context.Context, bool, time.Duration) error { return nil }

// TestTheServerCanBeToldThingsWhileTheSchemaWaits: it waits for an acknowledgement,
// which may never come.
func TestTheServerCanBeToldThingsWhileTheSchemaWaits(t *testing.T) {
	f := &firstReign{waits: make(chan struct{}), acked: make(chan struct{})}
	h := (&stage{}).hands()
	h.database = f
	marked := make(chan error, 1)
	go func() {
		_, err := h.perform(t.Context(), reconcile.Step{Kind: reconcile.WriteMarker, Epoch: 5})
		marked <- err
	}()
	<-f.waits
	told := make(chan error, 1)
	go func() {
		_, err := h.perform(t.Context(), reconcile.Step{Kind: reconcile.SetReadOnly})
		told <- err
	}()
	select {
	case err := <-told:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing can be said to the server while its schema waits")
	}
	close(f.acked)
	if err := <-marked; err != nil {
		t.Error(err)
	}
}

// TestWhoWaitsForAReadingGivesUpInTime: a reading hangs; a fence has 250 ms.
func TestWhoWaitsForAReadingGivesUpInTime(t *testing.T) {
	reads := make(chan struct{})
	o := &observer{hang: func() time.Duration { return time.Hour }, log: slog.New(slog.DiscardHandler), turn: make(chan struct{}, 1), process: stageProcess{&stage{alive: true}},
		report: func(cluster.ServerFact) {},
		read: func(ctx context.Context) (cluster.ServerFact, string, error) {
			close(reads)
			<-ctx.Done()
			return cluster.ServerFact{}, "", ctx.Err()
		}}
	first, end := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); _, _ = o.observe(first) }()
	<-reads
	hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	gaveUp := make(chan error, 1)
	go func() { _, err := o.observe(hurried); gaveUp <- err }()
	select {
	case err := <-gaveUp:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for somebody else's reading, whatever its own deadline")
	}
	end()
	<-over
}

type cuttingGate struct{ stageGate }

func (g cuttingGate) Cut(context.Context, ...cluster.NodeName) error { return g.stage.ask("cut") }

// TestAFenceIsNotHeldUpByACut: a cut waits in the gate's lane for somebody else's
// reading of a server that hangs, to learn its position. The fence needs that lane.
func TestAFenceIsNotHeldUpByACut(t *testing.T) {
	s := &stage{fails: map[string]bool{}, alive: true}
	h := s.hands()
	h.gate = cuttingGate{stageGate{weakGate: &weakGate{}, stage: s}}
	o := &observer{hang: func() time.Duration { return time.Hour }, turn: make(chan struct{}, 1)}
	o.turn <- struct{}{} // the reading that hangs
	waits := make(chan struct{})
	h.observe = func(ctx context.Context) (cluster.ServerFact, error) {
		close(waits)
		return o.observe(ctx)
	}
	l := &lanes{perform: h.perform, results: make(chan finished, 2), timeline: h.timeline, log: h.log, cancels: map[reconcile.Lane]context.CancelFunc{}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	next := func() finished {
		select {
		case f := <-l.results:
			l.finish(f, clock.Now())
			return f
		case <-ctx.Done():
			t.Fatal("the gate's lane is held up")
		}
		panic("not reached")
	}

	l.want(t.Context(), []reconcile.Step{{Kind: reconcile.Cut, Lane: reconcile.LaneGate, Nodes: []cluster.NodeName{"db3"}}}, clock.Now())
	<-waits
	fence := []reconcile.Step{{Kind: reconcile.Fence, Lane: reconcile.LaneGate, Epoch: 5, Urgent: true}}
	l.want(t.Context(), fence, clock.Now())
	if f := next(); f.step.Kind != reconcile.Cut || f.err == nil || f.done != nil {
		t.Errorf("%s ended with %v: a cut without its position is none", f.step.Kind, f.err)
	}
	l.want(t.Context(), fence, clock.Now())
	if f := next(); f.step.Kind != reconcile.Fence || f.err != nil {
		t.Errorf("%s ended with %v", f.step.Kind, f.err)
	}
	l.all.Wait()
}

// TestWhoLetsTheAddressesGoResetsItsClientsFirst: afterwards no reset would leave. That
// they have theirs is said only if it is so, for the next primary relies on it.
func TestWhoLetsTheAddressesGoResetsItsClientsFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		step    reconcile.Kind
		refused string
		asked   string
		reset   cluster.Epoch
	}{
		"a release":                           {reconcile.Release, "", "reset the clients, drop", 7},
		"a release without the kernel's help": {reconcile.Release, "reset the clients", "reset the clients, drop", 0},
		"a release that fails":                {reconcile.Release, "drop", "reset the clients, drop", 0},
		"a fence":                             {reconcile.Fence, "", "close the gate, reset the clients, mute", 5},
		"a fence without the kernel's help":   {reconcile.Fence, "reset the clients", "close the gate, reset the clients, mute", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stage{fails: map[string]bool{tt.refused: true}, bound: []string{"10.0.0.9"}}
			h := s.hands()
			h.situation = func() (cluster.Record, map[cluster.NodeName]cluster.Fact) { return cluster.Record{Epoch: 7}, nil }
			l := reviewed()
			l.kick = func() {}
			done, err := h.perform(t.Context(), reconcile.Step{Kind: tt.step, Epoch: 5})
			if (err != nil) != (tt.refused == "drop") {
				t.Errorf("it ended with %v", err)
			}
			if done != nil {
				done(l)
			}
			if asked := strings.Join(s.asked, ", "); asked != tt.asked || l.ClientsReset != tt.reset {
				t.Errorf("asked for %s, and the clients of epoch %d are reset; want %s, and %d", asked, l.ClientsReset, tt.asked, tt.reset)
			}
		})
	}
}
