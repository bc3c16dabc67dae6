package proxysqltest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
)

// The server's side of the client/server protocol, as far as the admin interface
// speaks it: mysql_native_password, and COM_QUERY in the text protocol.

const (
	version      = "8.0.11 (ProxySQL Admin Module)"
	encryption   = 0x800                                         // a client that says so goes on over TLS
	capabilities = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000 // long password, with a database, 4.1, transactions, secure connection, plugin
	autocommit   = 0x2
	plugin       = "mysql_native_password"

	commandQuit  = 0x01
	commandQuery = 0x03
	commandPing  = 0x0e
)

// client is one connection.
type client struct {
	net.Conn
	in        *bufio.Reader
	seq       byte
	encrypted bool
}

func (c *client) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	c.seq = head[3] + 1
	b := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
	_, err := io.ReadFull(c.in, b)
	return b, err
}

// say sends packets in one go.
func (c *client) say(packets ...[]byte) error {
	var all []byte
	for _, p := range packets {
		n := len(p)
		all = append(append(all, byte(n), byte(n>>8), byte(n>>16), c.seq), p...)
		c.seq++
	}
	_, err := c.Write(all)
	return err
}

func (c *client) ok() error { return c.say([]byte{0, 0, 0, autocommit, 0, 0, 0}) }

// refuse answers as ProxySQL does, whatever is wrong: with error 1045.
func (c *client) refuse(text string) error {
	return c.say(append(binary.LittleEndian.AppendUint16([]byte{0xff}, 1045), "#28000"+text...))
}

// text is a string with its length before it.
func text(b []byte, s string) []byte {
	b = append(b, 0xfd, byte(len(s)), byte(len(s)>>8), byte(len(s)>>16))
	return append(b, s...)
}

func (c *client) table(columns []string, rows [][]string) error {
	packets := [][]byte{{byte(len(columns))}}
	for _, name := range columns {
		var b []byte
		for _, s := range []string{"def", "", "", "", name, ""} {
			b = text(b, s)
		}
		packets = append(packets, append(b, 0x0c, 33, 0, 0, 1, 0, 0, 0xfd, 0, 0, 0, 0, 0)) // all are strings
	}
	end := []byte{0xfe, 0, 0, autocommit, 0}
	packets = append(packets, end)
	for _, row := range rows {
		var b []byte
		for _, v := range row {
			b = text(b, v)
		}
		packets = append(packets, b)
	}
	return c.say(append(packets, end)...)
}

// secured is a connection whose reader may hold more than has been asked for.
type secured struct {
	net.Conn
	in io.Reader
}

func (s secured) Read(b []byte) (int, error) { return s.in.Read(b) }

// greet lets in who knows the password. With a certificate it offers TLS, and forces
// nobody to it, as ProxySQL does.
func (c *client) greet(certificate *tls.Config) (bool, error) {
	can := uint32(capabilities)
	if certificate != nil {
		can |= encryption
	}
	nonce := []byte(rand.Text()[:20])
	b := append(append([]byte{10}, version...), 0, 1, 0, 0, 0) // the connection's number
	b = append(append(b, nonce[:8]...), 0)
	b = append(b, byte(can), byte(can>>8), 33, autocommit, 0, byte(can>>16), byte(can>>24), byte(len(nonce)+1))
	b = append(append(b, make([]byte, 10)...), nonce[8:]...)
	if err := c.say(append(append(append(b, 0), plugin...), 0)); err != nil {
		return false, err
	}
	login, err := c.read()
	if err == nil && certificate != nil && len(login) == 32 && binary.LittleEndian.Uint32(login)&encryption != 0 {
		c.Conn = tls.Server(secured{c.Conn, c.in}, certificate)
		c.in = bufio.NewReader(c.Conn)
		c.encrypted = true
		login, err = c.read()
	}
	if err != nil || len(login) < 32 {
		return false, err
	}
	user, rest, _ := bytes.Cut(login[32:], []byte{0})
	if len(rest) > 0 && len(rest) > int(rest[0]) && string(user) == User && subtle.ConstantTimeCompare(rest[1:1+int(rest[0])], proof(nonce)) == 1 {
		return true, c.ok()
	}
	return false, c.refuse("ProxySQL Error: Access denied for user '" + string(user) + "'@'127.0.0.1' (using password: YES)")
}

// proof is what shows that somebody knows the password.
func proof(nonce []byte) []byte {
	once := sha1.Sum([]byte(Password))
	twice := sha1.Sum(once[:])
	with := sha1.Sum(append(nonce, twice[:]...))
	subtle.XORBytes(with[:], with[:], once[:])
	return with[:]
}

// serve speaks with one client until it or the server ends.
func (s *Server) serve(conn net.Conn) {
	s.mu.Lock()
	s.conns[conn] = true
	if s.shut {
		_ = conn.Close()
	}
	certificate := s.certificate
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
		_ = conn.Close()
	}()
	c := &client{Conn: conn, in: bufio.NewReader(conn)}
	if in, err := c.greet(certificate); err != nil || !in {
		return
	}
	if !c.encrypted {
		s.clear.Add(1)
	}
	for {
		b, err := c.read()
		if err != nil || len(b) == 0 {
			return
		}
		switch b[0] {
		case commandQuit:
			return
		case commandPing:
			err = c.ok()
		case commandQuery:
			columns, rows, refused := s.answer(string(b[1:]))
			switch {
			case refused != nil:
				err = c.refuse(refused.Error())
			case columns == nil && bytes.HasPrefix(b[1:], []byte("SELECT ")):
				err = c.table([]string{"nothing"}, nil) // the program says nothing of an empty answer, not even its columns
			case columns == nil:
				err = c.ok()
			default:
				err = c.table(columns, rows)
			}
		default: // prepared statements, too
			err = c.refuse("Command not supported")
		}
		if err != nil {
			return
		}
	}
}
