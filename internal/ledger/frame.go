package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// A Frame is a part of what the primary tells another node. On the wire:
//
//	length   4 bytes, big-endian, of what follows
//	flags    1 byte
//	beyond, number gone, number added   varints
//	gone     connections
//	added    connections, each with its age in milliseconds as a varint
//
// and a connection is 4 or 6, then the two addresses and the two ports. Ages go
// over the wire, for hosts do not share a clock.
type Frame struct {
	Whole  bool // what was told before does not count: all of it follows
	More   bool // the look is not told to its end yet
	Beyond int
	Gone   []Connection
	Added  []Aged
}

// Aged is a connection and for how long it has been known.
type Aged struct {
	Connection
	Age time.Duration
}

const (
	flagWhole = 1 << iota
	flagMore
)

// frameRows is how many connections go into a frame, and maxFrame what it then
// takes at most, in bytes.
const (
	frameRows = 4096
	maxFrame  = 64 + frameRows*(connectionMax+binary.MaxVarintLen64)

	connectionMax = 1 + 2*16 + 2*2
)

// Frames cuts what a look found into frames, as it is at now. Whole, added is all
// that there is.
func Frames(whole bool, c Change, now cluster.Instant) []Frame {
	var all []Frame
	gone, added := c.Gone, c.Added
	for first := true; first || len(gone)+len(added) > 0; first = false {
		f := Frame{Whole: whole && first, Beyond: c.Beyond}
		n := min(len(gone), frameRows)
		f.Gone, gone = gone[:n], gone[n:]
		m := min(len(added), frameRows-n)
		for _, e := range added[:m] {
			f.Added = append(f.Added, Aged{Connection: e.Connection, Age: now.Sub(e.Since)})
		}
		added = added[m:]
		f.More = len(gone)+len(added) > 0
		all = append(all, f)
	}
	return all
}

// Append appends a frame's wire form.
func (f Frame) Append(b []byte) []byte {
	begin := len(b)
	b = append(b, 0, 0, 0, 0)
	var flags byte
	if f.Whole {
		flags |= flagWhole
	}
	if f.More {
		flags |= flagMore
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(f.Beyond))
	b = binary.AppendUvarint(b, uint64(len(f.Gone)))
	b = binary.AppendUvarint(b, uint64(len(f.Added)))
	for _, c := range f.Gone {
		b = appendConnection(b, c)
	}
	for _, a := range f.Added {
		b = appendConnection(b, a.Connection)
		b = binary.AppendUvarint(b, uint64(max(a.Age, 0).Milliseconds()))
	}
	binary.BigEndian.PutUint32(b[begin:], uint32(len(b)-begin-4))
	return b
}

func appendConnection(b []byte, c Connection) []byte {
	family := byte(6)
	if c.Local.Addr().Is4() && c.Remote.Addr().Is4() {
		family = 4
	}
	b = append(b, family)
	for _, a := range []netip.Addr{c.Local.Addr(), c.Remote.Addr()} {
		if sixteen := a.As16(); family == 6 {
			b = append(b, sixteen[:]...)
		} else {
			b = append(b, a.AsSlice()...)
		}
	}
	b = binary.BigEndian.AppendUint16(b, c.Local.Port())
	return binary.BigEndian.AppendUint16(b, c.Remote.Port())
}

// ReadFrame reads one frame. The error is io.EOF only between two frames.
func ReadFrame(r io.Reader) (Frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return Frame{}, fmt.Errorf("a frame of %d bytes, want no more than %d", n, maxFrame)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return Frame{}, fmt.Errorf("read a frame of %d bytes: %w", n, noEnd(err))
	}
	return decode(body)
}

// noEnd keeps an end in the middle from looking like one between two frames.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errShort = errors.New("a frame ends too early")

func decode(b []byte) (f Frame, err error) {
	if len(b) == 0 {
		return f, errShort
	}
	if b[0]&^(flagWhole|flagMore) != 0 {
		return f, fmt.Errorf("a frame with flags %#x: it is of another version", b[0])
	}
	f.Whole, f.More = b[0]&flagWhole != 0, b[0]&flagMore != 0
	b = b[1:]
	var counts [3]uint64
	for i := range counts {
		if counts[i], b, err = varint(b); err != nil {
			return f, err
		}
	}
	if counts[0] > 1<<31 || counts[1] > frameRows || counts[2] > frameRows {
		return f, fmt.Errorf("a frame with %d connections gone, %d added and %d left out", counts[1], counts[2], counts[0])
	}
	f.Beyond = int(counts[0])
	for range counts[1] {
		var c Connection
		if c, b, err = connection(b); err != nil {
			return f, err
		}
		f.Gone = append(f.Gone, c)
	}
	for range counts[2] {
		var a Aged
		var age uint64
		if a.Connection, b, err = connection(b); err != nil {
			return f, err
		}
		if age, b, err = varint(b); err != nil {
			return f, err
		}
		a.Age = time.Duration(min(age, maxAge)) * time.Millisecond
		f.Added = append(f.Added, a)
	}
	if len(b) > 0 {
		return f, fmt.Errorf("a frame with %d bytes too many", len(b))
	}
	return f, nil
}

// maxAge is a hundred years, in milliseconds.
const maxAge = 100 * 365 * 24 * 3600 * 1000

func varint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errShort
	}
	return v, b[n:], nil
}

func connection(b []byte) (c Connection, rest []byte, err error) {
	if len(b) == 0 {
		return c, nil, errShort
	}
	size := 4
	switch b[0] {
	case 4:
	case 6:
		size = 16
	default:
		return c, nil, fmt.Errorf("a connection of family %d", b[0])
	}
	if b = b[1:]; len(b) < 2*size+4 {
		return c, nil, errShort
	}
	at := func(i int) netip.AddrPort {
		a, _ := netip.AddrFromSlice(b[i*size : (i+1)*size])
		return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(b[2*size+2*i:]))
	}
	return Connection{Local: at(0), Remote: at(1)}, b[2*size+4:], nil
}
