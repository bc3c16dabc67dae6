package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/lab/network"
	"github.com/baton-db/baton/internal/lab/process"
)

func (l *Lab) killServer(_ context.Context, host string) error {
	return l.signalServer(host, unix.SIGKILL)
}

func (l *Lab) freezeServer(_ context.Context, host string) error {
	return l.signalServer(host, unix.SIGSTOP)
}

func (l *Lab) signalServer(host string, sig unix.Signal) error {
	p, err := l.server(host)
	if err != nil {
		return err
	}
	return p.Signal(sig)
}

// thawServer lets a frozen server go on, or starts one if it was killed
// meanwhile, as a hung server may be.
func (l *Lab) thawServer(ctx context.Context, host string) error {
	if p, err := l.server(host); err == nil {
		if err := p.Signal(unix.SIGCONT); err != nil {
			return err
		}
	}
	return l.StartServer(ctx, host)
}

// killAgent returns when it is dead: one that dies still would be taken for alive
// by whoever starts it again.
func (l *Lab) killAgent(ctx context.Context, host string) error {
	p, err := l.agent(host)
	if err != nil {
		return err
	}
	return p.Kill(ctx)
}

func (l *Lab) freezeAgent(_ context.Context, host string) error {
	return l.signalAgent(host, unix.SIGSTOP)
}

func (l *Lab) thawAgent(_ context.Context, host string) error {
	return l.signalAgent(host, unix.SIGCONT)
}

func (l *Lab) signalAgent(host string, sig unix.Signal) error {
	p, err := l.agent(host)
	if err != nil {
		return err
	}
	return p.Signal(sig)
}

// cutPower takes a host away. The cable first: a kernel that survives its
// processes would close their connections and tell everybody.
func (l *Lab) cutPower(ctx context.Context, host string) error {
	if err := l.net.SetPort(ctx, host, false); err != nil {
		return err
	}
	h, err := l.host(host)
	if err != nil {
		return err
	}
	if h.Second {
		if err := l.net.SetClientPort(ctx, host, false); err != nil {
			return err
		}
	}
	if err := process.KillMarked(ctx, l.Dir, l.net.Namespace(host)); err != nil {
		return err
	}
	return l.net.RemoveHost(ctx, host)
}

// boot brings a host back as one that has just been switched on. The agent
// comes before the server, as their units are ordered.
func (l *Lab) boot(ctx context.Context, name string) error {
	h, err := l.host(name)
	if err != nil {
		return err
	}
	// What a half-done power cut left, or another heal has switched on already:
	// without its namespace nothing would ever reach it again.
	if err := process.KillMarked(ctx, l.Dir, l.net.Namespace(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := l.net.RemoveHost(ctx, name); err != nil {
		return err
	}
	if err := l.addHost(ctx, h); err != nil {
		return err
	}
	if slices.Contains(l.StoreHosts(), name) {
		return l.startStore(name)
	}
	if l.Manager != ByNobody {
		if err := l.StartAgent(ctx, name); err != nil {
			return err
		}
	}
	if err := l.startRoads(ctx, func(host string) bool { return host == name }); err != nil || name == witnessName {
		return err
	}
	return l.StartServer(ctx, name)
}

func (l *Lab) portDown(ctx context.Context, host string) error {
	return l.net.SetPort(ctx, host, false)
}

func (l *Lab) portUp(ctx context.Context, host string) error { return l.net.SetPort(ctx, host, true) }

// theCut is the name of the one cut that faults make.
const theCut = "fault"

// cut makes a fault of a cut through the switch.
func cut(of func(*Lab, string) network.Cut) func(*Lab, context.Context, string) error {
	return func(l *Lab, ctx context.Context, host string) error { return l.net.Cut(ctx, theCut, of(l, host)) }
}

func (l *Lab) mend(ctx context.Context, _ string) error { return l.net.Mend(ctx, theCut) }

// split puts the host and the second client on one side, everybody else on the
// other.
func (l *Lab) split(host string) network.Cut {
	rest := append(append(l.othersThan(host), l.StoreHosts()...), "cl")
	for _, h := range l.roadHosts() {
		rest = append(rest, h.Name)
	}
	if l.Routed {
		rest = append(rest, routerName)
	}
	return network.Between([]string{host, "cl2"}, rest)
}

// SetGateway plugs the gateway of the clients' own network in, or out.
func (l *Lab) SetGateway(ctx context.Context, up bool) error {
	if !l.ClientNet {
		return errors.New("this lab has no gateway of a network of the clients' own")
	}
	return l.net.SetPort(ctx, gatewayName, up)
}

func (l *Lab) giveAddresses(ctx context.Context, host string) error {
	for _, a := range l.Addresses() {
		if err := l.net.Bind(ctx, host, a); err != nil {
			return err
		}
	}
	return nil
}

// takeAddresses takes away what giveAddresses gave, unless the agent has by now.
func (l *Lab) takeAddresses(ctx context.Context, host string) error {
	for _, a := range l.Addresses() {
		has, err := l.net.Holds(ctx, host, a)
		if err != nil {
			return err
		}
		if !has {
			continue
		}
		if err := l.net.Unbind(ctx, host, a); err != nil {
			if has, look := l.net.Holds(ctx, host, a); has || look != nil {
				return errors.Join(err, look)
			}
		}
	}
	return nil
}

// killAndRestartReplica kills the primary's server and, as soon as it is dead,
// restarts a replica's: whatever that one had received and promised, it must
// not be believed any more.
func (l *Lab) killAndRestartReplica(ctx context.Context, primary string) error {
	if err := l.killServer(ctx, primary); err != nil {
		return err
	}
	for _, n := range l.DataNodes() {
		if n == primary {
			continue
		}
		p, err := l.server(n)
		if err != nil {
			return err
		}
		if err := p.Kill(ctx); err != nil {
			return err
		}
		return l.StartServer(ctx, n)
	}
	return errors.New("there is no replica")
}

func (l *Lab) switchover(ctx context.Context, _ string) error {
	if l.Manager == ByKeepalived {
		return l.stopKeepalived(ctx)
	}
	return l.Switchover(ctx, "")
}

// Switchover asks for a planned switch, as a person would, and returns once it
// is done. Without a name the cluster chooses.
func (l *Lab) Switchover(ctx context.Context, to string) error {
	primary, err := l.Primary(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	args := []string{"switchover", "--socket", l.ControlSocket(primary), "--why", "the lab asks"}
	if to != "" {
		args = append(args, "--to", to)
	}
	if out, err := exec.CommandContext(ctx, l.Binary, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("baton switchover: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
