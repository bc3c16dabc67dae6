package nginx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
	"github.com/baton-db/baton/internal/endpoint/nginx"
	"github.com/baton-db/baton/internal/render"
)

// patience is longer than anything takes on a busy machine.
const patience = time.Minute

// proxy is a real nginx in a directory of its own, with a front on a unix socket.
type proxy struct {
	t       testing.TB
	program string
	dir     string
	cmd     *exec.Cmd
	dead    chan struct{}
}

const streamConf = `
stream {
    include DIR/include.d/*.conf;
    server { listen unix:DIR/front; proxy_pass shop; }
}
`

const httpConf = `
http {
    access_log off;
    client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3; uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
    include DIR/include.d/*.conf;
    server { listen unix:DIR/front; location / { proxy_pass http://shop; } }
}
`

// newProxy writes the configuration of one that does not run yet.
func newProxy(t testing.TB, blocks string) *proxy {
	t.Helper()
	program := endpointtest.Program(t, "nginx")
	const stream = "/usr/lib/nginx/modules/ngx_stream_module.so"
	if _, err := os.Stat(stream); err != nil {
		t.Skip("NOT TESTED: no stream module for nginx on this machine (Debian: libnginx-mod-stream)")
	}
	dir, err := os.MkdirTemp("", "nginx-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &proxy{t: t, program: program, dir: dir}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	p.configure("load_module " + stream + "; " + user + " daemon off; worker_processes 2; pid DIR/pid; error_log DIR/error.log; events { worker_connections 64; }" + blocks)
	if err := os.Mkdir(filepath.Join(dir, "include.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Something to begin with, as a person would write it.
	if err := os.WriteFile(p.file(), []byte("upstream shop { server 127.0.0.1:1; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *proxy) configure(text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "nginx.conf"), []byte(strings.ReplaceAll(text, "DIR", p.dir)), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proxy) file() string { return filepath.Join(p.dir, "include.d", "shop.conf") }

func (p *proxy) command(args ...string) []string {
	return append([]string{p.program, "-c", filepath.Join(p.dir, "nginx.conf"), "-e", filepath.Join(p.dir, "error.log")}, args...)
}

// start runs it, and returns once it takes connections.
func (p *proxy) start() *proxy {
	p.t.Helper()
	args := p.command()
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	dead := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(dead) }()
	p.dead = dead
	pid := p.cmd.Process.Pid
	p.t.Cleanup(func() { // it ends its workers; what is left is of its group
		_, _ = syscall.Kill(pid, syscall.SIGTERM), syscall.Kill(pid, syscall.SIGCONT)
		select {
		case <-dead:
		case <-time.After(10 * time.Second):
		}
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-dead
	})
	p.await("nginx takes connections", func() bool {
		c, err := net.Dial("unix", filepath.Join(p.dir, "front"))
		if err == nil {
			_ = c.Close()
		}
		written, _ := os.ReadFile(filepath.Join(p.dir, "pid"))
		return err == nil && strings.TrimSpace(string(written)) == strconv.Itoa(pid) && len(p.workers()) == 2
	})
	return p
}

func (p *proxy) await(what string, so func() bool) {
	p.t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for limit := time.After(patience); !so(); {
		select {
		case <-again.C:
		case <-limit:
			log, _ := os.ReadFile(filepath.Join(p.dir, "error.log"))
			p.t.Fatalf("it never came to be that %s:\n%s", what, log)
		}
	}
}

// freeze stops the master process, which reloads.
func (p *proxy) freeze() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	p.await("it stands still", func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		_, after, _ := bytes.Cut(stat, []byte(") "))
		return bytes.HasPrefix(after, []byte("T"))
	})
}

// stop ends it with its workers.
func (p *proxy) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	<-p.dead
}

func (p *proxy) options(nodes map[cluster.NodeName]netip.AddrPort) nginx.Options {
	o := nginx.Options{File: p.file(), Upstream: "shop", PIDFile: filepath.Join(p.dir, "pid"), Check: p.command("-t", "-q"), Limit: patience,
		Note: filepath.Join(p.dir, "note.json"), Cluster: "shop"}
	for n, at := range nodes {
		o.Servers = append(o.Servers, render.Server{Node: n, Address: at.Addr(), Port: int(at.Port())})
	}
	return o
}

func (p *proxy) open(change ...func(*nginx.Options)) *nginx.Endpoint {
	p.t.Helper()
	o := p.options(nowhere())
	for _, c := range change {
		c(&o)
	}
	e, err := nginx.Open("proxy", o)
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

// nowhere are nodes with nothing behind them.
func nowhere() map[cluster.NodeName]netip.AddrPort {
	return map[cluster.NodeName]netip.AddrPort{"db1": netip.MustParseAddrPort("127.0.0.1:1"), "db2": netip.MustParseAddrPort("127.0.0.1:2")}
}

func to(n cluster.NodeName, at netip.AddrPort, epoch cluster.Epoch) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: n, Addresses: []netip.Addr{at.Addr()}, Port: int(at.Port())}
}

func toNowhere(n cluster.NodeName, epoch cluster.Epoch) endpoint.Target {
	return to(n, nowhere()[n], epoch)
}

func TestAnUpstreamBehavesAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		p := newProxy(t, streamConf).start()
		return endpointtest.Subject{Endpoint: endpointtest.Elsewhere{Endpoint: p.open()}, Silence: p.freeze, Again: func() endpoint.Endpoint { return p.open() }, Here: toNowhere("db1", 0), There: toNowhere("db2", 0),
			Meddle: func(context.Context) error {
				return os.WriteFile(p.file(), []byte("upstream shop { server 127.0.0.1:2; }\n"), 0o644)
			}}
	})
}

