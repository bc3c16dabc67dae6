package mysqlrouter_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db/program"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/mysqlrouter"
	"github.com/baton-db/baton/internal/render"
)

// patience is longer than anything takes on a busy machine.
const patience = time.Minute

// pause is how often the service manager looks whether it has been told something.
const pause = 2 * time.Millisecond

// router is a real MySQL Router in a directory of its own, under what does the work of a
// service manager: it is started again when it has ended well, and when that is asked for.
type router struct {
	t       testing.TB
	program string
	dir     string
	listen  netip.AddrPort

	mu   sync.Mutex
	args []string
	over bool
	cmd  *exec.Cmd
	once chan struct{} // closed once it has ended for good
}

// beside is where the router of an unpacked MySQL is.
var beside = sync.OnceValue(func() []string {
	mysqld, _, err := program.Server("mysql")
	if err != nil {
		return nil
	}
	return []string{filepath.Dir(mysqld)}
})

// newRouter configures one that does not run yet.
func newRouter(t testing.TB) *router {
	t.Helper()
	path := endpointtest.Program(t, "mysqlrouter", beside()...)
	dir, err := os.MkdirTemp("", "router-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	// An address of its own, and no port that the kernel gives to clients: nobody takes
	// it while the router begins anew.
	listen := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(250)), byte(rand.IntN(250)), byte(1 + rand.IntN(250))}), uint16(10000+rand.IntN(20000)))
	r := &router{t: t, program: path, dir: dir, listen: listen, args: []string{"--config=" + filepath.Join(dir, "main.conf"), "--extra-config", filepath.Join(dir, "shop.conf")}}
	r.write("main.conf", fmt.Sprintf("[DEFAULT]\nlogging_folder = %[1]s\nruntime_folder = %[1]s\ndata_folder = %[1]s\npid_file = %[1]s/pid\nmax_total_connections = 64\n[io]\nthreads = 1\n[routing:shop]\nbind_address = %[2]s\nbind_port = %[3]d\n",
		dir, listen.Addr(), listen.Port()))
	// Something to begin with, as a person would write it.
	r.write("shop.conf", "[routing:shop]\nrouting_strategy = first-available\ndestinations = 127.0.0.1:1\n")
	return r
}

func (r *router) path(name string) string { return filepath.Join(r.dir, name) }

func (r *router) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *router) read(name string) string {
	text, _ := os.ReadFile(r.path(name))
	return string(text)
}

// start runs it, and returns once it listens.
func (r *router) start() *router {
	r.t.Helper()
	log, err := os.OpenFile(r.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	over := make(chan struct{})
	r.over, r.once = false, over
	go func() {
		defer close(over)
		defer log.Close()
		runtime.LockOSThread() // with which its child ends
		defer runtime.UnlockOSThread()
		for r.run(log) {
		}
	}()
	r.t.Cleanup(r.stop)
	r.await("it listens", func() bool { return r.pid() != 0 && r.dials() })
	return r
}

// run runs it once, and reports whether it is to be started again.
func (r *router) run(log *os.File) bool {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return false
	}
	_ = os.Remove(r.path("pid")) // of one that was killed
	r.cmd = exec.Command(r.program, r.args...)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := r.cmd.Start()
	cmd := r.cmd
	r.mu.Unlock()
	if err != nil {
		r.t.Error(err)
		return false
	}
	if cmd.Wait() == nil || !cmd.ProcessState.Exited() {
		return true // also if it was told to end before it knew how to
	}
	r.write("failed", "")
	for r.failed() && !r.ends() {
		<-time.After(pause)
	}
	return true
}

// failed reports whether it has ended with an error and waits to be started again.
func (r *router) failed() bool {
	_, err := os.Stat(r.path("failed"))
	return err == nil
}

func (r *router) ends() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// restart is what the service manager is told: it starts what has failed, too.
func (r *router) restart() string {
	return "kill $(cat " + r.path("pid") + "); rm -f " + r.path("failed")
}

func (r *router) pid() int {
	n, _ := strconv.Atoi(strings.TrimSpace(r.read("pid")))
	return n
}

func (r *router) dials() bool {
	c, err := net.DialTimeout("tcp", r.listen.String(), time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func (r *router) signal(s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.cmd.Process.Signal(s)
}

// freeze has it stand still.
func (r *router) freeze() {
	r.t.Helper()
	r.signal(syscall.SIGSTOP)
	r.await("it stands still", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
		_, after, _ := bytes.Cut(stat, []byte(") "))
		return bytes.HasPrefix(after, []byte("T"))
	})
}

// stop ends it for good.
func (r *router) stop() {
	r.mu.Lock()
	r.over = true
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	_ = r.cmd.Process.Signal(syscall.SIGCONT)
	r.mu.Unlock()
	select {
	case <-r.once:
	case <-time.After(10 * time.Second):
		r.signal(syscall.SIGKILL)
		<-r.once
	}
}

func (r *router) await(what string, so func() bool) {
	r.t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(patience); !so(); {
		select {
		case <-again.C:
		case <-limit:
			r.t.Fatalf("it never came to be that %s:\n%s%s", what, r.read("log"), r.read("mysqlrouter.log"))
		}
	}
}

// nowhere are nodes with nothing behind them.
func nowhere() map[cluster.NodeName]netip.AddrPort {
	return map[cluster.NodeName]netip.AddrPort{"db1": netip.MustParseAddrPort("127.0.0.1:1"), "db2": netip.MustParseAddrPort("[::1]:2")}
}

// open has the router's restart be that of the service manager above.
func (r *router) open(at map[cluster.NodeName]netip.AddrPort, change ...func(*mysqlrouter.Options)) *mysqlrouter.Endpoint {
	r.t.Helper()
	o := mysqlrouter.Options{File: r.path("shop.conf"), Section: "shop", Listen: r.listen, PIDFile: r.path("pid"), Restart: []string{"sh", "-c", r.restart()},
		Limit: patience, Note: r.path("note.json"), Cluster: "shop"}
	for _, n := range []cluster.NodeName{"db1", "db2"} {
		o.Servers = append(o.Servers, render.Server{Node: n, Address: at[n].Addr(), Port: int(at[n].Port())})
	}
	for _, c := range change {
		c(&o)
	}
	e, err := mysqlrouter.Open("router", o)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// until has an endpoint set for as long as something is not so, and returns what it says.
func (r *router) until(what string, e *mysqlrouter.Endpoint, target endpoint.Target, so func() bool) error {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	said := make(chan error, 1)
	go func() { said <- e.Set(ctx, target) }()
	r.await(what, so)
	cancel()
	return <-said
}
