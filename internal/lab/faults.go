package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/lab/network"
)

// A Fault is one thing that can be broken.
type Fault struct {
	Name string
	Help string
	// Moves says that another node is to be primary afterwards, if the fault
	// hit the primary.
	Moves bool
	// Stops says that nobody may write while it lasts.
	Stops bool
	// ClientNet says that it takes a lab in which the clients have a network of
	// their own.
	ClientNet bool
	// Disk says that it takes a lab whose servers have disks of their own.
	Disk bool
	// Cgroup is the controller of the control group that it needs, if any.
	Cgroup string

	inject func(*Lab, context.Context, string) error
	heal   func(*Lab, context.Context, string) error
}

// Faults are all faults there are.
func Faults() []Fault {
	return append(plainFaults(), uselessFaults()...)
}

func plainFaults() []Fault {
	return []Fault{
		{Name: "crash", Moves: true, Help: "the server is killed; its host lives",
			inject: (*Lab).killServer, heal: (*Lab).StartServer},
		{Name: "power", Moves: true, Help: "the host is gone at once, with all it held, and says no goodbye",
			inject: (*Lab).cutPower, heal: (*Lab).boot},
		{Name: "link", Moves: true, Help: "the switch's port goes down; the host sees its carrier go",
			inject: (*Lab).portDown, heal: (*Lab).portUp},
		{Name: "freeze", Moves: true, Help: "the server hangs (SIGSTOP); it still accepts connections",
			inject: (*Lab).freezeServer, heal: (*Lab).thawServer},
		{Name: "agent-kill", Moves: true, Help: "the agent is killed; the server lives",
			inject: (*Lab).killAgent, heal: (*Lab).StartAgent},
		{Name: "agent-freeze", Moves: true, Help: "the agent hangs (SIGSTOP)",
			inject: (*Lab).freezeAgent, heal: (*Lab).thawAgent},
		{Name: "clients-link", Moves: true, ClientNet: true, Help: "the port of the clients' own network goes down; all else works",
			inject: func(l *Lab, ctx context.Context, h string) error { return l.net.SetClientPort(ctx, h, false) },
			heal:   func(l *Lab, ctx context.Context, h string) error { return l.net.SetClientPort(ctx, h, true) }},
		{Name: "clients-cut", Moves: true, ClientNet: true, Help: "the clients' own network loses the host in silence; all else works",
			inject: cut(func(_ *Lab, h string) network.Cut { return network.Clients(h) }), heal: (*Lab).mend},
		{Name: "partition", Moves: true, Help: "the host is cut off in silence, in both directions",
			inject: cut(func(_ *Lab, h string) network.Cut { return network.From(h).And(network.To(h)) }), heal: (*Lab).mend},
		{Name: "partition-in", Moves: true, Help: "nothing reaches the host; what it sends arrives",
			inject: cut(func(_ *Lab, h string) network.Cut { return network.To(h) }), heal: (*Lab).mend},
		{Name: "partition-out", Moves: true, Help: "nothing that the host sends arrives",
			inject: cut(func(_ *Lab, h string) network.Cut { return network.From(h) }), heal: (*Lab).mend},
		{Name: "partition-nodes", Moves: true, Help: "no other node reaches the host; all clients still do",
			inject: cut(func(l *Lab, h string) network.Cut { return network.Between([]string{h}, l.othersThan(h)) }), heal: (*Lab).mend},
		{Name: "partition-split", Moves: true, Help: "the host and half of the clients (cl2) on one side, everybody else on the other",
			inject: cut((*Lab).split), heal: (*Lab).mend},
		{Name: "store-loss", Help: "the store's members do not reach each other; agents, servers and clients do",
			inject: cut(func(*Lab, string) network.Cut {
				return network.TCPPort(PeerPort).And(network.TCPPort(externalPeerPort))
			}), heal: (*Lab).mend},
		{Name: "agents-apart", Stops: true, Help: "neither the store's members nor the agents reach each other; servers and clients do",
			inject: cut(func(*Lab, string) network.Cut {
				return network.TCPPort(PeerPort).And(network.TCPPort(externalPeerPort)).And(network.TCPPort(LinkPort))
			}), heal: (*Lab).mend},
		{Name: "store-leader", Help: "the host of the store's leader is gone; it is not the primary",
			inject: (*Lab).cutPowerOfStoreLeader, heal: (*Lab).boot},
		{Name: "store-garbage", Help: "somebody writes over facts, views and the lease in the store",
			inject: (*Lab).writeGarbage, heal: (*Lab).takeGarbage},
		{Name: "replica-restart", Moves: true, Help: "the server is killed, and a replica's server is restarted while it promises",
			inject: (*Lab).killAndRestartReplica, heal: (*Lab).StartServer},
		{Name: "duplicate", Help: "somebody gives the virtual addresses to a replica's host too, by hand; its agent takes them away",
			inject: (*Lab).giveAddresses, heal: (*Lab).takeAddresses},
		{Name: "switchover", Moves: true, Help: "no fault: a planned switch to another node",
			inject: (*Lab).switchover, heal: (*Lab).undoSwitchover},
	}
}