// says is a server that answers with its name, to HTTP and to whoever says a word.
func says(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	return endpointtest.Serve(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = fmt.Fprintf(c, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(name), name)
	})
}

// answers is who answers behind the front.
func (p *proxy) answers() string {
	p.t.Helper()
	c, err := net.Dial("unix", filepath.Join(p.dir, "front"))
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	b, _ := io.ReadAll(c)
	_, name, _ := strings.Cut(string(b), "\r\n\r\n")
	return name
}

func TestClientsAreLedWhereItSays(t *testing.T) {
	for kind, blocks := range map[string]string{"stream": streamConf, "http": httpConf} {
		t.Run(kind, func(t *testing.T) {
			at := map[cluster.NodeName]netip.AddrPort{"db1": says(t, "db1"), "db2": says(t, "db2")}
			p := newProxy(t, blocks).start()
			e, err := nginx.Open("proxy", p.options(at))
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range []cluster.NodeName{"db1", "db2", "db1"} {
				want := to(n, at[n], cluster.Epoch(i+1))
				if err := errors.Join(e.Set(t.Context(), want), endpoint.Verify(t.Context(), "proxy", e, want)); err != nil {
					t.Fatal(err)
				}
				if got := p.answers(); got != string(n) {
					t.Errorf("led to %q, want %s", got, n)
				}
			}
			workers := p.workers()
			if err := e.Set(t.Context(), to("db1", at["db1"], 9)); err != nil || !slices.Equal(p.workers(), workers) {
				t.Errorf("another reign of the same primary was loaded: workers %v, before %v (%v)", p.workers(), workers, err)
			}
		})
	}
}

// workers are those that take connections.
func (p *proxy) workers() (taking []string) {
	all, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.cmd.Process.Pid, p.cmd.Process.Pid))
	for _, pid := range strings.Fields(string(all)) {
		title, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		if strings.TrimRight(string(title), "\x00 ") == "nginx: worker process" {
			taking = append(taking, pid)
		}
	}
	return taking
}

func TestThePortMayBeAnother(t *testing.T) {
	at := says(t, "service")
	p := newProxy(t, streamConf).start()
	e := p.open(func(o *nginx.Options) { o.Port = int(at.Port()) })
	if err := e.Set(t.Context(), toNowhere("db1", 1)); err != nil {
		t.Fatal(err)
	}
	if got := p.answers(); got != "service" {
		t.Errorf("led to %q", got)
	}
}

