package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestWhatAnErrorOfAWriteMeans(t *testing.T) {
	for name, tt := range map[string]struct {
		err      error
		is       error
		unknown  bool // the write may have happened
		lastWord bool // it is not tried again
	}{
		"no leader when it came":            {err: rpctypes.ErrNoLeader, is: ErrNoQuorum},
		"the leader is handing over":        {err: status.Error(codes.Unknown, dropped), is: ErrNoQuorum},
		"too much to do":                    {err: rpctypes.ErrTooManyRequests, is: ErrNoQuorum},
		"there was no connection":           {err: errNotConnected, is: ErrNoQuorum},
		"the server gave up waiting":        {err: rpctypes.ErrTimeout, is: ErrNoQuorum, unknown: true, lastWord: true},
		"the leader was lost on the way":    {err: rpctypes.ErrTimeoutDueToLeaderFail, is: ErrNoQuorum, unknown: true, lastWord: true},
		"the connection broke on the way":   {err: status.Error(codes.Unavailable, "error reading from server: EOF"), is: ErrNoQuorum, unknown: true, lastWord: true},
		"no answer by the deadline":         {err: status.Error(codes.DeadlineExceeded, "context deadline exceeded"), is: ErrNoQuorum, unknown: true, lastWord: true},
		"the caller gave up":                {err: context.Canceled, is: context.Canceled, unknown: true, lastWord: true},
		"the store is full":                 {err: rpctypes.ErrNoSpace, is: ErrNoSpace, lastWord: true},
		"the member was stopped":            {err: rpctypes.ErrStopped, is: ErrClosed, unknown: true, lastWord: true},
		"it may not":                        {err: rpctypes.ErrPermissionDenied, lastWord: true},
		"something nobody has thought of":   {err: errors.New("?"), unknown: true, lastWord: true},
		"a learner was asked":               {err: rpctypes.ErrGRPCNotSupportedForLearner, is: ErrNoQuorum},
		"the leader changed while it waits": {err: rpctypes.ErrLeaderChanged, is: ErrNoQuorum, unknown: true, lastWord: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tries := 0
			e := &Etcd{ends: []end{{}}, local: true}
			err := e.do(ctx, writing, func(context.Context, *clientv3.Client) error {
				if tries++; tries == 3 {
					cancel()
				}
				return tt.err
			})
			if tt.is != nil && !errors.Is(err, tt.is) || !errors.Is(err, tt.err) {
				t.Errorf("it is told as %v", err)
			}
			if errors.Is(err, ErrUnknown) != tt.unknown || errors.Is(err, ErrLost) {
				t.Errorf("whether it has happened: %v", err)
			}
			if (tries == 1) != tt.lastWord {
				t.Errorf("it was tried %d times", tries)
			}
		})
	}
}

func TestACallGoesOnToTheNextEndpoint(t *testing.T) {
	clients := []*clientv3.Client{{}, {}, {}}
	e := &Etcd{local: true}
	for _, c := range clients {
		e.ends = append(e.ends, end{client: c})
	}
	var asked []int
	call := func(_ context.Context, c *clientv3.Client) error {
		i := slices.Index(clients, c)
		asked = append(asked, i)
		if i < 2 {
			return rpctypes.ErrNoLeader
		}
		return nil
	}
	for range 2 {
		if err := e.do(t.Context(), writing, call); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{0, 1, 2, 2}; !slices.Equal(asked, want) {
		t.Errorf("asked were %v, want %v", asked, want)
	}
}

// shaky is a backend whose watches break and whose listings fail at first.
type shaky struct {
	Backend
	fail int
}

func (s *shaky) List(context.Context, ...string) ([]KV, cluster.Revision, error) {
	if s.fail--; s.fail >= 0 {
		return nil, 0, ErrNoQuorum
	}
	return []KV{{Key: "/baton/shop/record", Value: []byte(`{"schema":1,"epoch":7,"phase":"steady","primary":"db1"}`), Rev: 5}}, 9, nil
}

var errBroken = errors.New("broken")

func (s *shaky) Watch(ctx context.Context, _ string, after cluster.Revision) <-chan Events {
	out := make(chan Events, 1)
	if after < 9 {
		out <- Events{Err: errBroken}
	}
	return out
}

func TestAnInterruptedWatchSaysSoAndThenEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in := New(&shaky{fail: 3}, "shop", Options{}).Watch(ctx, 4)
		if b := <-in; !errors.Is(b.Err, errBroken) || !errors.Is(b.Err, ErrNoQuorum) || b.Snapshot != nil {
			t.Errorf("first %+v", b)
		}
		if b := <-in; b.Err != nil || !errors.Is(b.Why, errBroken) || b.Snapshot == nil || b.Snapshot.Record.Value.Epoch != 7 || b.Snapshot.At != 9 {
			t.Errorf("then %+v", b)
		}
		cancel()
		if b, ok := <-in; ok {
			t.Errorf("after the end: %+v", b)
		}
	})
}
