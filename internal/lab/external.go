package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/baton-db/baton/internal/lab/process"
	"github.com/baton-db/baton/internal/store"
)

// Ports of the external store's members.
const (
	externalPort     = 2379
	externalPeerPort = 2380
)

// StoreHosts are the hosts of the external store, in order; none if the agents
// keep it.
func (l *Lab) StoreHosts() []string {
	if l.Store == StoreExternal {
		return []string{"et1", "et2", "et3"}
	}
	return nil
}

// storeName is under which a member of the external store is recorded.
func storeName(host string) string { return host + "-etcd" }

func (l *Lab) storeEndpoints() []string {
	var all []string
	for _, h := range l.StoreHosts() {
		all = append(all, fmt.Sprintf("https://%s:%d", l.address(h), externalPort))
	}
	return all
}

// storeTLS is how an agent shows itself to the external store. One certificate
// for all: the store's authority knows clients, not nodes.
func (l *Lab) storeTLS() map[string]string {
	client := l.StoreHosts()[0]
	return map[string]string{"ca": l.path("tls", "ca.crt"), "cert": l.path("tls", client+".crt"), "key": l.path("tls", client+".key")}
}

// buildStore starts the external store, if there is one. It does not wait: the
// agents do.
func (l *Lab) buildStore() error {
	for _, h := range l.StoreHosts() {
		if err := os.MkdirAll(l.path(h), 0o700); err != nil {
			return fmt.Errorf("make the directory of %s: %w", h, err)
		}
		if err := l.startStore(h); err != nil {
			return err
		}
	}
	return nil
}

// startStore starts a member of the external store unless it runs.
func (l *Lab) startStore(host string) error {
	if p, ok := process.Recorded(l.Dir, storeName(host)); ok && p.Alive() {
		return nil
	}
	client, peer := fmt.Sprintf("https://%s:%d", l.address(host), externalPort), fmt.Sprintf("https://%s:%d", l.address(host), externalPeerPort)
	var initial []string
	for _, h := range l.StoreHosts() {
		initial = append(initial, fmt.Sprintf("%s=https://%s:%d", h, l.address(h), externalPeerPort))
	}
	ca, cert, key := l.path("tls", "ca.crt"), l.path("tls", host+".crt"), l.path("tls", host+".key")
	_, err := process.Start(process.Spec{
		Lab: l.Dir, Name: storeName(host), Namespace: l.net.Namespace(host), Log: l.path(host, "etcd.log"),
		Args: []string{
			"etcd", "--name", host, "--data-dir", l.path(host, "etcd"),
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-token", l.Name,
			"--client-cert-auth", "--trusted-ca-file", ca, "--cert-file", cert, "--key-file", key,
			"--peer-client-cert-auth", "--peer-trusted-ca-file", ca, "--peer-cert-file", cert, "--peer-key-file", key,
			"--heartbeat-interval", "20", "--election-timeout", "200", "--logger", "zap",
		},
	})
	return err
}

// dialExternal connects to the external store from a client's host.
func (l *Lab) dialExternal() (*store.Etcd, error) {
	tls, err := l.clientTLS()
	if err != nil {
		return nil, err
	}
	from := l.Clients()[0]
	return store.Dial(store.DialOptions{Endpoints: l.storeEndpoints(), TLS: tls, Dialer: func(ctx context.Context, address string) (net.Conn, error) {
		return l.net.DialContext(ctx, from, "tcp", address)
	}})
}

func (l *Lab) clientTLS() (*tls.Config, error) {
	files := l.storeTLS()
	pair, err := tls.LoadX509KeyPair(files["cert"], files["key"])
	if err != nil {
		return nil, fmt.Errorf("read the certificate for the store: %w", err)
	}
	pem, err := os.ReadFile(files["ca"])
	if err != nil {
		return nil, fmt.Errorf("read the store's authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
