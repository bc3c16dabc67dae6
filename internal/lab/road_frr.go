package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// An address on loopback that the FRR of each data node announces by BGP, with BFD, to
// the router of the lab, which is a BIRD. Its client is behind the router.

const (
	hostAS   = 65001
	routerAS = 65000
	frrLibs  = "/usr/lib/frr"
)

func frrRoad() Road {
	r := Road{
		Name: "frr", Help: "an address on loopback that each host's FRR announces to the router by BGP",
		router: true,
		needs: []need{{file: "vtysh", pack: "frr"}, {file: "zebra", dirs: []string{frrLibs}, pack: "frr"}, {file: "bgpd", dirs: []string{frrLibs}, pack: "frr"},
			{file: "bfdd", dirs: []string{frrLibs}, pack: "frr"}, {file: "bird", pack: "bird2"}},
		files: (*Lab).writeVtysh,
		endpoint: func(l *Lab) section {
			return section{"frr": section{"vtysh": []string{l.vtysh()}, "neighbors": l.routerAddresses()}}
		},
		leads: func(ctx context.Context, l *Lab) (string, error) { return l.overLoopbacks(ctx, "rc") },
		source: func(ctx context.Context, l *Lab) (string, error) {
			return l.overKernel(ctx, routerName, loopbacks()[0])
		},
		meddle: func(ctx context.Context, l *Lab, _ string) error {
			primary, err := l.Primary(ctx)
			if err != nil {
				return err
			}
			return l.tellFRR(ctx, primary, "configure terminal", fmt.Sprintf("router bgp %d", hostAS), "address-family ipv4 unicast", "no network 10.99.0.50/32")
		},
	}
	r.daemons = func(l *Lab) []daemon {
		daemons := []daemon{l.bird(r)}
		for _, n := range l.DataNodes() {
			daemons = append(daemons, l.frr(r, n)...)
		}
		return daemons
	}
	return r
}

// overLoopbacks asks over both addresses on loopback; they have to lead to the same node.
func (l *Lab) overLoopbacks(ctx context.Context, from string) (node string, err error) {
	for _, a := range loopbacks() {
		n, err := l.overMySQL(ctx, from, fmt.Sprintf("[%s]:%d", a, Port))
		switch {
		case err != nil:
			return "", err
		case node != "" && n != node:
			return "", fmt.Errorf("one address leads to %s, the other to %s", node, n)
		}
		node = n
	}
	return node, nil
}

// routerAddresses are those to which the hosts have their sessions, one for each family:
// an IPv6 route that was told over IPv4 was missing at the router now and then, after the
// session had been made anew.
func (l *Lab) routerAddresses() []string {
	h, err := l.host(routerName)
	if err != nil {
		panic(err) // names come from this package
	}
	return []string{h.IPv4().String(), h.IPv6().String()}
}

// bird is the router's: it puts what it is told into the kernel. With graceful restart it
// would keep the routes to a host that died without a word for two minutes.
func (l *Lab) bird(r Road) daemon {
	file := l.path(routerName, "bird.conf")
	return daemon{
		name: "bird", host: routerName, args: []string{r.program("bird"), "-f", "-c", file, "-s", l.path(routerName, "bird.ctl"), "-P", l.path(routerName, "bird.pid")},
		prepare: func(context.Context) error {
			conf := fmt.Sprintf(`router id %s;
log stderr all;
protocol device { scan time 1; }
protocol kernel k4 { ipv4 { import none; export all; }; }
protocol kernel k6 { ipv6 { import none; export all; }; }
protocol bfd { interface "eth0" { min rx interval 50 ms; min tx interval 50 ms; multiplier 5; }; }
`, l.address(routerName))
			for _, n := range l.DataNodes() {
				h, err := l.host(n)
				if err != nil {
					return err
				}
				for i, to := range []netip.Addr{h.IPv4(), h.IPv6()} {
					conf += fmt.Sprintf(`protocol bgp %s_%d {
	local %s as %d; neighbor %s as %d; strict bind on; passive on; bfd on; graceful restart off;
	connect delay time 1; connect retry time 1; error wait time 1, 1; hold time 9; keepalive time 3;
	%s { import all; export none; };
}
`, n, i, l.routerAddresses()[i], routerAS, to, hostAS, []string{"ipv4", "ipv6"}[i])
				}
			}
			return writeFile(file, []byte(conf), 0o600)
		},
	}
}

