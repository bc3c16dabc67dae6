package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-db/baton/internal/endpoint"
)

// board is an endpoint without surroundings, whose calls a test can spoil.
type board struct {
	mu       sync.Mutex
	leads    endpoint.Target
	sets     int
	setErr   error
	lookErr  error
	deaf     bool // calls end with their context only
	inFlight int
}

func (b *board) call(ctx context.Context, spoilt *error, do func()) error {
	b.mu.Lock()
	b.inFlight++
	deaf := b.deaf
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.inFlight--
		b.mu.Unlock()
	}()
	if deaf {
		<-ctx.Done()
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if *spoilt != nil {
		return *spoilt
	}
	do()
	return nil
}

func (b *board) Set(ctx context.Context, t endpoint.Target) error {
	return b.call(ctx, &b.setErr, func() { b.leads, b.sets = t, b.sets+1 })
}

func (b *board) Observe(ctx context.Context) (got endpoint.Target, err error) {
	err = b.call(ctx, &b.lookErr, func() { got = b.leads })
	return got, err
}

func (b *board) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// reconciled is a reconciler that runs, and the last that it reported.
type reconciled struct {
	*endpoint.Reconciler
	mu     sync.Mutex
	states []endpoint.State
}

func reconcile(t *testing.T, b endpoint.Endpoint) *reconciled {
	r := &reconciled{}
	r.Reconciler = &endpoint.Reconciler{Name: "board", Endpoint: b, Log: slog.New(slog.DiscardHandler),
		Timing: endpoint.Timing{Call: time.Second, Check: 8 * time.Second, Retry: time.Second},
		Report: func(s endpoint.State) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.states = append(r.states, s)
		}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *reconciled) last() endpoint.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[len(r.states)-1]
}

func one() endpoint.Target { return endpoint.Target{Epoch: 1, Node: "db1"} }
func two() endpoint.Target { return endpoint.Target{Epoch: 2, Node: "db2"} }

func TestWhatIsWantedIsBroughtAboutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{}
		r := reconcile(t, b)
		synctest.Wait()
		if b.sets != 0 || r.last().Want.Node != "" {
			t.Errorf("before anything is wanted: %d calls of Set, %s", b.sets, r.last())
		}
		for _, want := range []endpoint.Target{one(), two()} {
			r.Lead(want)
			synctest.Wait() // no time passes
			if got := r.last(); !got.Settled || !got.Got.LeadsTo(want) || got.String() != "board leads to "+string(want.Node) {
				t.Errorf("wanted %s: %s", want, got)
			}
		}
		r.Lead(two())
		time.Sleep(time.Minute)
		if b.sets != 2 {
			t.Errorf("%d calls of Set for two wishes", b.sets)
		}
	})
}

func TestWhatSomebodyElseChangesIsPutRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{}
		r := reconcile(t, b)
		r.Lead(one())
		time.Sleep(time.Minute)
		b.change(func() { b.leads = two() })
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got := r.last(); !got.Settled || got.Repaired != 1 || !b.leads.LeadsTo(one()) {
			t.Errorf("%s, repaired %d times; it leads to %s", got, got.Repaired, b.leads)
		}
	})
}

func TestWhatBatonHasNotPutThereIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{}
		r := reconcile(t, b)
		r.Lead(one())
		time.Sleep(time.Minute)
		b.change(func() { b.lookErr = fmt.Errorf("the key holds nonsense: %w", endpoint.ErrForeign) })
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got := r.last(); b.sets < 2 || got.Settled || got.Repaired != 1 {
			t.Errorf("%d calls of Set, %s, repaired %d times", b.sets, got, got.Repaired)
		}
		b.change(func() { b.lookErr = nil })
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got := r.last(); !got.Settled || got.Problem != nil {
			t.Errorf("after it was replaced: %s", got)
		}
	})
}

func TestALateCallOfTheReignBeforeIsUndoneSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{}
		r := reconcile(t, b)
		r.Lead(two())
		synctest.Wait()
		b.change(func() { b.leads = one() })
		time.Sleep(time.Second) // the first pause, not the long one
		synctest.Wait()
		if !b.leads.LeadsTo(two()) {
			t.Errorf("it leads to %s", b.leads)
		}
	})
}

func TestAFailureIsToldAndTriedAgainWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{setErr: errors.New("the zone refuses updates")}
		r := reconcile(t, b)
		r.Lead(one())
		time.Sleep(20*time.Second + time.Millisecond) // at 0, 1, 3, 7, 15
		synctest.Wait()
		got := r.last()
		if got.Settled || got.Attempts != 5 {
			t.Errorf("%d attempts, want 5", got.Attempts)
		}
		if want := "board leads to nowhere, wanted db1, because lead it there: the zone refuses updates"; got.String() != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		b.change(func() { b.setErr = nil })
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got := r.last(); !got.Settled || got.Problem != nil {
			t.Errorf("after it was mended: %s", got)
		}
	})
}

func TestALookThatFailsChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{}
		r := reconcile(t, b)
		r.Lead(one())
		synctest.Wait()
		b.change(func() { b.lookErr = http.ErrServerClosed })
		time.Sleep(time.Minute)
		synctest.Wait()
		got := r.last()
		if b.sets != 1 || !got.Settled || !errors.Is(got.Problem, http.ErrServerClosed) {
			t.Errorf("%d calls of Set, %s", b.sets, got)
		}
		if want := "board leads to db1, as far as is known, because see where it leads: http: Server closed"; got.String() != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	})
}

func TestSeveralProblemsAreToldInOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("connection refused")
		b := &board{setErr: errors.Join(fmt.Errorf("ask 10.0.0.1: %w", cause), errors.New("ask 10.0.0.2: no answer"))}
		r := reconcile(t, b)
		r.Lead(one())
		synctest.Wait()
		got := r.last()
		if want := "board leads to nowhere, wanted db1, because lead it there: ask 10.0.0.1: connection refused; ask 10.0.0.2: no answer"; got.String() != want || !errors.Is(got.Problem, cause) {
			t.Errorf("it says %q, want %q", got, want)
		}
	})
}

func TestAnEndpointThatHangsCostsOnlyItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{deaf: true}
		r := reconcile(t, b)
		r.Lead(one())
		time.Sleep(2*time.Second + time.Millisecond) // Set and Observe, a second each
		synctest.Wait()
		if want := "board: wanted db1, where it leads is not known, because lead it there: no answer within 1s"; r.last().String() != want {
			t.Errorf("it says %q, want %q", r.last(), want)
		}
	})
}

func TestWhatIsNotWantedAnyMoreIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{deaf: true}
		r := reconcile(t, b)
		r.Lead(one())
		synctest.Wait()
		b.change(func() { b.deaf = false })
		r.Lead(endpoint.Target{})
		synctest.Wait()
		if b.inFlight != 0 || b.sets != 0 || r.last().Want.Node != "" {
			t.Errorf("%d calls under way, %d made, %s", b.inFlight, b.sets, r.last())
		}
		time.Sleep(time.Minute)
		if b.sets != 0 {
			t.Error("it was set although nothing was wanted")
		}
	})
}

func TestAnOldReignGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{setErr: &endpoint.OldEpochError{Endpoint: "board", Asked: 1, Known: 2}}
		r := reconcile(t, b)
		r.Lead(one())
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.last(); got.Attempts != 1 {
			t.Errorf("%d attempts", got.Attempts)
		}
	})
}

func TestWhatCannotBeAskedIsToldAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{lookErr: endpoint.ErrUnseen}
		r := reconcile(t, b)
		r.Lead(one())
		synctest.Wait()
		got := r.last()
		if want := "board was told db1, and cannot be asked"; got.String() != want || !got.Told || got.Settled || got.Looked || got.Problem != nil {
			t.Errorf("it says %q, want %q: %+v", got, want, got)
		}
		time.Sleep(time.Second + 2*time.Second + 4*time.Second + 8*time.Second + 8*time.Second)
		synctest.Wait()
		if b.sets != 6 {
			t.Errorf("told %d times", b.sets)
		}
		b.change(func() { b.setErr = errors.New("the queue is full") })
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if want := "board: wanted db1, where it leads is not known, because lead it there: the queue is full"; r.last().String() != want || r.last().Told {
			t.Errorf("it says %q, want %q", r.last(), want)
		}
		b.change(func() { b.setErr = nil })
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if !r.last().Told || r.last().Problem != nil {
			t.Errorf("after it was mended: %+v", r.last())
		}
	})
}

// busy is an error of an endpoint that wants to be left alone.
type busy struct{ time.Duration }

func (b busy) Error() string             { return "not now" }
func (b busy) RetryAfter() time.Duration { return b.Duration }

