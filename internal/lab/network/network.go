// Package network builds the hosts of a lab from network namespaces: a switch
// (a namespace with a bridge), and hosts that hang on it by veth cables.
//
// It never touches the machine's own network: nothing leads from a lab to the
// outside. The one rule: it removes only namespaces that carry the lab's own
// prefix.
package network

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
)

// A Host is a machine of the lab with one network card, eth0.
type Host struct {
	Name    string
	Number  int  // last part of its addresses, 1 to 254
	Network int  // 0: on the switch; 1: behind the router; ClientNet: on the clients' own switch
	Router  bool // forwards between the switch and network 1
	// Second says that the host has another card, eth1, in ClientNet.
	Second bool
}

// ClientNet is the network that the clients have to themselves, if they do.
const ClientNet = 2

// OnSecond is the host by its other card, as a host of its own.
func (h Host) OnSecond() Host { return Host{Name: h.Name, Number: h.Number, Network: ClientNet} }

// IPv4 is the host's address.
func (h Host) IPv4() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, byte(h.Network), byte(h.Number)})
}

// IPv6 is the host's address.
func (h Host) IPv6() netip.Addr {
	a := netip.MustParseAddr("fd77::").As16()
	a[3], a[15] = byte(h.Network), byte(h.Number)
	return netip.AddrFrom16(a)
}

// MAC is the hardware address of the host's card.
func (h Host) MAC() string { return fmt.Sprintf("02:00:0a:4d:%02x:%02x", h.Network, h.Number) }

// A Network is the hosts and the switch of one lab.
type Network struct {
	Prefix string // of all namespaces, such as "baton-lab-"
}

const switchName = "sw"

// Namespace is the network namespace of a host.
func (n Network) Namespace(host string) string { return n.Prefix + host }

func (n Network) switchNamespace() string { return n.Prefix + switchName }

// port is the name of a host's port on the switch.
func port(host string) string { return "p-" + host }

// clientPort is the name of the port of a host's second card.
func clientPort(host string) string { return "c-" + host }

// bridge is the switch of a network.
func bridge(number int) string { return fmt.Sprintf("br%d", number) }

// Build makes the switches.
func (n Network) Build(ctx context.Context) error {
	sw := n.switchNamespace()
	if err := exec1(ctx, "ip", "netns", "add", sw); err != nil {
		return err
	}
	return batch(ctx, sw, []string{
		"link set lo up",
		"link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
		"link set br0 up",
		"link add br2 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
		"link set br2 up",
	})
}

// AddHost makes a host and plugs it in. A host of network 1 hangs on the
// router, which must be there.
func (n Network) AddHost(ctx context.Context, h Host) error {
	ns := n.Namespace(h.Name)
	far, farPort := n.switchNamespace(), port(h.Name)
	if h.Network == 1 {
		far, farPort = n.Namespace("rt"), "eth1"
	}
	if err := exec1(ctx, "ip", "netns", "add", ns); err != nil {
		return err
	}
	if h.Router {
		if err := forward(ctx, ns); err != nil {
			return err
		}
	}
	if err := exec1(ctx, "ip", "link", "add", farPort, "netns", far, "type", "veth", "peer", "name", "eth0", "netns", ns); err != nil {
		return err
	}
	if err := batch(ctx, ns, hostLinks(h)); err != nil {
		return err
	}
	if h.Network == 1 {
		return batch(ctx, far, []string{
			"link set eth1 up",
			"addr add 10.77.1.1/24 dev eth1",
			"addr add fd77:1::1/64 dev eth1 nodad",
		})
	}
	if err := batch(ctx, far, []string{fmt.Sprintf("link set %s master %s up", farPort, bridge(h.Network))}); err != nil || !h.Second {
		return err
	}
	other, otherPort := h.OnSecond(), clientPort(h.Name)
	if err := exec1(ctx, "ip", "link", "add", otherPort, "netns", far, "type", "veth", "peer", "name", "eth1", "netns", ns); err != nil {
		return err
	}
	if err := batch(ctx, ns, []string{
		fmt.Sprintf("link set eth1 address %s up", other.MAC()),
		fmt.Sprintf("addr add %s/24 dev eth1", other.IPv4()),
		fmt.Sprintf("addr add %s/64 dev eth1 nodad", other.IPv6()),
	}); err != nil {
		return err
	}
	return batch(ctx, far, []string{fmt.Sprintf("link set %s master %s up", otherPort, bridge(ClientNet))})
}

// forward makes a router of a host that has no links yet. Without duplicate
// address detection it can ask for IPv6 neighbours from the first packet on.
func forward(ctx context.Context, namespace string) error {
	return sysctl(ctx, namespace,
		"net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.default.accept_dad=0",
		"net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0")
}

// Sysctl changes settings of a host's kernel, such as net.ipv4.ip_forward=1.
func (n Network) Sysctl(ctx context.Context, host string, settings ...string) error {
	if len(settings) == 0 {
		return nil
	}
	return sysctl(ctx, n.Namespace(host), settings...)
}

func sysctl(ctx context.Context, namespace string, settings ...string) error {
	return exec1(ctx, "ip", append([]string{"netns", "exec", namespace, "sysctl", "-qw"}, settings...)...)
}

