// Package dnstest answers how a name server that people really run behaves towards
// us: it starts BIND, PowerDNS, Knot and Unbound for tests, as children of the test,
// on ports of their own.
//
// It is imported by tests only. The rule: a server that is not installed skips a
// test loudly, and where BATON_REQUIRE names it, fails it.
package dnstest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// patience is longer than a server takes to start on a busy machine.
const patience = 60 * time.Second

// Server is a name server that runs.
type Server struct {
	Addr netip.AddrPort
	Dir  string

	process *os.Process
	ended   chan struct{} // closed once the process is gone
	said    *Output
}

// Output keeps what is written to it, by a process or as a log.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String is all that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// unconfined is a copy of a program: Debian confines some name servers to their
// own directories (AppArmor), by the path of the program. It is not copied by this
// process: a child that is being forked just then would keep the file open for
// writing, and the kernel runs no program that is.
func unconfined(t testing.TB, dir, program string) string {
	t.Helper()
	run(t, "", "cp", program, dir)
	return filepath.Join(dir, filepath.Base(program))
}

// Free returns an address on which nothing listens, with a port that is none of
// those which the kernel gives to whoever asks for any. It is 127.0.0.1: BIND listens
// on no address that is not written at an interface.
func Free(t testing.TB) netip.AddrPort {
	t.Helper()
	for range 100 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(15000+rand.IntN(16000)))
		tcp, err := net.Listen("tcp", a.String())
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", a.String())
		_ = tcp.Close()
		if err != nil {
			continue
		}
		_ = udp.Close()
		return a
	}
	t.Fatal("there is no free port")
	return netip.AddrPort{}
}

// start runs a program until the test ends, and returns once ready does.
func (s *Server) start(t testing.TB, ready func() error, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	s.said = &Output{}
	cmd.Stdout, cmd.Stderr, cmd.Dir = s.said, s.said, s.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.process, s.ended = cmd.Process, make(chan struct{})
	go func() { defer close(s.ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = s.process.Kill()
		<-s.ended
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(program), s.said)
		}
	})
	limit, again := time.NewTimer(patience), time.NewTicker(10*time.Millisecond)
	defer limit.Stop()
	defer again.Stop()
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("%s ended: %s", program, s.said)
		case <-limit.C:
			t.Fatalf("%s does not get ready: %v: %s", program, err, s.said)
		case <-again.C:
		}
	}
}

// Freeze stops the server until the test ends: it answers nothing, but the kernel
// goes on taking connections for it.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	if err := s.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.process.Signal(syscall.SIGCONT) })
	limit, again := time.NewTimer(patience), time.NewTicker(time.Millisecond)
	defer limit.Stop()
	defer again.Stop()
	for !s.standsStill() {
		select {
		case <-limit.C:
			t.Fatal("a thread of the server still runs")
		case <-again.C:
		}
	}
}

// standsStill reports whether no thread of the server runs: a signal takes its time.
func (s *Server) standsStill() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.Pid))
	for _, stat := range threads {
		text, gone := os.ReadFile(stat)
		// proc(5): the state follows the name in parentheses.
		if _, state, _ := strings.Cut(string(text), ") "); gone == nil && !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

// Said is what the server has written so far.
func (s *Server) Said() string { return s.said.String() }

// Ask asks one question without a key.
func (s *Server) Ask(name string, kind uint16) (*dns.Msg, error) {
	return Ask(s.Addr, "tcp", name, kind)
}

// Ask asks a server one question without a key, as a resolver does that wants no
// recursion.
func Ask(server netip.AddrPort, network, name string, kind uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	c := dns.Client{Net: network, Timeout: patience}
	answer, _, err := c.Exchange(m, server.String())
	return answer, err
}

// serves is whether the server answers for the zone.
func (s *Server) serves(zone string) func() error {
	return func() error {
		m, err := s.Ask(zone, dns.TypeSOA)
		if err == nil && (m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0) {
			err = fmt.Errorf("%s for the SOA record", dns.RcodeToString[m.Rcode])
		}
		return err
	}
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, stdin string, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
}
