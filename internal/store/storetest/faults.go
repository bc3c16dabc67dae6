package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/store"
)

func statusOfAll(t *testing.T, r *Rig) {
	for i, b := range r.Backends {
		eventually(t, fmt.Sprintf("status through backend %d", i), func(ctx context.Context) error {
			s, err := b.Status(ctx)
			if err != nil {
				return err
			}
			if s.Leader == "" || s.Healthy() != 3 || len(s.Members) != 3 || len(s.Alarms) != 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	}
}

func leaderMoves(t *testing.T, r *Rig) {
	ctx := within(t)
	s := r.stores(t)
	rev := must(t)(s[0].SwapRecord(ctx, 0, nil, record(1)))
	for round := range 3 {
		st, err := r.Backends[0].Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		to := st.Members[round].Name
		eventually(t, "move the leadership to "+to, func(ctx context.Context) error {
			var errs []error // an embedded member can give it away only while it has it
			for _, b := range r.Backends {
				call, cancel := context.WithTimeout(ctx, 5*time.Second)
				err := b.MoveLeader(call, to)
				cancel()
				if err == nil {
					return nil
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		})
		eventually(t, "that all name "+to, func(ctx context.Context) error {
			for _, b := range r.Backends {
				if st, err := b.Status(ctx); err != nil || st.Leader != to {
					return fmt.Errorf("leader %q, %v", st.Leader, err)
				}
			}
			return nil
		})
		for i, one := range s {
			if _, err := one.RenewLease(ctx, rev, lease(uint64(round*10+i))); err != nil {
				t.Errorf("a renewal after the leader has moved: %v", err)
			}
		}
	}
}

// quorumLost takes a majority away in the middle of everything.
func quorumLost(t *testing.T, r *Rig) {
	s := r.store(t, 0, store.Options{})
	rev := must(t)(s.SwapRecord(within(t), 0, nil, record(1)))
	must(t)(s.RenewLease(within(t), rev, lease(1)))
	must(t)(s.PutRequest(within(t), request("asked")))
	w := watch(t, s, rev)
	r.Lose(t)
	lost := true
	defer func() {
		if lost {
			r.Restore(t)
		}
	}()

	call := func(name string, write bool, do func(ctx context.Context) error) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		over := make(chan error, 1)
		go func() { over <- do(ctx) }()
		select {
		case err := <-over:
			if !errors.Is(err, store.ErrNoQuorum) || errors.Is(err, store.ErrLost) {
				t.Errorf("%s: %v", name, err)
			}
			if !write && errors.Is(err, store.ErrUnknown) {
				t.Errorf("%s: nobody asks whether a read has happened: %v", name, err)
			}
			return err
		case <-time.After(patience):
			t.Errorf("%s has not come back", name)
			return nil
		}
	}
	swapped := call("swap", true, func(ctx context.Context) error { _, err := s.SwapRecord(ctx, rev, nil, record(2)); return err })
	for range 3 {
		call("renew", true, func(ctx context.Context) error { _, err := s.RenewLease(ctx, rev, lease(2)); return err })
		call("read", false, func(ctx context.Context) error { _, err := s.ReadLease(ctx); return err })
	}
	call("list", false, func(ctx context.Context) error { _, err := s.Snapshot(ctx); return err })
	call("delete", true, func(ctx context.Context) error { return s.DeleteRequest(ctx, "never-asked") })

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	st, err := r.Backends[0].Status(ctx)
	cancel()
	if err != nil || len(st.Members) != 3 || st.Healthy() != 1 {
		t.Errorf("status without a majority: %+v, %v", st, err)
	}

	r.Restore(t)
	lost = false
	var now store.Entry[cluster.Record]
	eventually(t, "the store answers again", func(ctx context.Context) error {
		call, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		got, err := s.Snapshot(call)
		now = got.Record
		return err
	})
	switch happened := now.Rev != rev; {
	case happened && !errors.Is(swapped, store.ErrUnknown):
		t.Errorf("the swap has happened, and was said not to have: %v", swapped)
	case happened && now.Value.Epoch != 2:
		t.Errorf("the record is %+v", now)
	}
	var next cluster.Revision
	eventually(t, "the watch goes on", func(ctx context.Context) error {
		call, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		got, err := s.Snapshot(call)
		if err == nil {
			next, err = s.SwapRecord(call, got.Record.Rev, nil, record(3))
		}
		return err
	})
	w.until("what came after", func() bool { return w.seen.Record.Rev >= next && w.seen.Record.Value.Epoch == 3 })
}
