package cli

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api/apitest"
	"github.com/baton-db/baton/internal/api/public"
	"github.com/baton-db/baton/internal/config"
)

// vrrpHost is a network namespace with an agent's answers and a keepalived.
type vrrpHost struct {
	t         *testing.T
	name      string // of the namespace
	dir       string
	answers   *apitest.Cluster
	keepalive *exec.Cmd
	said      bytes.Buffer
}

func (h *vrrpHost) leads() { h.answers.Show(public.Look{}) }

func (h *vrrpHost) follows() { h.answers.Show(public.Look{NotPrimary: "the other one is primary"}) }

// has reports whether the address is there.
func (h *vrrpHost) has(address string) bool {
	h.t.Helper()
	out, err := exec.Command("ip", "-n", h.name, "-o", "addr", "show", "dev", "eth0").CombinedOutput()
	if err != nil {
		h.t.Fatalf("ip addr in %s: %v: %s", h.name, err, out)
	}
	return strings.Contains(string(out), " "+address+"/")
}

func sh(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// vrrpHosts are two, joined by a wire, with what `baton config keepalived` makes.
func vrrpHosts(t *testing.T) [2]*vrrpHost {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, for network namespaces")
	}
	keepalived, err := exec.LookPath("keepalived")
	if err != nil {
		t.Skip("NOT TESTED: no keepalived on this machine (scripts/setup.sh test installs it)")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// keepalived runs no script from where others could write.
	base, err := os.MkdirTemp("/run", "baton-vrrp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	program := filepath.Join(base, "baton") // this test is the command, too: see TestMain
	sh(t, "cp", self, program)
	var hosts [2]*vrrpHost
	for i := range hosts {
		h := &vrrpHost{t: t, name: fmt.Sprintf("cli-%d-%d", os.Getpid(), i+1), dir: filepath.Join(base, fmt.Sprint(i+1))}
		if err := os.Mkdir(h.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("ip", "netns", "add", h.name).CombinedOutput(); err != nil {
			t.Skipf("NOT TESTED: needs the right to make network namespaces: %s", out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", h.name).Run() })
		hosts[i] = h
	}
	sh(t, "ip", "-n", hosts[0].name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", hosts[1].name)
	for i, h := range hosts {
		sh(t, "ip", "-n", h.name, "addr", "add", fmt.Sprintf("10.77.0.%d/24", 11+i), "dev", "eth0")
		sh(t, "ip", "-n", h.name, "link", "set", "lo", "up")
		sh(t, "ip", "-n", h.name, "link", "set", "eth0", "up")
	}
	for i, h := range hosts {
		c, found := config.Parse(filepath.Join(h.dir, "baton.yaml"), fmt.Appendf(nil, `node: db%d
cluster: shop
run_dir: %s
nodes: [{name: db1, address: 10.77.0.11}, {name: db2, address: 10.77.0.12}, {name: w1, role: witness, address: 10.77.0.20}]
server: {password_file: a, replication: {password_file: r}, probe: {password_file: p}}
`, i+1, h.dir))
		if c == nil {
			t.Fatal(found)
		}
		h.answers = apitest.Start(t, c.Socket(), apitest.Shop())
		h.follows()
		text, err := c.Keepalived(config.Keepalived{Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.60/24"), netip.MustParsePrefix("fd77::60/64")},
			Interface: "eth0", RouterID: 60, Advert: 100 * time.Millisecond, Program: program})
		if err != nil {
			t.Fatal(err)
		}
		conf := filepath.Join(h.dir, "keepalived.conf")
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sh(t, "ip", "netns", "exec", h.name, keepalived, "-t", "-f", conf)
		h.start(keepalived, conf)
	}
	return hosts
}

func (h *vrrpHost) start(keepalived, conf string) {
	h.t.Helper()
	h.keepalive = exec.Command("ip", "netns", "exec", h.name, keepalived, "--dont-fork", "--log-console", "--vrrp", "--use-file="+conf,
		"--pid="+filepath.Join(h.dir, "keepalived.pid"), "--vrrp_pid="+filepath.Join(h.dir, "vrrp.pid"))
	h.keepalive.Stdout, h.keepalive.Stderr = &h.said, &h.said
	// The script is this program; under the race detector it would sleep for as long as
	// it may take.
	h.keepalive.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	h.keepalive.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := h.keepalive.Start(); err != nil {
		h.t.Fatal(err)
	}
	dead := make(chan struct{})
	go func() { _ = h.keepalive.Wait(); close(dead) }()
	h.t.Cleanup(func() {
		_ = h.keepalive.Process.Signal(syscall.SIGTERM)
		select {
		case <-dead:
		case <-time.After(10 * time.Second):
		}
		_ = syscall.Kill(-h.keepalive.Process.Pid, syscall.SIGKILL)
		<-dead
	})
}

func TestTheAddressOfKeepalivedFollowsTheRole(t *testing.T) {
	hosts := vrrpHosts(t)
	db1, db2 := hosts[0], hosts[1]
	await := func(what string, so func() bool) {
		t.Helper()
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for limit := time.After(time.Minute); !so(); {
			select {
			case <-again.C:
			case <-limit:
				t.Fatalf("it never came to be that %s", what)
			}
		}
	}
	only := func(has, hasNot *vrrpHost) func() bool {
		return func() bool {
			return has.has("10.77.0.60") && has.has("fd77::60") && !hasNot.has("10.77.0.60") && !hasNot.has("fd77::60")
		}
	}
	db1.leads()
	await("the primary has both addresses", only(db1, db2))
	db1.follows()
	db2.leads()
	await("the new primary has them", only(db2, db1))
	db2.follows()
	await("nobody has them while nobody is primary", func() bool { return !db1.has("10.77.0.60") && !db2.has("10.77.0.60") })
}