// frrDir is where the daemons of a host's FRR have their sockets. They run as a user who
// may not come into the lab's directory. Down removes it by the lab's name.
func (l *Lab) frrDir() string { return "/run/baton-lab-" + l.Name }

// frrHost is that of one host: by the address of its card, which a script on it can read.
func (l *Lab) frrHost(node string) (string, error) {
	h, err := l.host(node)
	return filepath.Join(l.frrDir(), h.MAC()), err
}

// vtysh is the command that speaks with the FRR of the host on which it is called: the
// agents of all nodes have the same configuration, and here they share a file system.
func (l *Lab) vtysh() string { return l.path("vtysh") }

func (l *Lab) writeVtysh() error {
	script := fmt.Sprintf("#!/bin/sh\nread -r mac </sys/class/net/eth0/address && exec vtysh --vty_socket %s/$mac \"$@\"\n", l.frrDir())
	return writeFile(l.vtysh(), []byte(script), 0o700)
}

// tellFRR has the FRR of a node carry commands out.
func (l *Lab) tellFRR(ctx context.Context, node string, commands ...string) error {
	dir, err := l.frrHost(node)
	if err != nil {
		return err
	}
	args := []string{"--vty_socket", dir}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	out, err := exec.CommandContext(ctx, "vtysh", args...).CombinedOutput()
	if err == nil && strings.Contains(string(out), "Unknown command") {
		err = fmt.Errorf("it knows no such command")
	}
	if err != nil {
		return fmt.Errorf("tell the FRR of %s %q: %w: %s", node, commands, err, out)
	}
	return nil
}

// frr are the daemons of a data node.
func (l *Lab) frr(r Road, node string) []daemon {
	to := l.routerAddresses()
	bgp := fmt.Sprintf(`frr defaults traditional
router bgp %[1]d
 bgp router-id %[2]s
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 bgp graceful-restart-disable
 neighbor R peer-group
 neighbor R remote-as %[5]d
 neighbor R timers 3 9
 neighbor R timers connect 1
 neighbor R bfd profile fast
 neighbor %[3]s peer-group R
 neighbor %[4]s peer-group R
 address-family ipv4 unicast
  neighbor %[3]s activate
 exit-address-family
 address-family ipv6 unicast
  neighbor %[4]s activate
 exit-address-family
exit
`, hostAS, l.address(node), to[0], to[1], routerAS)
	bfd := "bfd\n profile fast\n  receive-interval 50\n  transmit-interval 50\n  detect-multiplier 5\n exit\nexit\n"
	return []daemon{
		l.frrDaemon(r, node, "zebra", "", "show version"),
		l.frrDaemon(r, node, "bfdd", bfd, "show bfd peers json"),
		l.frrDaemon(r, node, "bgpd", bgp, "show bgp summary json"),
	}
}

// frrDaemon is one of them, which is up when it answers a question.
func (l *Lab) frrDaemon(r Road, node, name, config, question string) daemon {
	dir, err := l.frrHost(node)
	if err != nil {
		panic(err) // names come from this package
	}
	file := filepath.Join(dir, name+".conf")
	d := daemon{name: name, host: node, args: []string{r.program(name), "-z", dir + "/zserv.api", "--vty_socket", dir, "-f", file, "-i", filepath.Join(dir, name+".pid"), "-P", "0"}}
	if name == "bfdd" {
		d.args = append(d.args, "--bfdctl", dir+"/bfdd.sock")
	}
	d.prepare = func(context.Context) error {
		return all(
			func() error { return os.MkdirAll(dir, 0o755) },
			func() error { return writeFile(file, []byte(config), 0o600) },
			func() error { return give(dir, "frr") },
			func() error { return give(file, "frr") },
		)
	}
	d.ready = func(ctx context.Context) error { return l.tellFRR(ctx, node, question) }
	return d
}

// give makes a user the owner of a file.
func give(path, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("give %s to %s: %w", path, name, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("give %s to %s: %w", path, name, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return fmt.Errorf("give %s to %s: %w", path, name, err)
	}
	if err := os.Chown(path, uid, gid); err != nil {
		return fmt.Errorf("give %s to %s: %w", path, name, err)
	}
	return nil
}
