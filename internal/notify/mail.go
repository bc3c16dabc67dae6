package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"strings"
	"time"
)

// How a mail server is reached.
const (
	StartTLS = "starttls" // a plain connection that becomes TLS before anything is said (RFC 3207)
	Implicit = "implicit" // TLS from the first byte (RFC 8314)
	Plain    = "none"     // for a server on this host
)

// Mail is a receiver that is told by mail.
type Mail struct {
	Server   string // host:port
	From     string
	To       []string
	User     string // empty: no login
	Password string
	Security string
	TLS      *tls.Config // nil: the authorities that the host trusts
	Now      func() time.Time
}

// Send implements Sender. It is done once the server has taken the mail over.
func (m Mail) Send(ctx context.Context, n Notice) error {
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil {
		return fmt.Errorf("the mail server %q: %w", m.Server, err)
	}
	err = m.deliver(ctx, host, n)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	text := err.Error()
	if m.Password != "" {
		text = strings.ReplaceAll(text, m.Password, "(secret)")
	}
	return fmt.Errorf("mail by %s: %s", m.Server, text)
}

func (m Mail) deliver(ctx context.Context, host string, n Notice) error {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn := raw
	if m.Security == Implicit {
		conn = tls.Client(raw, m.config(host))
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	if m.Security == StartTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("it offers no STARTTLS")
		}
		if err := c.StartTLS(m.config(host)); err != nil {
			return err
		}
	}
	if m.User != "" {
		if err := c.Auth(smtp.PlainAuth("", m.User, m.Password, host)); err != nil {
			return fmt.Errorf("log in as %s: %w", m.User, err)
		}
	}
	if err := c.Mail(m.From); err != nil {
		return fmt.Errorf("from %s: %w", m.From, err)
	}
	for _, to := range m.To {
		if err := c.Rcpt(to); err != nil {
			return fmt.Errorf("to %s: %w", to, err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.message(n)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // it has the mail already
	return nil
}

func (m Mail) config(host string) *tls.Config {
	if m.TLS == nil {
		return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	c := m.TLS.Clone()
	if c.ServerName == "" {
		c.ServerName = host
	}
	return c
}

// message is the mail (RFC 5322). The same event has the same Message-ID, so that a
// mail that was sent twice, because the first answer was lost, is seen once.
func (m Mail) message(n Notice) []byte {
	var b bytes.Buffer
	id := sha256.Sum256([]byte(n.ID))
	_, domain, _ := strings.Cut(m.From, "@")
	header := func(name, value string) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, strings.NewReplacer("\r", "", "\n", "").Replace(value))
	}
	header("From", "Baton <"+m.From+">")
	header("To", strings.Join(m.To, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", n.Title()))
	header("Date", m.Now().Format(time.RFC1123Z))
	header("Message-ID", "<"+hex.EncodeToString(id[:16])+"@"+domain+">")
	header("Auto-Submitted", "auto-generated") // nobody's holiday answers it (RFC 3834)
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.ReplaceAll(n.Text(), "\n", "\r\n") + "\r\n")) // into a Buffer, which takes everything
	_ = w.Close()
	return b.Bytes()
}