func TestWhoWantsToBeLeftAloneIsForAMinuteAtMost(t *testing.T) {
	for asks, want := range map[time.Duration]int64{0: 4, 25 * time.Second: 2, time.Hour: 1} { // after 1, 3 and 7 s; after 25 s; after a minute
		synctest.Test(t, func(t *testing.T) {
			b := &counted{err: busy{asks}}
			r := reconcile(t, b)
			r.Lead(one())
			time.Sleep(14 * time.Second)
			if asks > 0 {
				time.Sleep(16 * time.Second)
			}
			synctest.Wait()
			if tries := b.tries.Load(); tries != want {
				t.Errorf("asked to wait %s: %d tries, want %d", asks, tries, want)
			}
			time.Sleep(31 * time.Second)
			synctest.Wait()
			if b.tries.Load() <= want {
				t.Errorf("asked to wait %s: not tried again", asks)
			}
		})
	}
}

// counted refuses every call of Set, and counts them.
type counted struct {
	err   error
	tries atomic.Int64
}

func (c *counted) Set(context.Context, endpoint.Target) error { c.tries.Add(1); return c.err }

func (c *counted) Observe(context.Context) (endpoint.Target, error) {
	return endpoint.Target{}, errors.New("not known")
}

// tended is a board that has something to do while it leads where it should.
type tended struct {
	*board
	tends   []endpoint.Target
	tendErr error
}

func (t *tended) Tend(ctx context.Context, target endpoint.Target) error {
	return t.call(ctx, &t.tendErr, func() { t.tends = append(t.tends, target) })
}

func TestWhatLeadsWhereItShouldIsTended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &tended{board: &board{setErr: errors.New("the zone refuses updates")}}
		r := reconcile(t, b)
		r.Lead(one())
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if len(b.tends) != 0 {
			t.Error("it was tended although it does not lead there")
		}
		b.change(func() { b.setErr = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(b.tends) < 2 || !b.tends[0].LeadsTo(one()) || b.tends[0].Epoch != 1 {
			t.Errorf("it was tended %d times: %v", len(b.tends), b.tends)
		}
		b.change(func() { b.tendErr = errors.New("the zone refuses updates") })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		got := r.last()
		if want := "board leads to db1, as far as is known, because keep it in order: the zone refuses updates"; got.String() != want || !got.Settled {
			t.Errorf("it says %q, want %q", got, want)
		}
	})
}

// announcement is a board that can only lead to its own host.
type announcement struct {
	board
	standBys   int
	standByErr error
}

func (a *announcement) StandBy(ctx context.Context) error {
	return a.call(ctx, &a.standByErr, func() { a.leads, a.standBys = endpoint.Target{}, a.standBys+1 })
}

func TestWhatIsLocalStandsByWhileNothingIsWantedOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &announcement{}
		r := reconcile(t, a)
		synctest.Wait()
		a.change(func() {
			if a.standBys != 1 || a.sets != 0 {
				t.Errorf("at first: %d calls of StandBy, %d of Set", a.standBys, a.sets)
			}
		})
		r.Lead(one())
		time.Sleep(time.Minute)
		synctest.Wait()
		a.change(func() {
			if a.standBys != 1 || !a.leads.LeadsTo(one()) {
				t.Errorf("while it leads here: %d calls of StandBy, it leads to %s", a.standBys, a.leads)
			}
		})
		a.change(func() { a.standByErr = errors.New("the router is silent") })
		r.Lead(endpoint.Target{})
		synctest.Wait()
		if want := "board is not ready to lead here, because stand by: the router is silent"; r.last().String() != want {
			t.Errorf("it says %q, want %q", r.last(), want)
		}
		a.change(func() { a.standByErr = nil })
		time.Sleep(8 * time.Second)
		synctest.Wait()
		a.change(func() {
			if got := r.last(); got.Problem != nil || a.leads.Node != "" {
				t.Errorf("after it was mended: %s, it leads to %s", got, a.leads)
			}
		})
	})
}

// checker is a board that says how often it has looked.
type checker struct {
	board
	looks int
}

func (c *checker) Observe(ctx context.Context) (endpoint.Target, error) {
	c.looks++
	return c.board.Observe(ctx)
}

func (c *checker) Tells() string { return fmt.Sprintf("it has looked %d times", c.looks) }

func TestWhatAnEndpointTellsOfItselfIsOfTheLastLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := reconcile(t, &checker{})
		r.Lead(one())
		synctest.Wait()
		if got := r.last(); got.Tells != "it has looked 1 times" || !got.Settled {
			t.Errorf("%+v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := r.last(); got.Tells != "it has looked 2 times" {
			t.Errorf("%+v", got)
		}
	})
}
