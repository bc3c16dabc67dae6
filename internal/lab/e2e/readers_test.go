package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab"
)

// TestReadersAreLedToReplicas: the addresses, the name and HAProxy's back-end for readers
// lead to replicas that are well, whatever becomes of those, while clients read at the
// addresses all the time.
func TestReadersAreLedToReplicas(t *testing.T) {
	rare(t)
	o := lab.Options{Binary: rig.binary, Readers: true, Roads: []string{"zone", "checks"}}
	if err := lab.Check(o); err != nil {
		t.Skipf("READERS NEED MORE than this machine has: %s", err)
	}
	l := up(t, o)
	w := watchReaders(t, l)
	one := func(name string, f func(t *testing.T)) {
		if t.Failed() { // otherwise the lab may be in any state
			return
		}
		t.Run(name, func(t *testing.T) {
			f(t)
			if _, err := l.Heal(inTime(t)); err != nil {
				t.Fatal(err)
			}
			if err := l.Settle(inTime(t)); err != nil {
				t.Fatal(err)
			}
			readersAreAt(t, l, w)
			w.sound(t)
		})
	}
	for range runs(t) {
		one("nothing happens", func(*testing.T) {})
		one("a replica falls behind", func(t *testing.T) { fallsBehind(t, l, w) })
		one("all replicas fall behind", func(t *testing.T) { allFallBehind(t, l) })
		for _, fault := range []string{"power", "agent-freeze", "crash"} {
			one(fault+" of a replica", func(t *testing.T) {
				at := readerHolder(t, l)
				inject(t, l, fault, at)
				if fault != "crash" { // a server that was killed is soon back
					readersAreAt(t, l, w, at)
				}
			})
		}
		one("its replica becomes primary", func(t *testing.T) {
			at := readerHolder(t, l)
			if err := l.Switchover(inTime(t), at); err != nil {
				t.Fatal(err)
			}
		})
		for _, fault := range []string{"crash", "power"} {
			one(fault+" of the primary", func(t *testing.T) {
				old := primaryOf(t, l)
				inject(t, l, fault, old)
				anotherServes(t, l, old)
				if fault == "power" {
					readersAreAt(t, l, w, old)
				}
			})
		}
	}
}

