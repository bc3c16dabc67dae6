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
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/baton-db/baton/internal/core/cluster"
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

// Value is what the key holds, as JSON.
type Value struct {
	Cluster string           `json:"cluster"`
	Epoch   cluster.Epoch    `json:"epoch"`
	Node    cluster.NodeName `json:"node"`
	Address netip.Addr       `json:"address,omitzero"`
	Port    int              `json:"port,omitempty"`
}

// Endpoint is one key. It implements endpoint.Endpoint.
type Endpoint struct {
	name string
	o    Options

	mu     sync.Mutex
	client *clientv3.Client // nil until it is needed
}

// Open prepares the use of a key. It connects to nobody.
func Open(name string, o Options) *Endpoint { return &Endpoint{name: name, o: o} }

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
		return fmt.Errorf("endpoint %s: close the connection to etcd: %w", e.name, err)
	}
	return nil
}

// Observe implements endpoint.Endpoint. A key that is missing leads nowhere; a
// value that Baton did not write is an error, and Set overwrites it.
func (e *Endpoint) Observe(ctx context.Context) (endpoint.Target, error) {
	v, _, err := e.read(ctx)
	if err != nil {
		return endpoint.Target{}, err
	}
	return v.target(), nil
}

func (v Value) target() endpoint.Target {
	t := endpoint.Target{Epoch: v.Epoch, Node: v.Node, Port: v.Port}
	if v.Address.IsValid() {
		t.Addresses = []netip.Addr{v.Address}
	}
	return t
}

// ForeignError says that the key holds what Baton did not write.
type ForeignError struct {
	Key   string
	Value string
	Why   error
}

func (e *ForeignError) Error() string {
	const most = 80
	shown := e.Value
	if len(shown) > most {
		shown = shown[:most] + "…"
	}
	return fmt.Sprintf("%s holds %q, which is not of Baton's making: %v", e.Key, shown, e.Why)
}

// Unwrap returns endpoint.ErrForeign and what is wrong with the value.
func (e *ForeignError) Unwrap() []error { return []error{endpoint.ErrForeign, e.Why} }

// read returns the value and the revision at which it was written; 0 if there is
// no key.
func (e *Endpoint) read(ctx context.Context) (v Value, revision int64, err error) {
	client, err := e.use(ctx)
	if err != nil {
		return Value{}, 0, err
	}
	got, err := client.Get(ctx, e.o.Key)
	if err != nil {
		return Value{}, 0, fmt.Errorf("read %s: %w", e.o.Key, ended(ctx, err))
	}
	if len(got.Kvs) == 0 {
		return Value{}, 0, nil
	}
	kv := got.Kvs[0]
	if err := json.Unmarshal(kv.Value, &v); err != nil {
		return Value{}, kv.ModRevision, &ForeignError{e.o.Key, string(kv.Value), err}
	}
	if v.Cluster != e.o.Cluster {
		return Value{}, kv.ModRevision, &ForeignError{e.o.Key, string(kv.Value), fmt.Errorf("it is of cluster %q, not %q", v.Cluster, e.o.Cluster)}
	}
	return v, kv.ModRevision, nil
}

// ended returns the context's own error where that is why a call failed: gRPC
// gives it back in words of its own.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Set implements endpoint.Endpoint.
func (e *Endpoint) Set(ctx context.Context, target endpoint.Target) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	want := Value{Cluster: e.o.Cluster, Epoch: target.Epoch, Node: target.Node, Port: target.Port}
	if len(target.Addresses) > 0 {
		want.Address = target.Addresses[0]
	}
	text, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("encode the value of %s: %w", e.o.Key, err)
	}
	for {
		have, revision, err := e.read(ctx)
		var foreign *ForeignError
		switch {
		case errors.As(err, &foreign): // the key was given to Baton
		case err != nil:
			return err
		case have.Epoch > want.Epoch:
			return &endpoint.OldEpochError{Endpoint: e.name, Asked: want.Epoch, Known: have.Epoch}
		case have == want:
			return nil
		}
		client, err := e.use(ctx)
		if err != nil {
			return err
		}
		done, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(e.o.Key), "=", revision)).
			Then(clientv3.OpPut(e.o.Key, string(text))).Commit()
		if err != nil {
			return fmt.Errorf("write %s: %w", e.o.Key, ended(ctx, err))
		}
		if done.Succeeded {
			return nil
		}
		// Somebody was faster: look again at what is there now.
	}
}
