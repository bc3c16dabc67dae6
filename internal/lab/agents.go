package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab/network"
	"github.com/baton-db/baton/internal/lab/process"
)

func agentName(node string) string { return node + "-agent" }

// ConfigFile is the configuration of a node's agent.
func (l *Lab) ConfigFile(node string) string { return l.path(node, "baton.yaml") }

// ControlSocket is where a node's agent takes commands.
func (l *Lab) ControlSocket(node string) string {
	return l.path(node, "run", clusterName+".sock")
}

// section is one block of the configuration file.
type section = map[string]any

// agentConfig is the configuration file of a node. The hosts of a lab share
// one file system, so paths differ where on real hosts they would not.
func (l *Lab) agentConfig(node string) section {
	var nodes, addresses []section
	for _, n := range l.DataNodes() {
		nodes = append(nodes, section{"name": n, "role": "data", "address": l.address(n)})
	}
	if l.Witness {
		nodes = append(nodes, section{"name": witnessName, "role": "witness", "address": l.address(witnessName)})
	}
	for _, a := range l.Addresses() {
		virtual := section{"address": a.String(), "interface": network.Card(a)}
		if l.VirtualMAC {
			virtual["mac"] = "auto"
		}
		addresses = append(addresses, virtual)
	}
	password := func(name string) string { return l.path("secrets", name+".password") }
	keeper := section{"peer_port": PeerPort}
	if l.Store == StoreExternal {
		keeper = section{"endpoints": l.storeEndpoints(), "tls": l.storeTLS()}
	}
	detection := section{}
	if l.ClientNet {
		detection["track"] = []section{{"interface": "eth1", "gateway": "10.77.2.1"}}
	}
	durability := section{}
	if l.Async {
		durability["mode"] = string(cluster.Async)
		if l.BackFill != "" {
			durability["back_fill"] = l.BackFill
		}
	}
	config := section{
		"node": node, "cluster": clusterName, "profile": l.Profile, "mode": string(l.modeOf(node)),
		"data_dir": l.path(node, "state"), "run_dir": filepath.Dir(l.ControlSocket(node)),
		"nodes": nodes, "addresses": addresses, "endpoints": l.endpoints(),
		"store": keeper, "peer": section{"port": LinkPort},
		"tls": section{"ca": l.path("tls", "ca.crt"), "cert": l.path("tls", node+".crt"), "key": l.path("tls", node+".key")},
		"server": section{
			"flavor": l.Flavor, "port": Port, "extra_port": Port + 1, "socket": l.socket(node),
			"binlog_program": l.client(l.words().binlog),
			"user":           agentUser, "password_file": password("agent"),
			"replication": section{"user": replicationUser, "password_file": password("repl")},
			"probe":       section{"user": probeUser, "password_file": password("probe")},
			"start":       []string{l.Binary, "lab", "server", "start", node, "--dir", l.Dir, "--name", l.Name},
			"stop":        []string{l.Binary, "lab", "server", "stop", node, "--dir", l.Dir, "--name", l.Name},
			"datadir":     l.dataDir(node),
			"program":     []string{l.Program, "--defaults-file=" + l.path(node, "my.cnf")},
		},
		// A bench breaks things again and again.
		"detection":  detection,
		"durability": durability,
		// What is done with a diverged server is each test's business.
		"rejoin":     section{"acknowledged": "hold", "unacknowledged": l.rejoins()},
		"automation": section{"cool_down": "0s", "max_per_hour": 0},
		"log":        section{"level": "debug"},
		"http":       section{"listen": []string{fmt.Sprintf("%s:%d", l.address(node), HTTPPort)}},
	}
	if l.Readers {
		config["readers"] = l.readers()
	}
	l.configureRoads(config)
	return config
}

// rejoins is what becomes of transactions that no client was told of.
func (l *Lab) rejoins() string {
	if l.Rewind {
		return string(cluster.Rewind)
	}
	return string(cluster.Hold)
}

func (l *Lab) buildAgents(ctx context.Context) error {
	if err := l.writeCertificates(); err != nil {
		return err
	}
	if err := l.buildStore(); err != nil {
		return err
	}
	if err := l.writeRoadFiles(); err != nil {
		return err
	}
	return l.onAll(l.Nodes(), func(n string) error {
		for _, dir := range []string{l.path(n, "state"), filepath.Dir(l.ControlSocket(n))} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return fmt.Errorf("make a directory for the agent of %s: %w", n, err)
			}
		}
		if err := l.writeAgentConfig(n); err != nil {
			return err
		}
		return l.StartAgent(ctx, n)
	})
}

// StartAgent starts a node's agent, or what the lab has in its place, unless
// it runs.
func (l *Lab) StartAgent(_ context.Context, node string) error {
	if p, ok := process.Recorded(l.Dir, agentName(node)); ok && p.Alive() {
		return nil
	}
	spec := process.Spec{
		Lab: l.Dir, Name: agentName(node), Namespace: l.net.Namespace(node),
		Args: []string{l.Binary, "run", "--config", l.ConfigFile(node)}, Log: l.path(node, "agent.log"),
		Env: []string{"BATON_DIE_AT=" + l.dieAt(node), "BATON_CLOCK_AHEAD=" + l.clockAhead(node)},
	}
	if l.Manager == ByKeepalived {
		// It takes any process that has the number in an old file for itself.
		for _, f := range []string{"keepalived.pid", "vrrp.pid"} {
			if err := os.Remove(l.path(node, f)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove a stale pid file: %w", err)
			}
		}
		spec.Args, spec.Log = l.keepalivedArgs(node), l.path(node, "keepalived.log")
	}
	_, err := process.Start(spec)
	return err
}

// agent is the running agent of a node.
func (l *Lab) agent(node string) (process.Process, error) {
	p, ok := process.Recorded(l.Dir, agentName(node))
	if !ok || !p.Alive() {
		return p, fmt.Errorf("no agent runs on %s", node)
	}
	return p, nil
}

// Reconfigure edits every node's configuration file and has the agents read it.
func (l *Lab) Reconfigure(edit func(text string) string) error {
	for _, n := range l.Nodes() {
		b, err := os.ReadFile(l.ConfigFile(n))
		if err != nil {
			return fmt.Errorf("edit the configuration of %s: %w", n, err)
		}
		if err := writeFile(l.ConfigFile(n), []byte(edit(string(b))), 0o640); err != nil {
			return err
		}
		if err := l.signalAgent(n, unix.SIGHUP); err != nil {
			return err
		}
	}
	return nil
}

// askAgent is how long an agent may take to answer the lab.
const askAgent = 2 * time.Second

// ClusterStatus is what a node's agent says of the cluster.
func (l *Lab) ClusterStatus(ctx context.Context, node string) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askAgent)
	defer cancel()
	c := api.NewClient(l.ControlSocket(node))
	defer c.Close()
	st, err := c.Status(ctx)
	if err != nil {
		return api.Status{}, fmt.Errorf("ask the agent of %s: %w", node, err)
	}
	return st, nil
}