// readerHolder is the replica that has the first of the addresses for readers.
func readerHolder(t *testing.T, l *lab.Lab) (at string) {
	t.Helper()
	err := l.WaitStatus(inTime(t), "an address for readers is on a replica", []string{primaryOf(t, l)}, func(api.Status) error {
		holders, err := l.HoldersOf(inTime(t), l.ReaderAddresses()[0])
		if err == nil && len(holders) != 1 {
			err = fmt.Errorf("it is on %v", holders)
		}
		if err == nil {
			at = holders[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// fallsBehind: a replica that has an address falls behind, loses it, and gets one again
// when it has caught up.
func fallsBehind(t *testing.T, l *lab.Lab, w *readerWatch) {
	primary, late := primaryOf(t, l), readerHolder(t, l)
	release := behindBy(t, l, primary, late, 20)
	defer release()
	readersAreAt(t, l, w, late)
	release()
	if err := l.WaitStatus(inTime(t), late+" has an address for readers again", []string{primary}, func(st api.Status) error {
		for _, n := range st.Nodes {
			if string(n.Name) == late && len(n.Readers) > 0 {
				return nil
			}
		}
		return errors.New("it has none")
	}); err != nil {
		t.Error(err)
	}
}

// allFallBehind: nobody has an address then, and people are told.
func allFallBehind(t *testing.T, l *lab.Lab) {
	ctx, primary := inTime(t), primaryOf(t, l)
	if err := l.Do(ctx, primary, "CREATE TABLE IF NOT EXISTS app.many (id INT AUTO_INCREMENT PRIMARY KEY, v INT) ENGINE=InnoDB"); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	for _, n := range replicas(l, primary) {
		release, err := l.Keep(ctx, n, "FLUSH TABLES WITH READ LOCK")
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	if err := l.Do(ctx, primary, "INSERT INTO app.many (v) VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.WaitCondition(ctx, primary, cluster.ReadersNowhere, true); err != nil {
		t.Fatal(err)
	}
	for _, a := range l.ReaderAddresses() {
		if holders, err := l.HoldersOf(ctx, a); err != nil || len(holders) > 0 {
			t.Errorf("%s is on %v (%v), and no replica is well", a, holders, err)
		}
	}
}

// readersAreAt waits until readers are led to replicas but those, on every way. Which one
// is primary is asked again and again: on a machine with much to do it may move by itself.
func readersAreAt(t *testing.T, l *lab.Lab, w *readerWatch, but ...string) {
	t.Helper()
	ctx := inTime(t)
	may := func(n string) bool {
		primary, err := l.Primary(ctx)
		return err == nil && n != primary && !slices.Contains(but, n)
	}
	if err := l.WaitReaders(ctx, fmt.Sprintf("the addresses for readers are on replicas, and not on %v", but), may); err != nil {
		t.Fatal(err)
	}
	if err := l.WaitStatus(ctx, fmt.Sprintf("readers come to replicas, and not to %v", but), []string{primaryOf(t, l)}, func(api.Status) error {
		node, err := l.ReadOverChecks(ctx)
		if err != nil {
			return err
		}
		named, err := l.ReplicasByName(ctx, primaryOf(t, l))
		if err != nil {
			return err
		}
		for _, n := range append(named, node) {
			if !may(n) {
				return fmt.Errorf("the name leads to %v, HAProxy to %s", named, node)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	for _, a := range l.ReaderAddresses() {
		if err := w.reads(ctx, a, may); err != nil {
			t.Error(err)
		}
	}
}

// readerWatch are clients that read at the addresses for readers all the time, and
// somebody who looks where those are.
type readerWatch struct {
	mu      sync.Mutex
	wrong   []string
	early   int // answers of a new primary while it was still becoming one
	answers map[netip.Addr]answer
	changed chan struct{} // closed with the next answer
}

type answer struct {
	count int
	node  string
}

// watchReaders reads and looks until the test ends.
func watchReaders(t *testing.T, l *lab.Lab) *readerWatch {
	t.Helper()
	w := &readerWatch{answers: map[netip.Addr]answer{}, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(inTime(t))
	var all sync.WaitGroup
	for _, a := range l.ReaderAddresses() {
		all.Go(func() {
			every(ctx, 20*time.Millisecond, func() { w.read(ctx, l, a) })
		})
		all.Go(func() {
			every(ctx, 50*time.Millisecond, func() { w.look(ctx, l, a) })
		})
	}
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	return w
}

func every(ctx context.Context, pause time.Duration, do func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for ctx.Err() == nil {
		do()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (w *readerWatch) read(ctx context.Context, l *lab.Lab, a netip.Addr) {
	at := netip.AddrPortFrom(a, lab.Port)
	node, writable, err := l.ReadAt(ctx, "cl", at)
	if err != nil {
		return // a gap; that it ends is waited for
	}
	again := func() bool {
		next, writable, err := l.ReadAt(ctx, "cl", at)
		return err == nil && writable && next == node
	}
	wrong := writable && w.leads(ctx, l, node) && again()
	w.mu.Lock()
	defer w.mu.Unlock()
	if wrong {
		w.wrong = append(w.wrong, fmt.Sprintf("at %s %s answered, which is the primary", a, node))
	} else if writable {
		w.early++
	}
	w.answers[a] = answer{w.answers[a].count + 1, node}
	close(w.changed)
	w.changed = make(chan struct{})
}

// leads reports whether a node says that it is the primary, and that its switch is over:
// none waits for addresses for readers, so meanwhile one may still be where it was.
func (w *readerWatch) leads(ctx context.Context, l *lab.Lab, node string) bool {
	st, err := l.ClusterStatus(ctx, node)
	return err == nil && string(st.Primary) == node && st.Phase == cluster.PhaseSteady
}

func (w *readerWatch) look(ctx context.Context, l *lab.Lab, a netip.Addr) {
	holders, err := l.HoldersOf(ctx, a)
	if err != nil {
		return
	}
	var wrong []string
	if len(holders) > 1 {
		wrong = append(wrong, fmt.Sprintf("%s was on %v at the same time", a, holders))
	}
	for _, n := range holders {
		if !w.leads(ctx, l, n) {
			continue
		}
		// It may have been given up between the look and the question.
		if holders, err = l.HoldersOf(ctx, a); err == nil && slices.Contains(holders, n) && w.leads(ctx, l, n) {
			wrong = append(wrong, fmt.Sprintf("%s was on %s, which is the primary", a, n))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, wrong...)
}

// reads waits for an answer at an address that comes from now on, from a node that may
// give it.
func (w *readerWatch) reads(ctx context.Context, a netip.Addr, may func(node string) bool) error {
	w.mu.Lock()
	first := w.answers[a]
	for {
		now, changed := w.answers[a], w.changed
		w.mu.Unlock()
		if now.count > first.count+1 && may(now.node) { // the next one may have been asked for before
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait until clients read at %s again: %w; the last answer was %s's", a, context.Cause(ctx), now.node)
		}
		w.mu.Lock()
	}
}

// sound reports what should never be.
func (w *readerWatch) sound(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, what := range w.wrong {
		t.Error(what)
	}
	t.Logf("a primary answered %d times while it was becoming one", w.early)
	for a, n := range w.answers {
		t.Logf("%d answers at %s, the last one from %s", n.count, a, n.node)
	}
}