func hostLinks(h Host) []string {
	cmds := []string{
		"link set lo up",
		fmt.Sprintf("link set eth0 address %s up", h.MAC()),
		fmt.Sprintf("addr add %s/24 dev eth0", h.IPv4()),
		fmt.Sprintf("addr add %s/64 dev eth0 nodad", h.IPv6()),
	}
	switch {
	case h.Router, h.Network == ClientNet:
	case h.Network != 0:
		cmds = append(cmds, "route add default via 10.77.1.1", "route add ::/0 via fd77:1::1")
	default:
		cmds = append(cmds, "route add 10.77.1.0/24 via 10.77.0.1", "route add fd77:1::/64 via fd77::1")
	}
	return cmds
}

// RemoveHost pulls the plug and takes the host away, with all that its kernel
// held: addresses, firewall, connections. Calling it again is no error.
func (n Network) RemoveHost(ctx context.Context, host string) error {
	names, err := n.Namespaces(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(names, n.Namespace(host)) {
		return nil
	}
	// The cable first: as long as somebody is inside, the namespace stays and
	// would keep it plugged in.
	for _, p := range []string{port(host), clientPort(host)} {
		cable := exec.CommandContext(ctx, "ip", "-n", n.switchNamespace(), "link", "del", p)
		if out, err := cable.CombinedOutput(); err != nil && !bytes.Contains(out, []byte("Cannot find device")) {
			return fmt.Errorf("pull the cable of %s: %w: %s", host, err, bytes.TrimSpace(out))
		}
	}
	return exec1(ctx, "ip", "netns", "del", n.Namespace(host))
}

// Card is the card of a node on whose network an address is.
func Card(a netip.Addr) string {
	b := a.AsSlice()
	if len(b) == 4 && b[2] == ClientNet || len(b) == 16 && b[3] == ClientNet {
		return "eth1"
	}
	return "eth0"
}

// Bind gives a host one more address.
func (n Network) Bind(ctx context.Context, host string, a netip.Addr) error {
	args := []string{"-n", n.Namespace(host), "addr", "add", netip.PrefixFrom(a, a.BitLen()).String(), "dev", Card(a)}
	if a.Is6() {
		args = append(args, "nodad")
	}
	return exec1(ctx, "ip", args...)
}

// Unbind takes such an address away again.
func (n Network) Unbind(ctx context.Context, host string, a netip.Addr) error {
	return exec1(ctx, "ip", "-n", n.Namespace(host), "addr", "del", netip.PrefixFrom(a, a.BitLen()).String(), "dev", Card(a))
}

// Holds reports whether a host has an address. One that is gone has none.
func (n Network) Holds(ctx context.Context, host string, a netip.Addr) (bool, error) {
	names, err := n.Namespaces(ctx)
	if err != nil || !slices.Contains(names, n.Namespace(host)) {
		return false, err
	}
	out, err := exec.CommandContext(ctx, "ip", "-n", n.Namespace(host), "-o", "addr", "show", "to", a.String()).Output()
	if err != nil {
		return false, fmt.Errorf("look for %s at %s: %w", a, host, err)
	}
	return len(bytes.TrimSpace(out)) > 0, nil
}

// SetPort switches the far end of a host's cable on or off. The host sees its
// carrier come or go.
func (n Network) SetPort(ctx context.Context, host string, up bool) error {
	state := "down"
	if up {
		state = "up"
	}
	return exec1(ctx, "ip", "-n", n.switchNamespace(), "link", "set", port(host), state)
}

// SetClientPort does that with its second card, in ClientNet.
func (n Network) SetClientPort(ctx context.Context, host string, up bool) error {
	state := "down"
	if up {
		state = "up"
	}
	return exec1(ctx, "ip", "-n", n.switchNamespace(), "link", "set", clientPort(host), state)
}

// Namespaces lists what exists of the lab's namespaces.
func (n Network) Namespaces(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "ip", "netns", "list").Output()
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(name, n.Prefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Remove takes the whole network away. Calling it again is no error.
func (n Network) Remove(ctx context.Context) error {
	names, err := n.Namespaces(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := exec1(ctx, "ip", "netns", "del", name); err != nil {
			return err
		}
	}
	return nil
}

// CardTowards is the card over which a host sends what is for an address.
func (n Network) CardTowards(ctx context.Context, host string, a netip.Addr) (card string, err error) {
	return n.word(ctx, host, "dev", "route", "get", a.String())
}

// Neighbour is the link-layer address that a host's kernel has for an address.
func (n Network) Neighbour(ctx context.Context, host string, a netip.Addr) (mac string, err error) {
	return n.word(ctx, host, "lladdr", "neigh", "show", "to", a.String(), "dev", "eth0")
}

// word is what follows a keyword where ip(8) on a host tells of one thing.
func (n Network) word(ctx context.Context, host, keyword string, question ...string) (string, error) {
	asked := strings.Join(question, " ")
	out, err := exec.CommandContext(ctx, "ip", append([]string{"-n", n.Namespace(host)}, question...)...).Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for ip %s: %w", host, asked, err)
	}
	_, after, _ := strings.Cut(string(out), " "+keyword+" ")
	word, _, found := strings.Cut(after, " ")
	if !found {
		return "", fmt.Errorf("ask %s for ip %s: %q names no %s", host, asked, out, keyword)
	}
	return word, nil
}

// IP runs commands of ip(8) on a host.
func (n Network) IP(ctx context.Context, host string, commands ...string) error {
	if len(commands) == 0 {
		return nil
	}
	return batch(ctx, n.Namespace(host), commands)
}

// batch runs ip(8) commands, in the namespace if one is given.
func batch(ctx context.Context, namespace string, commands []string) error {
	args := []string{"-batch", "-"}
	if namespace != "" {
		args = append([]string{"-n", namespace}, args...)
	}
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(commands, "; "), err, bytes.TrimSpace(out))
	}
	return nil
}

func exec1(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
