package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/baton-db/baton/internal/endpoint"
)

// appKey is the key in which applications of a lab find the primary, where there is
// an etcd of somebody else's.
const appKey = "/app/primary"

// AppEndpoint is the name of the endpoint behind it.
const AppEndpoint = "app-config"

// endpoints is the agents' configuration of what leads clients beside addresses.
func (l *Lab) endpoints() []section {
	all := slices.Clone(l.Endpoints)
	if l.Store == StoreExternal {
		all = append(all, section{"name": AppEndpoint, "check": "1s", "etcd": section{"endpoints": l.storeEndpoints(), "key": appKey, "tls": l.storeTLS()}})
	}
	return all
}

// onAppKey does something with the key, as a client's host reaches it.
func (l *Lab) onAppKey(do func(*clientv3.Client) error) error {
	tls, err := l.clientTLS()
	if err != nil {
		return err
	}
	from := l.Clients()[0]
	c, err := clientv3.New(clientv3.Config{Endpoints: l.storeEndpoints(), TLS: tls, Logger: zap.NewNop(), DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return l.net.DialContext(ctx, from, "tcp", address)
		}),
	}})
	if err != nil {
		return fmt.Errorf("connect to the applications' etcd: %w", err)
	}
	return errors.Join(do(c), c.Close())
}

// AppPrimary is who applications are told is the primary.
func (l *Lab) AppPrimary(ctx context.Context) (v endpoint.Value, err error) {
	err = l.onAppKey(func(c *clientv3.Client) error {
		got, err := c.Get(ctx, appKey)
		switch {
		case err != nil:
			return fmt.Errorf("read %s: %w", appKey, err)
		case len(got.Kvs) == 0:
			return fmt.Errorf("read %s: there is no such key", appKey)
		}
		return json.Unmarshal(got.Kvs[0].Value, &v)
	})
	return v, err
}

// MeddleWithApp writes something else there, as a person might.
func (l *Lab) MeddleWithApp(ctx context.Context, value string) error {
	return l.onAppKey(func(c *clientv3.Client) error {
		_, err := c.Put(ctx, appKey, value)
		return err
	})
}
