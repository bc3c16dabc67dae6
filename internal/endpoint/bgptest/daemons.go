package bgptest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Daemon is a process that runs on a host.
type Daemon struct {
	process *os.Process
	ended   chan struct{}
}

// Freeze stops it until Thaw, or until the test ends.
func (d Daemon) Freeze(t testing.TB) {
	t.Helper()
	if err := d.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// Thaw lets it go on.
func (d Daemon) Thaw(t testing.TB) {
	t.Helper()
	if err := d.process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// Start runs a program on the host until the test ends.
func (h *Host) Start(t testing.TB, program string, args ...string) Daemon {
	t.Helper()
	line := h.Command(append([]string{need(t, program)}, args...)...)
	cmd := exec.Command(line[0], line[1:]...)
	said, err := os.CreateTemp(t.TempDir(), "said-*")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	d := Daemon{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(d.ended)
		// Pdeathsig is about the thread: one that ends, as those do that were in another
		// network namespace, would take the daemon with it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	d.process = cmd.Process
	t.Cleanup(func() {
		_ = d.process.Kill()
		<-d.ended
		if text, _ := os.ReadFile(said.Name()); t.Failed() {
			t.Logf("%s said:\n%s", program, text)
		}
		_ = said.Close()
	})
	return d
}

// FRR is a running one.
type FRR struct {
	Vtysh []string // the command that speaks with it
	BGPD  Daemon
	Zebra Daemon
}

// StartFRR runs zebra, bgpd and, if it has a configuration, bfdd on a host; bgpd with more
// arguments.
func (h *Host) StartFRR(t testing.TB, bgp, bfd string, more ...string) FRR {
	t.Helper()
	bgpd := need(t, "bgpd") // before anything is made
	dir, err := os.MkdirTemp("", "baton-frr-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	own(t, dir, "frr", 0o755)
	// Each has a file of its own: one that meets what only another one knows loses its place.
	args := func(name, config string, more ...string) []string {
		file := filepath.Join(dir, name+".conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		own(t, file, "frr", 0o600)
		return append([]string{"-z", dir + "/zserv.api", "--vty_socket", dir, "-f", file, "-i", filepath.Join(dir, name+".pid"), "-P", "0"}, more...)
	}
	f := FRR{Vtysh: []string{"vtysh", "--vty_socket", dir}} // sockets are of no network
	f.Zebra = h.Start(t, "zebra", args("zebra", "")...)
	f.answers(t, "show version")
	if bfd != "" {
		h.Start(t, "bfdd", args("bfdd", bfd, "--bfdctl", dir+"/bfdd.sock")...)
	}
	f.BGPD = h.Start(t, bgpd, args("bgpd", bgp, more...)...)
	f.answers(t, "show bgp summary json")
	return f
}

// answers waits until commands are carried out.
func (f FRR) answers(t testing.TB, commands ...string) {
	t.Helper()
	Await(t, 10*time.Millisecond, func() error {
		out, err := f.run(commands...)
		if err != nil || strings.Contains(out, "Unknown command") {
			return fmt.Errorf("vtysh: %w: %s", err, out)
		}
		return nil
	})
}

func (f FRR) run(commands ...string) (string, error) {
	args := slices.Clone(f.Vtysh[1:])
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	out, err := exec.Command(f.Vtysh[0], args...).CombinedOutput()
	return string(out), err
}

// Tell runs commands of FRR.
func (f FRR) Tell(t testing.TB, commands ...string) string {
	t.Helper()
	out, err := f.run(commands...)
	if err != nil {
		t.Fatalf("vtysh %q: %v: %s", commands, err, out)
	}
	return out
}

// BIRD is a running one.
type BIRD struct {
	Daemon
	control string
	file    string
}

// Configure has it go on with another configuration.
func (b BIRD) Configure(t testing.TB, config string) {
	t.Helper()
	if err := os.WriteFile(b.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := b.Ask(t, "configure"); !strings.Contains(said, "Reconfigur") {
		t.Fatalf("BIRD does not take its new configuration: %s", said)
	}
}

// Ask runs a command of BIRD's, once it answers.
func (b BIRD) Ask(t testing.TB, command string) (said string) {
	t.Helper()
	birdc := need(t, "birdc")
	Await(t, 10*time.Millisecond, func() error {
		out, err := exec.Command(birdc, append([]string{"-s", b.control}, strings.Fields(command)...)...).CombinedOutput()
		if said = string(out); err != nil {
			return fmt.Errorf("birdc %s: %w: %s", command, err, said)
		}
		return nil
	})
	return said
}

// StartBIRD runs BIRD on a host.
func (h *Host) StartBIRD(t testing.TB, config string) BIRD {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "bird.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	b := BIRD{control: filepath.Join(dir, "bird.ctl"), file: file}
	b.Daemon = h.Start(t, "bird", "-f", "-c", file, "-s", b.control, "-P", filepath.Join(dir, "bird.pid"))
	return b
}

// BIRDRouter is a configuration for the router, with that hold time in seconds: it puts
// what it is told into the kernel. Protocols are its sessions.
func BIRDRouter(hold int, protocols ...string) string {
	return `log stderr all;
router id ` + RouterAddress + `;
protocol device { scan time 1; }
protocol kernel k4 { ipv4 { import none; export all; }; }
protocol kernel k6 { ipv6 { import none; export all; }; }
template bgp host {
	strict bind on; # a socket for each: they would take what is meant for another one
	passive on; # of two that connect at the same time both may be refused, again and again
	connect delay time 1; connect retry time 1; error wait time 1, 1; hold time ` + strconv.Itoa(hold) + `; keepalive time 1;
	ipv4 { import all; export none; }; ipv6 { import all; export none; };
}
` + strings.Join(protocols, "\n") + "\n"
}

// own gives a file to a user.
func own(t testing.TB, path, name string, mode os.FileMode) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
