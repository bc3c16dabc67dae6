package doctor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/baton-db/baton/internal/config"
)

// inHost runs f on a thread that is in a host of its own: one with eth0, which
// has 10.77.0.11/24, and 10.77.0.60 that somebody like keepalived has bound.
func inHost(t *testing.T, f func() error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOTHING WAS TESTED: needs root, for network namespaces")
	}
	name := fmt.Sprintf("bdo-%d", os.Getpid())
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		ns, err := netns.NewNamed(name)
		if err != nil {
			done <- fmt.Errorf("make a network namespace: %w", err)
			return
		}
		defer ns.Close()
		if err := wire(); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	err := <-done
	if gone := netns.DeleteNamed(name); gone != nil {
		t.Error(gone)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func wire() error {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer0"}); err != nil {
		return err
	}
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, text := range []string{"10.77.0.11/24", "10.77.0.60/32"} {
		addr, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

func configOn(t *testing.T, more string) *config.Config {
	t.Helper()
	cfg, found := config.Parse("baton.yaml", []byte(`node: db1
cluster: shop
nodes:
  - {name: db1, role: data, address: 10.77.0.11}
  - {name: db2, role: data, address: 10.77.0.12}
  - {name: w1, role: witness, address: 10.77.0.20}
server:
  socket: /nonexistent/s.sock
  replication: {user: baton_repl, password_file: repl.password}
  probe: {user: baton_probe, password_file: probe.password}
`+more))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestAddressesThatDoNotFitARealHost(t *testing.T) {
	cfg := configOn(t, `addresses:
  - {address: 10.77.0.50, interface: eth0}
  - {address: 192.168.7.50, interface: eth0}
  - {address: 10.77.0.255, interface: eth0}
  - {address: 10.77.0.60, interface: eth0}
  - {address: 10.77.0.51, interface: eth9}
`)
	want := []string{
		"baton.yaml:13: addresses[1].address: 192.168.7.50 is outside of every network of eth0, which are 10.77.0.0/24; use an address of one of these networks",
		"baton.yaml:14: addresses[2].address: 10.77.0.255 is the network's own address or its broadcast address in 10.77.0.0/24; use another one in it",
		"baton.yaml:15: addresses[3].address: the host has 10.77.0.60/32 on eth0, and not from this cluster; remove it there: it would stay when the address moves",
		"baton.yaml:16: addresses[4].interface: this host has no interface eth9; use eth0",
	}
	for name, check := range map[string]func() config.Findings{
		// No server is asked: that would be from this network namespace.
		"check": func() config.Findings { return config.Check(t.Context(), cfg, Host{Config: cfg}, &answers{}) },
		"start": func() config.Findings { return CheckStart(t.Context(), cfg) },
	} {
		var got []string
		inHost(t, func() error {
			for _, f := range check() {
				if strings.HasPrefix(f.Key, "addresses") || strings.HasPrefix(f.Key, "nodes") {
					got = append(got, f.String())
				}
			}
			return nil
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTheFileOfAnotherHost(t *testing.T) {
	cfg := configOn(t, "")
	cfg.Node = "db2"
	inHost(t, func() error {
		const want = "10.77.0.12 is no address of this host, which has 10.77.0.11, 10.77.0.60; is this db1? Then write node: db1"
		if found := CheckStart(t.Context(), cfg).Errors().String(); !strings.Contains(found, want) {
			t.Errorf("%q is not in %s", want, found)
		}
		return nil
	})
}

// The gate is gone through by the kernel, and nothing is left of that.
func TestLookingAtAHostLeavesNothing(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skipf("SKIPPED, NOTHING WAS TESTED: needs nft: %v", err)
	}
	cfg := configOn(t, "addresses:\n  - {address: 10.77.0.50, interface: eth0}\n")
	inHost(t, func() error {
		seen, err := Host{Config: cfg}.LookAtHost(t.Context())
		if err != nil {
			return err
		}
		if seen.NoGate != "" {
			t.Logf("this host cannot have a gate: %s", seen.NoGate)
		}
		if len(seen.Misfits) > 0 {
			t.Errorf("misfits: %v", seen.Misfits)
		}
		for _, look := range [][]string{{"nft", "list", "ruleset"}, {"ip", "-4", "-o", "addr", "show", "dev", "eth0"}} {
			out, err := exec.Command(look[0], look[1:]...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%v: %w: %s", look, err, out)
			}
			if text := string(out); strings.Contains(text, "baton") || strings.Contains(text, "10.77.0.50") {
				t.Errorf("left behind: %s", text)
			}
		}
		return nil
	})
}

func TestAWitnessNeedsNoGate(t *testing.T) {
	cfg := configOn(t, "addresses:\n  - {address: 192.168.7.50, interface: eth0}\n")
	cfg.Node = "w1"
	seen, err := Host{Config: cfg}.LookAtHost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if seen.NoGate != "" || seen.Flushers != nil || seen.Misfits != nil {
		t.Errorf("a witness was asked for a gate or an address: %+v", seen)
	}
}

func TestWhoFlushesTheRuleset(t *testing.T) {
	const unit = "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\nExecStop=/usr/sbin/nft flush ruleset\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"nobody":                        {nil, nil},
		"as Debian ships it":            {map[string]string{"etc/nftables.conf": "#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n}\n"}, []string{"etc/nftables.conf"}},
		"one of several files":          {map[string]string{"etc/nftables/a.nft": "table inet a {}\n", "etc/nftables/b.nft": "add table x;flush ruleset;\n"}, []string{"etc/nftables/b.nft"}},
		"a comment":                     {map[string]string{"etc/nftables.conf": "# no flush ruleset here\ntable inet a {} # flush ruleset\n"}, nil},
		"its own tables only":           {map[string]string{"etc/nftables.conf": "table inet filter {}\nflush table inet filter\n"}, nil},
		"a family that we are not of":   {map[string]string{"etc/nftables.conf": "flush ruleset ip\n"}, nil},
		"the family that we are of":     {map[string]string{"etc/nftables.conf": "flush ruleset inet\n"}, []string{"etc/nftables.conf"}},
		"a unit that nobody enabled":    {map[string]string{"usr/lib/systemd/system/nftables.service": unit}, nil},
		"a unit that is stopped so":     {map[string]string{"usr/lib/systemd/system/nftables.service": unit, "etc/systemd/system/sysinit.target.wants/nftables.service": ""}, []string{"usr/lib/systemd/system/nftables.service"}},
		"what Red Hat calls it instead": {map[string]string{"etc/sysconfig/nftables.conf": "flush ruleset\n"}, []string{"etc/sysconfig/nftables.conf"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, text := range tt.files {
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, f := range (Host{root: root}).flushers() {
				got = append(got, strings.TrimPrefix(f, root+"/"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatKeepsAHostOutOfAReclone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stop, start := []string{"true"}, []string{"true"}
	for name, tt := range map[string]struct {
		server config.Server
		want   []string
	}{
		"nobody means to reclone it": {config.Server{Flavor: config.MySQL, DataDir: file}, nil},
		"all is there":               {config.Server{Flavor: config.MySQL, Stop: stop, Start: start, DataDir: dir}, nil},
		"it could not be started":    {config.Server{Flavor: config.MySQL, Stop: stop}, []string{"server.start"}},
		"its data is no directory":   {config.Server{Flavor: config.MySQL, Stop: stop, Start: start, DataDir: file}, []string{"no directory"}},
	} {
		got := noReclone(tt.server)
		if len(got) != len(tt.want) || len(got) > 0 && !strings.Contains(got[0], tt.want[0]) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	t.Setenv("PATH", dir)
	if got := noReclone(config.Server{Flavor: config.MariaDB, Stop: stop, Start: start}); len(got) != 1 || !strings.Contains(got[0], "mariadb-backup") {
		t.Errorf("without mariadb-backup: %q", got)
	}
}
