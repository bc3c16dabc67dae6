package config

import "testing"

// Each case is one endpoint in a good file, on line 12.
func TestWhatIsWrongWithAKeyInAConfigStore(t *testing.T) {
	const here = "baton.yaml:12: endpoints[0]."
	for name, tt := range map[string]struct {
		block string
		want  []string
	}{
		"a whole Consul":    {"consul: {urls: ['http://127.0.0.1:8500'], key: services/shop, token_file: t}", nil},
		"a whole ZooKeeper": {"zookeeper: {servers: ['10.0.0.1:2181'], node: /services/shop, user: baton, password_file: p, encrypted: true, tls: {ca: ca.crt}}", nil},
		"a Consul without anything": {"consul: {datacenter: dc1}", []string{
			here + "consul.urls: is missing; write where Consul's HTTP API is, such as [http://127.0.0.1:8500]",
			here + "consul.key: is missing; write the key, such as services/shop/primary",
		}},
		"a Consul's odd parts": {"consul: {urls: ['127.0.0.1:8500', 'http://me:hunter2@10.0.0.1:8500'], key: /services/shop, tls: {cert: c}}", []string{
			here + `consul.urls[0]: "127.0.0.1:8500" is no URL of a Consul; write it as http://127.0.0.1:8500`,
			here + "consul.urls[1]: a password in a URL would be shown to everybody; write it without, as http://127.0.0.1:8500; secrets are in files",
			here + "consul.key: Consul's keys do not begin with a slash; write services/shop",
			here + "consul.tls: a certificate and its key belong together; give both tls.cert and tls.key, or neither",
		}},
		"a ZooKeeper without anything": {"zookeeper: {encrypted: false}", []string{
			here + "zookeeper.servers: is missing; write its servers, such as [10.0.0.1:2181]",
			here + "zookeeper.node: is missing; write the path, such as /services/shop/primary",
		}},
		"a ZooKeeper's odd parts": {"zookeeper: {servers: ['10.0.0.1'], node: services/, user: baton, tls: {key: k}}", []string{
			here + `zookeeper.servers[0]: "10.0.0.1" is no server of a ZooKeeper; write it as 10.0.0.1:2181`,
			here + `zookeeper.node: "services/" is no path of a node; write it as /services/shop/primary`,
			here + "zookeeper.user: a user and a password belong together; give both user and password_file, or neither",
			here + "zookeeper.tls: nothing is encrypted; add encrypted: true, or remove tls",
			here + "zookeeper.tls: a certificate and its key belong together; give both tls.cert and tls.key, or neither",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wantFindings(t, good+"endpoints:\n  - {name: app, "+tt.block+"}\n", tt.want...)
		})
	}
}
