package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/baton-db/baton/internal/core/cluster"
)

// DialOptions say how an external etcd is reached.
type DialOptions struct {
	Endpoints []string    // client URLs, the preferred one first
	TLS       *tls.Config // nil: plain text
	// Dialer connects to a host and port; nil: from this host.
	Dialer func(ctx context.Context, address string) (net.Conn, error)
	// Silence is how long a watch may hear nothing, not even an answer to the
	// question whether the other end is alive, before it goes to the next
	// endpoint; 0 means 1 s. Half the lease is a good value.
	Silence time.Duration
	Log     *slog.Logger // nil: slog.Default
}

// Etcd is a Backend on etcd's own client. Each endpoint has a client of its own
// and one of them is asked at a time: etcd's balancer, which spreads calls over
// all of them, goes on giving every third call to a host that is frozen.
type Etcd struct {
	ends    []end
	at      atomic.Uint32 // which of ends is asked
	local   bool          // there is no network between
	silence time.Duration
	probe   func(ctx context.Context, m Member) error
	log     *slog.Logger
}

type end struct {
	client *clientv3.Client
	url    string
}

// Dial prepares the use of an external etcd. It does not wait for a connection:
// an endpoint that is down is tried when it is its turn.
func Dial(o DialOptions) (*Etcd, error) {
	if len(o.Endpoints) == 0 {
		return nil, errors.New("dial the store: no endpoint is given")
	}
	if o.Silence == 0 {
		o.Silence = time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e := &Etcd{silence: o.Silence, log: o.Log}
	for _, url := range o.Endpoints {
		cfg := clientv3.Config{
			Endpoints: []string{url},
			TLS:       o.TLS,
			// 10 s is the least that gRPC sends. What finds a dead endpoint
			// sooner are the deadlines of calls and Silence.
			DialKeepAliveTime:    10 * time.Second,
			DialKeepAliveTimeout: 3 * time.Second,
			MaxUnaryRetries:      1, // the retries are ours: at another endpoint
			DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
				// An endpoint that comes back is used again within a second.
				Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
				MinConnectTimeout: 5 * time.Second,
			})},
			Logger: zap.NewNop(),
		}
		if o.Dialer != nil {
			cfg.DialOptions = append(cfg.DialOptions, grpc.WithContextDialer(o.Dialer))
		}
		c, err := clientv3.New(cfg)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("dial the store at %s: %w", url, err), e.Close())
		}
		e.ends = append(e.ends, end{c, url})
	}
	return e, nil
}

// Local returns a backend on the client of a member in this process (package
// embed). The probe tells whether another member answers. Whoever made the
// client closes it.
func Local(c *clientv3.Client, probe func(ctx context.Context, m Member) error, log *slog.Logger) *Etcd {
	return &Etcd{ends: []end{{client: c}}, local: true, probe: probe, log: log}
}

// Close ends all watches and connections of Dial.
func (e *Etcd) Close() error {
	if e.local {
		return nil
	}
	var errs []error
	for _, end := range e.ends {
		if err := end.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("close the connection to %s: %w", end.url, err))
		}
	}
	return errors.Join(errs...)
}

// Get implements Backend.
func (e *Etcd) Get(ctx context.Context, key string) (KV, error) {
	kv := KV{Key: key}
	err := e.do(ctx, reading, func(ctx context.Context, c *clientv3.Client) error {
		resp, err := c.Get(ctx, key)
		if err == nil && len(resp.Kvs) == 1 {
			kv.Value, kv.Rev = resp.Kvs[0].Value, cluster.Revision(resp.Kvs[0].ModRevision)
		}
		return err
	})
	return kv, err
}

// List implements Backend.
func (e *Etcd) List(ctx context.Context, prefixes ...string) ([]KV, cluster.Revision, error) {
	return e.list(ctx, prefixes)
}

// Keys implements Backend.
func (e *Etcd) Keys(ctx context.Context, prefix string) ([]KV, error) {
	kvs, _, err := e.list(ctx, []string{prefix}, clientv3.WithKeysOnly())
	return kvs, err
}

func (e *Etcd) list(ctx context.Context, prefixes []string, opts ...clientv3.OpOption) ([]KV, cluster.Revision, error) {
	var kvs []KV
	var at cluster.Revision
	opts = append(opts, clientv3.WithPrefix())
	ops := make([]clientv3.Op, len(prefixes))
	for i, p := range prefixes {
		ops[i] = clientv3.OpGet(p, opts...)
	}
	err := e.do(ctx, reading, func(ctx context.Context, c *clientv3.Client) error {
		// One transaction: all ranges are read at one revision.
		resp, err := c.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			return err
		}
		kvs, at = nil, cluster.Revision(resp.Header.Revision)
		for _, r := range resp.Responses {
			for _, kv := range r.GetResponseRange().Kvs {
				kvs = append(kvs, KV{Key: string(kv.Key), Value: kv.Value, Rev: cluster.Revision(kv.ModRevision)})
			}
		}
		return nil
	})
	return kvs, at, err
}

// Commit implements Backend.
func (e *Etcd) Commit(ctx context.Context, guards []Guard, ops []Op) (cluster.Revision, error) {
	ifs := make([]clientv3.Cmp, len(guards))
	elses := make([]clientv3.Op, len(guards))
	for i, g := range guards {
		ifs[i] = clientv3.Compare(clientv3.ModRevision(g.Key), "=", int64(g.Rev))
		elses[i] = clientv3.OpGet(g.Key, clientv3.WithKeysOnly())
	}
	thens := make([]clientv3.Op, len(ops))
	for i, op := range ops {
		switch {
		case op.Value != nil:
			thens[i] = clientv3.OpPut(op.Key, string(op.Value))
		case op.Prefix:
			thens[i] = clientv3.OpDelete(op.Key, clientv3.WithPrefix())
		default:
			thens[i] = clientv3.OpDelete(op.Key)
		}
	}
	var rev cluster.Revision
	err := e.do(ctx, writing, func(ctx context.Context, c *clientv3.Client) error {
		resp, err := c.Txn(ctx).If(ifs...).Then(thens...).Else(elses...).Commit()
		if err != nil {
			return err
		}
		if !resp.Succeeded {
			return lost(guards, resp)
		}
		rev = cluster.Revision(resp.Header.Revision)
		return nil
	})
	return rev, err
}

// lost says which guard did not hold.
func lost(guards []Guard, resp *clientv3.TxnResponse) error {
	for i, g := range guards {
		var is cluster.Revision
		if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) == 1 {
			is = cluster.Revision(kvs[0].ModRevision)
		}
		if is != g.Rev {
			return fmt.Errorf("%w: %s is at revision %d, not at %d", ErrLost, g.Key, is, g.Rev)
		}
	}
	return ErrLost
}
