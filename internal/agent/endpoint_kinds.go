package agent

import (
	"log/slog"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/consul"
	"github.com/baton-db/baton/internal/endpoint/etcdkey"
	"github.com/baton-db/baton/internal/endpoint/zookeeper"
	"github.com/baton-db/baton/internal/httpcall"
)

// endpointKinds is every kind of central endpoint that this build has, by the name of
// its block in the configuration.
func endpointKinds() endpoint.Registry[opening] {
	return endpoint.Registry[opening]{
		"etcd":      openEtcdKey,
		"consul":    openConsul,
		"zookeeper": openZooKeeper,
	}
}

// opening is what an endpoint is made from.
type opening struct {
	config.Endpoint
	config *config.Config
	secret config.Secret // what its block's password file holds
	log    *slog.Logger
}

func openEtcdKey(o opening) (endpoint.Endpoint, error) {
	tls, err := clientTLS(o.Etcd.TLS)
	if err != nil {
		return nil, err
	}
	return etcdkey.Open(o.Name, etcdkey.Options{URLs: o.Etcd.Endpoints, Key: o.Etcd.Key, User: o.Etcd.User, Password: o.secret.Reveal(),
		TLS: tls, Cluster: o.config.Cluster, Calls: o.Timeout}), nil
}

func openConsul(o opening) (endpoint.Endpoint, error) {
	tls, err := clientTLS(o.Consul.TLS)
	if err != nil {
		return nil, err
	}
	return consul.Open(o.Name, consul.Options{URLs: o.Consul.URLs, Key: o.Consul.Key, Token: o.secret.Reveal(), Datacenter: o.Consul.Datacenter,
		Client: httpcall.Client{TLS: tls}, Cluster: o.config.Cluster}), nil
}

func openZooKeeper(o opening) (endpoint.Endpoint, error) {
	z := zookeeper.Options{Servers: o.ZooKeeper.Servers, Node: o.ZooKeeper.Node, User: o.ZooKeeper.User, Password: o.secret.Reveal(), Cluster: o.config.Cluster}
	if o.ZooKeeper.Encrypted {
		tls, err := clientTLS(o.ZooKeeper.TLS)
		if err != nil {
			return nil, err
		}
		z.TLS = tls
	}
	return zookeeper.Open(o.Name, z), nil
}
