package backfill

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// The part of the client/server protocol that a source speaks with its replica:
// packets, the handshake, and answers of one row.

// What a source here is able to do, and the commands that a replica gives.
const (
	capabilities = 0x1 | 0x4 | 0x200 | 0x2000 | 0x8000 | 0x80000 // long password, long flag, 4.1, transactions, secure connection, plugin
	autocommit   = 0x2

	commandQuit     = 0x01
	commandQuery    = 0x03
	commandPing     = 0x0e
	commandDump     = 0x12
	commandRegister = 0x15
	commandDumpGTID = 0x1e

	packetMost = 1<<24 - 1
)

// The ways in which the two kinds of servers prove a password.
const (
	nativePassword = "mysql_native_password"
	sha2Password   = "caching_sha2_password"
)

var errProtocol = errors.New("the replica says something that is not understood")

// conn is one connection of a replica.
type conn struct {
	net.Conn
	in  *bufio.Reader
	out *bufio.Writer
	seq byte
}

func newConn(c net.Conn) *conn {
	return &conn{Conn: c, in: bufio.NewReader(c), out: bufio.NewWriterSize(c, 64<<10)}
}

// read reads one packet. What a replica says is short.
func (c *conn) read() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return nil, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n > 1<<20 {
		return nil, fmt.Errorf("%w: %d bytes", errProtocol, n)
	}
	c.seq = head[3] + 1
	b := make([]byte, n)
	_, err := io.ReadFull(c.in, b)
	return b, err
}

// write puts one packet into the buffer.
func (c *conn) write(b []byte) error { return c.stream(int64(len(b)), bytes.NewReader(b)) }

// stream puts one packet of n bytes into the buffer, in several if it is too long
// for one.
func (c *conn) stream(n int64, from io.Reader) error {
	for {
		now := min(n, packetMost)
		if _, err := c.out.Write([]byte{byte(now), byte(now >> 8), byte(now >> 16), c.seq}); err != nil {
			return err
		}
		c.seq++
		if _, err := io.CopyN(c.out, from, now); err != nil {
			return err
		}
		if n -= now; now < packetMost {
			return nil
		}
	}
}

func (c *conn) ok() error { return c.say([]byte{0, 0, 0, autocommit, 0, 0, 0}) }

func (c *conn) say(packets ...[]byte) error {
	for _, p := range packets {
		if err := c.write(p); err != nil {
			return err
		}
	}
	return c.out.Flush()
}

// refuse answers with an error of the server's kind.
func (c *conn) refuse(code uint16, state, text string) error {
	b := binary.LittleEndian.AppendUint16([]byte{0xff}, code)
	return c.say(append(append(append(b, '#'), state...), text...))
}

// row answers with one row.
func (c *conn) row(names, values []string) error {
	packets := [][]byte{{byte(len(names))}}
	for _, n := range names {
		var b []byte
		for _, s := range []string{"def", "", "", "", n, n} {
			b = text(b, s)
		}
		b = append(b, 0x0c, 33, 0, 0, 1, 0, 0, 0xfd, 0, 0, 0, 0, 0)
		packets = append(packets, b)
	}
	eof := []byte{0xfe, 0, 0, autocommit, 0}
	var b []byte
	for _, v := range values {
		b = text(b, v)
	}
	return c.say(append(packets, eof, b, eof)...)
}

// text appends a string with its length before it.
func text(b []byte, s string) []byte {
	if n := len(s); n < 251 {
		b = append(b, byte(n))
	} else {
		b = append(b, 0xfc, byte(n), byte(n>>8)) // none is longer
	}
	return append(b, s...)
}

// greet lets in who knows the password.
func (c *conn) greet(version, plugin, user, password string, nonce []byte) error {
	b := append([]byte{10}, version...)
	b = append(b, 0, 1, 0, 0, 0) // the connection's number
	b = append(append(b, nonce[:8]...), 0)
	b = append(b, capabilities&0xff, capabilities>>8&0xff, 33, autocommit, 0, capabilities>>16&0xff, capabilities>>24&0xff, byte(len(nonce)+1))
	b = append(append(b, make([]byte, 10)...), nonce[8:]...)
	b = append(append(append(b, 0), plugin...), 0)
	c.seq = 0
	if err := c.say(b); err != nil {
		return err
	}
	answer, err := c.read()
	if err != nil {
		return err
	}
	who, proof, ok := readLogin(answer)
	if !ok {
		return fmt.Errorf("%w: its login", errProtocol)
	}
	if who != user || subtle.ConstantTimeCompare(proof, prove(plugin, password, nonce)) != 1 {
		return errors.Join(fmt.Errorf("%q may not log in", who), c.refuse(1045, "28000", "Access denied"))
	}
	if plugin == sha2Password {
		if err := c.say([]byte{1, 3}); err != nil { // the proof is enough
			return err
		}
	}
	return c.ok()
}

// readLogin reads who logs in and the proof of the password.
func readLogin(b []byte) (user string, proof []byte, ok bool) {
	if len(b) < 32 {
		return "", nil, false
	}
	name, rest, ok := bytes.Cut(b[32:], []byte{0})
	if !ok || len(rest) == 0 || int(rest[0]) > len(rest)-1 {
		return "", nil, false
	}
	return string(name), rest[1 : 1+int(rest[0])], true
}

// prove is what shows that somebody knows a password.
func prove(plugin, password string, nonce []byte) []byte {
	if plugin == nativePassword {
		once := sha1.Sum([]byte(password))
		twice := sha1.Sum(once[:])
		with := sha1.Sum(append(bytes.Clone(nonce), twice[:]...))
		subtle.XORBytes(with[:], with[:], once[:])
		return with[:]
	}
	once := sha256.Sum256([]byte(password))
	twice := sha256.Sum256(once[:])
	with := sha256.Sum256(append(twice[:], nonce...))
	subtle.XORBytes(with[:], with[:], once[:])
	return with[:]
}