func TestWhatNginxRefusesIsTakenBack(t *testing.T) {
	p := newProxy(t, streamConf).start()
	e := p.open()
	if err := e.Set(t.Context(), toNowhere("db1", 1)); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(p.file())
	if err != nil {
		t.Fatal(err)
	}
	workers := p.workers()
	// Somebody has given the upstream's name to another one, in a file of his own.
	other := filepath.Join(p.dir, "include.d", "zz.conf")
	if err := os.WriteFile(other, []byte("upstream shop { server 127.0.0.1:9; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err = e.Set(t.Context(), toNowhere("db2", 2))
	if err == nil || !strings.Contains(err.Error(), `duplicate upstream "shop"`) || !strings.Contains(err.Error(), "what was there before is back") {
		t.Errorf("it says %v", err)
	}
	if now, _ := os.ReadFile(p.file()); !bytes.Equal(now, good) || !slices.Equal(p.workers(), workers) {
		t.Errorf("the file holds %s, and the workers are %v, before %v", now, p.workers(), workers)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Set(t.Context(), toNowhere("db2", 2)), endpoint.Verify(t.Context(), "proxy", e, toNowhere("db2", 2))); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
}

// TestWhatWasNotLoadedIsSeen: the process that would load it stands still.
func TestWhatWasNotLoadedIsSeen(t *testing.T) {
	p := newProxy(t, streamConf).start()
	p.freeze()
	err := p.open(func(o *nginx.Options) { o.Check, o.Limit = nil, 200*time.Millisecond }).Set(t.Context(), toNowhere("db1", 1))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "what was there before is back") {
		t.Errorf("it says %v", err)
	}
	if got, err := p.open().Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) {
		t.Errorf("leads to %s, %v", got, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// An agent that dies while it waits leaves the new file behind.
	e := p.open()
	if err := e.Set(t.Context(), toNowhere("db1", 1)); err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(p.dir, "note-loaded.json")
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	later := strings.Replace(string(text), `"ticks":`, `"ticks":9`, 1)
	if err := os.WriteFile(note, []byte(later), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "nginx has not loaded") {
		t.Errorf("workers older than the file: %v", err)
	}
}

func TestAnNginxThatDoesNotRun(t *testing.T) {
	at := map[cluster.NodeName]netip.AddrPort{"db1": says(t, "db1"), "db2": says(t, "db2")}
	p := newProxy(t, streamConf)
	e, err := nginx.Open("proxy", p.options(at))
	if err != nil {
		t.Fatal(err)
	}
	want := to("db1", at["db1"], 1)
	if err := e.Set(t.Context(), want); err != nil {
		t.Errorf("the file is not written: %v", err)
	}
	if _, err := e.Observe(t.Context()); err == nil || errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "nginx does not run") {
		t.Errorf("it says %v", err)
	}
	p.start()
	if err := endpoint.Verify(t.Context(), "proxy", e, want); err != nil || p.answers() != "db1" {
		t.Errorf("once it runs: %v, led to %q", err, p.answers())
	}
	p.stop()
	for name, holds := range map[string]string{"the number of another program": strconv.Itoa(os.Getpid()), "no number": "x", "nothing": "", "a number that is gone": strconv.Itoa(p.cmd.Process.Pid)} {
		if err := os.WriteFile(filepath.Join(p.dir, "pid"), []byte(holds), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Observe(t.Context()); err == nil || errors.Is(err, endpoint.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkReload(b *testing.B) {
	p := newProxy(b, streamConf).start()
	e := p.open()
	var epoch cluster.Epoch
	for b.Loop() {
		epoch++
		want := toNowhere("db1", epoch)
		if epoch%2 == 0 {
			want = toNowhere("db2", epoch)
		}
		if err := errors.Join(e.Set(b.Context(), want), endpoint.Verify(b.Context(), "proxy", e, want)); err != nil {
			b.Fatal(err)
		}
	}
}
