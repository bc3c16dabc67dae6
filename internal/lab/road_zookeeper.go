package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/zookeeper"
)

// A node in a ZooKeeper, which applications read.

const (
	zookeeperJar  = "/usr/share/java/zookeeper.jar"
	zookeeperNode = "/services/shop/primary"
)

func zookeeperRoad() Road {
	r := Road{
		Name: "zookeeper", Help: "a node in a ZooKeeper, which applications read",
		needs: []need{{file: "java", pack: "default-jre-headless"}, {file: zookeeperJar, pack: "libzookeeper-java"}},
		endpoint: func(l *Lab) section {
			return section{"zookeeper": section{"servers": []string{l.zookeeperAt()}, "node": zookeeperNode}}
		},
		leads: func(ctx context.Context, l *Lab) (node string, err error) {
			err = l.inZooKeeper("cl", func(e *zookeeper.Endpoint) error {
				text, _, err := e.Read(ctx)
				if err != nil {
					return err
				}
				node, err = l.nodeIn(text)
				return err
			})
			return node, err
		},
		meddle: func(ctx context.Context, l *Lab, to string) error {
			return l.inZooKeeper("cl", func(e *zookeeper.Endpoint) error {
				_, version, err := e.Read(ctx)
				if err != nil {
					return err
				}
				done, err := e.Swap(ctx, l.valueFor(to), version)
				if err == nil && !done {
					err = errors.New("somebody else was faster")
				}
				return err
			})
		},
	}
	r.daemons = func(l *Lab) []daemon {
		conf := l.path(servicesName, "zoo.cfg")
		return []daemon{{
			name: "zookeeper", host: servicesName,
			args: []string{r.program("java"), "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", zookeeperJar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", conf},
			prepare: func(context.Context) error {
				host, port, _ := strings.Cut(l.zookeeperAt(), ":")
				return writeFile(conf, fmt.Appendf(nil, "tickTime=500\ndataDir=%s\nclientPort=%s\nclientPortAddress=%s\nadmin.enableServer=false\n",
					l.path(servicesName, "zookeeper"), port, host), 0o600)
			},
			ready: func(ctx context.Context) error {
				return l.inZooKeeper(servicesName, func(e *zookeeper.Endpoint) error {
					_, _, err := e.Read(ctx)
					return err
				})
			},
		}}
	}
	return r
}

func (l *Lab) zookeeperAt() string { return l.address(servicesName) + ":2181" }

// inZooKeeper does something as a client of it on a host.
func (l *Lab) inZooKeeper(host string, do func(*zookeeper.Endpoint) error) error {
	return l.net.Do(host, func() error {
		return do(zookeeper.Open("lab", zookeeper.Options{Servers: []string{l.zookeeperAt()}, Node: zookeeperNode, Cluster: clusterName}))
	})
}

// nodeIn is the node that the value of a config store names, if what else it says of
// that node is true.
func (l *Lab) nodeIn(text []byte) (string, error) {
	var v endpoint.Value
	if err := json.Unmarshal(text, &v); err != nil {
		return "", fmt.Errorf("read %q: %w", text, err)
	}
	node, err := l.nodeAt(v.Address)
	if err == nil && (string(v.Node) != node || v.Port != Port || v.Cluster != clusterName) {
		err = fmt.Errorf("%s has that address, and it says %s", node, text)
	}
	return node, err
}

// valueFor is one that leads to a node, of no reign.
func (l *Lab) valueFor(node string) []byte {
	h, err := l.host(node)
	if err != nil {
		panic(err) // names come from this package
	}
	b, err := json.Marshal(endpoint.Value{Cluster: clusterName, Node: cluster.NodeName(node), Address: h.IPv4(), Port: Port})
	if err != nil {
		panic(err)
	}
	return b
}
