package zookeeper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The part of ZooKeeper's protocol that reads and writes one node. Everything is
// a frame of four bytes of length and that many bytes; numbers are big-endian,
// texts and buffers begin with their length, -1 for none (jute, zookeeper.jute of
// ZooKeeper 3.4 and later, which is the same for all of them).

// Operations, and the number of the request that gives a name and a password.
const (
	opCreate  = 1
	opGetData = 4
	opSetData = 5
	opSync    = 9
	opAuth    = 100
	opClose   = -11

	authRequest = -4
)

// noNode is the version of a node that there is not.
const noNode int64 = -1

// code is an error of ZooKeeper's.
type code int32

const (
	errNoNode     code = -101
	errNoAuth     code = -102
	errBadVersion code = -103
	errNodeExists code = -110
	errAuthFailed code = -115
)

func (c code) Error() string {
	text := map[code]string{
		-1: "system error", -4: "connection lost", -7: "timed out", -9: "bad version of the protocol",
		errNoNode: "there is no such node", errNoAuth: "not permitted (NoAuth)", errBadVersion: "it has been changed",
		-108: "an ephemeral node has no children", errNodeExists: "the node is there already",
		-112: "the session has expired", errAuthFailed: "the name or the password is refused",
		-118: "the session has moved to another server", -119: "this server only reads",
	}[c]
	if text == "" {
		text = "an error"
	}
	return fmt.Sprintf("ZooKeeper says: %s (%d)", text, int32(c))
}

// packet is the content of a frame that is being written.
type packet []byte

func (p packet) number(n int32) packet { return binary.BigEndian.AppendUint32(p, uint32(n)) }
func (p packet) long(n int64) packet   { return binary.BigEndian.AppendUint64(p, uint64(n)) }
func (p packet) text(s string) packet  { return append(p.number(int32(len(s))), s...) }

// send writes packets as frames, all at once.
func send(to io.Writer, all ...packet) error {
	var b packet
	for _, p := range all {
		b = append(b.number(int32(len(p))), p...)
	}
	_, err := to.Write(b)
	return err
}

// maxFrame bounds what an answer may hold: a node has at most 1 MiB by default.
const maxFrame = 4 << 20

// receive reads one frame.
func receive(from io.Reader) (*answer, error) {
	var size [4]byte
	if _, err := io.ReadFull(from, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxFrame {
		return nil, errors.New("what answers does not speak ZooKeeper's protocol")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(from, b); err != nil {
		return nil, err
	}
	return &answer{rest: b}, nil
}

// answer is a frame that is being read. Once it has ended too early it stays short.
type answer struct {
	rest  []byte
	short bool
}

func (a *answer) take(n int) []byte {
	if n < 0 || n > len(a.rest) {
		a.short = true
		return make([]byte, max(0, min(n, 8)))
	}
	b := a.rest[:n]
	a.rest = a.rest[n:]
	return b
}

func (a *answer) number() int32 { return int32(binary.BigEndian.Uint32(a.take(4))) }
func (a *answer) long() int64   { return int64(binary.BigEndian.Uint64(a.take(8))) }

// buffer is nil where there is none.
func (a *answer) buffer() []byte {
	n := a.number()
	if n == -1 {
		return nil
	}
	return a.take(int(n))
}

// version skips to the version in a node's state, which follows its data: when it was
// created and changed (two numbers and two times), then the version of its data.
func (a *answer) version() int64 {
	a.take(4 * 8)
	return int64(a.number())
}

func (a *answer) whole() error {
	if a.short {
		return errors.New("the answer ends too early: it is not of ZooKeeper's")
	}
	return nil
}
