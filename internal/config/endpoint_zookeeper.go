package config

import (
	"fmt"
	"net"
	"path"
	"strings"
)

// ZooKeeperNode is a node in a ZooKeeper.
type ZooKeeperNode struct {
	Servers      []string `key:"servers"`
	Node         string   `key:"node"`
	User         string   `key:"user"`
	PasswordFile string   `key:"password_file"`
	Encrypted    bool     `key:"encrypted"`
	TLS          TLS      `key:"tls"`
}

func zooKeeperKeys() []Key {
	return append([]Key{
		key("endpoints[].zookeeper.servers", Words).same().like("[10.0.0.1:2181, 10.0.0.2:2181]").
			doc("A node in a ZooKeeper: its servers with the ports for clients, tried one after the other. The value is that of etcd. It is written under the version that was read, and refuses an older epoch."),
		key("endpoints[].zookeeper.node", Text).same().like("/services/shop/primary").
			doc("The node's path. Where it is missing it is made, with those above it."),
		key("endpoints[].zookeeper.user", Text).same().like("baton").
			doc("Name for its scheme digest; empty: none. A node that is made then belongs to that user, and everybody may read it."),
		key("endpoints[].zookeeper.password_file", File).same().
			doc("The file that holds that user's password."),
		key("endpoints[].zookeeper.encrypted", YesNo).byDefault("false").same().
			doc("Whether its servers are reached over TLS."),
	}, tlsKeys("endpoints[].zookeeper")...)
}

func (l *loader) judgeZooKeeper(block string, endpoint Endpoint) {
	e := endpoint.ZooKeeper
	if len(e.Servers) == 0 {
		l.report(block+".servers", "is missing", "write its servers, such as [10.0.0.1:2181]")
	}
	for i, s := range e.Servers {
		if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
			l.report(at(block+".servers", i, ""), fmt.Sprintf("%q is no server of a ZooKeeper", s), "write it as 10.0.0.1:2181")
		}
	}
	switch {
	case strings.TrimSpace(e.Node) == "":
		l.report(block+".node", "is missing", "write the path, such as /services/"+l.cfg.Cluster+"/primary")
	case !strings.HasPrefix(e.Node, "/") || path.Clean(e.Node) != e.Node || e.Node == "/":
		l.report(block+".node", fmt.Sprintf("%q is no path of a node", e.Node), "write it as /services/"+l.cfg.Cluster+"/primary")
	}
	if (e.User == "") != (e.PasswordFile == "") {
		l.report(block+".user", "a user and a password belong together", "give both user and password_file, or neither")
	}
	if e.TLS != (TLS{}) && !e.Encrypted {
		l.report(block+".tls", "nothing is encrypted", "add encrypted: true, or remove tls")
	}
	l.judgeTLS(block, e.TLS)
}
