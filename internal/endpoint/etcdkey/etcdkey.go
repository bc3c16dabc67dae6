// Package etcdkey answers which primary a key in somebody else's etcd names, and
// makes it name another: applications and templates that watch the key follow.
//
// It is not the cluster's own store (package store), from which nothing is
// concluded here. The rule: a value of a newer reign is never overwritten,
// whoever wrote it; the comparison and the write are one transaction.
package etcdkey

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/baton-db/baton/internal/endpoint"
)

// Options say which key of which etcd it is.
type Options struct {
	URLs     []string
	Key      string
	User     string
	Password string
	TLS      *tls.Config // nil: plain text
	Cluster  string      // Baton's, written into the value
	// Calls is about how long one call may take; a connection that is silent for
	// longer is opened anew.
	Calls time.Duration
}

// Endpoint is one key. It implements endpoint.Endpoint.
type Endpoint struct {
	endpoint.InCell
	o Options

	mu     sync.Mutex
	client *clientv3.Client // nil until it is needed
}

// Open prepares the use of a key. It connects to nobody.
func Open(name string, o Options) *Endpoint {
	e := &Endpoint{o: o}
	e.InCell = endpoint.InCell{Name: name, Key: o.Key, Cluster: o.Cluster, Cell: e}
	return e
}

// use returns the client. Making one with a user asks for a token, which takes
// the time of a call.
func (e *Endpoint) use(ctx context.Context) (*clientv3.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client != nil {
		return e.client, nil
	}
	wait := e.o.Calls
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: e.o.URLs, TLS: e.o.TLS, Username: e.o.User, Password: e.o.Password,
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: max(e.o.Calls, time.Second),
		DialTimeout: max(wait, time.Millisecond), // of the token
		Logger:      zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("log in to etcd as %q: %w", e.o.User, err)
	}
	e.client = client
	return client, nil
}

// Close ends its connections.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client == nil {
		return nil
	}
	if err := e.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("endpoint %s: close the connection to etcd: %w", e.Name, err)
	}
	return nil
}

// Read implements endpoint.Cell. The revision of a key that is not there is 0.
func (e *Endpoint) Read(ctx context.Context) ([]byte, int64, error) {
	client, err := e.use(ctx)
	if err != nil {
		return nil, 0, err
	}
	got, err := client.Get(ctx, e.o.Key)
	if err != nil || len(got.Kvs) == 0 {
		return nil, 0, err
	}
	return append([]byte{}, got.Kvs[0].Value...), got.Kvs[0].ModRevision, nil
}

// Swap implements endpoint.Cell.
func (e *Endpoint) Swap(ctx context.Context, text []byte, revision int64) (bool, error) {
	client, err := e.use(ctx)
	if err != nil {
		return false, err
	}
	done, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(e.o.Key), "=", revision)).
		Then(clientv3.OpPut(e.o.Key, string(text))).Commit()
	if err != nil {
		return false, err
	}
	return done.Succeeded, nil
}
