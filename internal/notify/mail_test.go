package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"net/mail"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// postOffice is a real exim on an address of its own in 127.0.0.0/8, which keeps in
// its queue what it takes.
type postOffice struct {
	dir, host string
	tls       *tls.Config
}

const (
	mailPort     = "2525"
	implicitPort = "4465"
)

func openPostOffice(t *testing.T) *postOffice {
	t.Helper()
	exim, err := exec.LookPath("exim4")
	if err != nil || os.Getuid() != 0 {
		t.Skip("NOT TESTED: there is no exim4 here (package exim4-daemon-light), or this is not root")
	}
	dir, err := os.MkdirTemp("", "baton-exim-") // its own user has to get in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &postOffice{dir: dir, host: fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(255), 1+rand.IntN(254))}
	p.certify(t)
	p.write(t, "conf", p.conf())
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	own, err := user.Lookup("Debian-exim")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(own.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	run := exec.Command(exim, "-C", filepath.Join(dir, "conf"), "-bdf")
	run.Stdout, run.Stderr, run.SysProcAttr = log, log, &syscall.SysProcAttr{Setpgid: true}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	dead := make(chan struct{})
	go func() { _ = run.Wait(); close(dead) }()
	t.Cleanup(func() { _ = syscall.Kill(-run.Process.Pid, syscall.SIGKILL); <-dead })
	p.await(t, dead)
	return p
}

// certify takes the certificate of httptest, which is one of example.com.
func (p *postOffice) certify(t *testing.T) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	c := s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})))
	p.write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	p.tls = &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}
}

func (p *postOffice) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (p *postOffice) conf() string {
	return strings.NewReplacer("DIR", p.dir, "HOST", p.host, "PORT", mailPort, "TLS", implicitPort).Replace(`primary_hostname = mail.example.com
spool_directory = DIR/spool
log_file_path = DIR/%slog
pid_file_path = DIR/pid
local_interfaces = <; HOST.PORT ; HOST.TLS
tls_on_connect_ports = TLS
tls_advertise_hosts = *
tls_certificate = DIR/cert.pem
tls_privatekey = DIR/key.pem
host_lookup =
rfc1413_query_timeout = 0s
queue_only = true
keep_environment =
smtp_accept_keepalive = false
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  deny message = no such user here
       local_parts = nobody
  accept authenticated = *
  deny message = log in first
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_advertise_condition = ${if def:tls_in_cipher}
  server_condition = ${if and{{eq{$auth2}{baton}}{eq{$auth3}{hunter2}}}}
  server_set_id = $auth2
`)
}

// await returns once the server greets.
func (p *postOffice) await(t *testing.T, dead <-chan struct{}) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	limit := time.After(time.Minute)
	for {
		c, err := net.Dial("tcp", net.JoinHostPort(p.host, mailPort))
		if err == nil {
			line, err := bufio.NewReader(c).ReadString('\n')
			_ = c.Close()
			if err == nil && strings.HasPrefix(line, "220 ") {
				return
			}
		}
		select {
		case <-again.C:
			continue
		case <-dead:
		case <-limit:
		}
		said, _ := os.ReadFile(filepath.Join(p.dir, "said"))
		t.Fatalf("exim does not get ready: %v: %s", err, said)
	}
}

func (p *postOffice) mail(change ...func(*Mail)) Mail {
	m := Mail{Server: net.JoinHostPort(p.host, mailPort), From: "baton@example.com", To: []string{"dba@example.com", "oncall@example.com"},
		User: "baton", Password: "hunter2", Security: StartTLS, TLS: p.tls, Now: noon}
	for _, c := range change {
		c(&m)
	}
	return m
}

// queued are the mails that it holds.
func (p *postOffice) queued(t *testing.T) []string {
	t.Helper()
	bodies, err := filepath.Glob(filepath.Join(p.dir, "spool", "input", "*-D"))
	if err != nil {
		t.Fatal(err)
	}
	return bodies
}

func TestAMailIsTakenOverByARealServer(t *testing.T) {
	p := openPostOffice(t)
	n := sample()
	n.Detail = "Größe: 16 MiB\r\nBcc: somebody@example.com\n.\nstill the body"
	for i, m := range []Mail{p.mail(), p.mail(func(m *Mail) {
		m.Security, m.Server = Implicit, net.JoinHostPort(p.host, implicitPort)
	})} {
		if err := m.Send(t.Context(), n); err != nil {
			log, _ := os.ReadFile(filepath.Join(p.dir, "mainlog"))
			t.Fatalf("%s: %v\n%s", m.Security, err, log)
		}
		if got := p.queued(t); len(got) != i+1 {
			t.Errorf("%s: it holds %v", m.Security, got)
		}
	}
	body, err := os.ReadFile(p.queued(t)[0])
	if err != nil || !strings.Contains(string(body), "Gr=C3=B6=C3=9Fe: 16 MiB") || !strings.Contains(string(body), "still the body") {
		t.Errorf("the body: %s, %v", body, err)
	}
	envelope, err := os.ReadFile(strings.TrimSuffix(p.queued(t)[0], "-D") + "-H")
	if err != nil || !strings.Contains(string(envelope), "2\ndba@example.com\noncall@example.com\n") {
		t.Errorf("it goes to: %s, %v", envelope, err)
	}
}

func TestWhatAMailServerRefusesIsSaid(t *testing.T) {
	p := openPostOffice(t)
	for name, tt := range map[string]struct {
		change func(*Mail)
		says   string
	}{
		"a wrong password":         {func(m *Mail) { m.Password = "wr0ng" }, `log in as baton: 535 "Incorrect authentication data"`},
		"no login":                 {func(m *Mail) { m.User = "" }, `to dba@example.com: 550 "log in first"`},
		"an unknown recipient":     {func(m *Mail) { m.To = []string{"nobody@example.com"} }, `to nobody@example.com: 550 "no such user here"`},
		"a stranger's certificate": {func(m *Mail) { m.TLS = nil }, "certificate"},
		"no TLS where it begins":   {func(m *Mail) { m.Security, m.Server = Implicit, net.JoinHostPort(p.host, mailPort) }, "tls: first record does not look like a TLS handshake"},
		"a password in the open":   {func(m *Mail) { m.Security = Plain }, "log in as baton: unencrypted connection"},
	} {
		t.Run(name, func(t *testing.T) {
			err := p.mail(tt.change).Send(t.Context(), sample())
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("got %v, want that it says %q", err, tt.says)
			}
		})
	}
	if got := p.queued(t); len(got) != 0 {
		t.Errorf("it holds %v", got)
	}
}

func TestAMailServerThatHangsCostsTheTimeOfTheAttempt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody greets
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	m := Mail{Server: l.Addr().String(), From: "a@b", To: []string{"c@d"}, Now: noon}
	if err := m.Send(ctx, sample()); err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("got %v", err)
	}
}

func TestAMessageCanBeReadByAnybody(t *testing.T) {
	n := sample()
	n.Reason = "größer\r\nBcc: somebody@example.com"
	text := Mail{From: "baton@example.com", To: []string{"dba@example.com"}, Now: noon}.message(n)
	m, err := mail.ReadMessage(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Bcc") != "" || m.Header.Get("Date") != "Fri, 20 Nov 2026 10:00:00 +0000" || m.Header.Get("Message-ID") == "" || !strings.HasPrefix(m.Header.Get("Subject"), "=?utf-8?q?") {
		t.Errorf("the header: %v", m.Header)
	}
	if _, err := io.ReadAll(m.Body); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
