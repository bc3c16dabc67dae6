package lab

import (
	"context"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/lab/process"
)

// A HostState is what a host of the lab is doing, as the lab itself sees it.
type HostState struct {
	Host      string   `json:"host"`
	Namespace string   `json:"namespace"` // empty: the host has no power
	Address   string   `json:"address"`
	Server    string   `json:"server,omitempty"` // runs, frozen, down, silent
	Writable  bool     `json:"writable"`
	Store     string   `json:"store,omitempty"` // the external store's member: runs, frozen, down
	Agent     string   `json:"agent,omitempty"` // runs, frozen, down
	Addresses []string `json:"addresses,omitempty"`
	Readers   []string `json:"readers,omitempty"` // addresses that lead readers here
	Socket    string   `json:"socket,omitempty"`  // of the agent
}

// Look returns what every node of the lab is doing.
func (l *Lab) Look(ctx context.Context) ([]HostState, error) {
	names, err := l.net.Namespaces(ctx)
	if err != nil {
		return nil, err
	}
	writable := l.Writable(ctx)
	var states []HostState
	for _, n := range l.StoreHosts() {
		s := HostState{Host: n, Address: l.address(n), Store: l.stateOf(storeName(n))}
		if ns := l.net.Namespace(n); slices.Contains(names, ns) {
			s.Namespace = ns
		}
		states = append(states, s)
	}
	for _, n := range l.Nodes() {
		s := HostState{Host: n, Address: l.address(n)}
		if ns := l.net.Namespace(n); slices.Contains(names, ns) {
			s.Namespace = ns
		}
		if n != witnessName {
			s.Server, s.Writable = l.stateOf(serverName(n)), slices.Contains(writable, n)
			if s.Server == "runs" && !l.answers(ctx, n) {
				s.Server = "silent"
			}
		}
		if l.Manager != ByNobody {
			s.Agent = l.stateOf(agentName(n))
		}
		if l.Manager == ByBaton {
			s.Socket = l.ControlSocket(n)
		}
		for _, a := range l.Addresses() {
			if has, err := l.net.Holds(ctx, n, a); err == nil && has {
				s.Addresses = append(s.Addresses, a.String())
			}
		}
		for _, a := range l.ReaderAddresses() {
			if has, err := l.net.Holds(ctx, n, a); err == nil && has {
				s.Readers = append(s.Readers, a.String())
			}
		}
		states = append(states, s)
	}
	return states, nil
}

func (l *Lab) stateOf(name string) string {
	p, ok := process.Recorded(l.Dir, name)
	switch {
	case !ok || !p.Alive():
		return "down"
	case p.Stopped():
		return "frozen"
	}
	return "runs"
}

func (l *Lab) answers(ctx context.Context, node string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return l.ask(ctx, node, "SELECT 1", new(int)) == nil
}