// FaultByName returns a fault, or says which there are.
func FaultByName(name string) (Fault, error) {
	var names []string
	for _, f := range Faults() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Fault{}, fmt.Errorf("no fault is called %q; there are %s", name, strings.Join(names, ", "))
}

// Broken is one fault that has not been healed.
type Broken struct {
	Fault  string `json:"fault"`
	Target string `json:"target"`
}

const brokenFile = "broken.json"

// Broken lists the faults that have not been healed, oldest first.
func (l *Lab) Broken() ([]Broken, error) {
	b, err := os.ReadFile(l.path(brokenFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is broken: %w", err)
	}
	var all []Broken
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("read what is broken: %w", err)
	}
	return all, nil
}

func (l *Lab) setBroken(all []Broken) error {
	b, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("note what is broken: %w", err)
	}
	return writeFile(l.path(brokenFile), b, 0o640)
}

// Target is the host that a fault hits when none is named.
func (l *Lab) Target(ctx context.Context, f Fault) (string, error) {
	if f.Name == "store-leader" && l.Store == StoreExternal {
		return l.StoreHosts()[0], nil
	}
	if f.Name == "store-leader" || f.Name == "duplicate" {
		return l.replicaOtherThan(ctx, "")
	}
	return l.Primary(ctx)
}

// Fits reports whether a fault can hit that target now.
func (l *Lab) Fits(f Fault, target string) error {
	if all := append(l.Nodes(), l.StoreHosts()...); !slices.Contains(all, target) {
		return fmt.Errorf("%s hits a node, and %q is none; there are %s", f.Name, target, strings.Join(all, ", "))
	}
	if f.ClientNet && !l.ClientNet {
		return fmt.Errorf("%s needs a network of the clients' own: `baton lab up --client-net`", f.Name)
	}
	if f.Disk && !l.Disks {
		return fmt.Errorf("%s needs servers with disks of their own: `baton lab up --disks`", f.Name)
	}
	if f.Cgroup != "" {
		if err := canCgroup(f.Cgroup); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	broken, err := l.Broken()
	if err != nil {
		return err
	}
	if slices.Contains(broken, Broken{f.Name, target}) {
		return fmt.Errorf("%s has hit %s already; `baton lab heal` ends it", f.Name, target)
	}
	return nil
}

// Inject breaks something. What it broke is noted first, so that Heal finds it
// even if Inject came to grief half-way.
func (l *Lab) Inject(ctx context.Context, f Fault, target string) error {
	unlock, err := l.lock("lab")
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.Fits(f, target); err != nil {
		return err
	}
	broken, err := l.Broken()
	if err != nil {
		return err
	}
	if err := l.setBroken(append(broken, Broken{f.Name, target})); err != nil {
		return err
	}
	if err := f.inject(l, ctx, target); err != nil {
		return fmt.Errorf("inject %s at %s: %w", f.Name, target, err)
	}
	return nil
}

// Heal ends every fault, newest first. It does not wait for the cluster.
func (l *Lab) Heal(ctx context.Context) ([]Broken, error) {
	unlock, err := l.lock("lab")
	if err != nil {
		return nil, err
	}
	defer unlock()
	broken, err := l.Broken()
	if err != nil {
		return nil, err
	}
	var healed []Broken
	for len(broken) > 0 {
		b := broken[len(broken)-1]
		f, err := FaultByName(b.Fault)
		if err != nil {
			return healed, err
		}
		if err := f.heal(l, ctx, b.Target); err != nil {
			return healed, fmt.Errorf("heal %s at %s: %w", b.Fault, b.Target, err)
		}
		healed = append(healed, b)
		broken = broken[:len(broken)-1]
		if err := l.setBroken(broken); err != nil {
			return healed, err
		}
	}
	return healed, nil
}

func (l *Lab) othersThan(node string) []string {
	return slices.DeleteFunc(l.Nodes(), func(n string) bool { return n == node })
}
