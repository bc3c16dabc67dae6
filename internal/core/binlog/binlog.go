// Package binlog answers what the events of a binary log begin with: their kinds
// and the header that all of them have, in version 4 of the format, which MySQL has
// written since 5.0 and MariaDB always.
//
// It reads no file and no event's body. The one rule: nothing is concluded from a
// header's length before it was looked at whether it can be one, for what a server
// that died was just writing may be anything.
package binlog

import "encoding/binary"

// Magic is what a binary log begins with.
const Magic = "\xfebin"

// HeaderLength is how many bytes every event begins with.
const HeaderLength = 19

// Where things are in a header.
const (
	KindAt   = 4
	ServerAt = 5
	LengthAt = 9
	EndAt    = 13 // where the event ends in its log
	FlagsAt  = 17
)

// Kind is what an event is.
type Kind byte

// The kinds that matter to Baton. Those from 160 on are MariaDB's.
const (
	Query       Kind = 2
	Stop        Kind = 3
	Rotate      Kind = 4
	Description Kind = 15
	Xid         Kind = 16
	Incident    Kind = 26
	GTID        Kind = 33 // MySQL
	Anonymous   Kind = 34
	Previous    Kind = 35
	XAPrepare   Kind = 38
	Payload     Kind = 40 // a whole transaction, compressed
	TaggedGTID  Kind = 42
	GTIDMaria   Kind = 162
	GTIDList    Kind = 163
	Encryption  Kind = 164 // what follows is not plain
	QueryPacked Kind = 165
)

// BeginsTransaction reports whether a transaction begins with an event of this kind.
func (k Kind) BeginsTransaction() bool {
	switch k {
	case GTID, Anonymous, TaggedGTID, GTIDMaria:
		return true
	}
	return false
}

// Header is what every event begins with.
type Header struct {
	Kind   Kind
	Server uint32
	Length int64 // of the whole event, in bytes
}

// ReadHeader reads the first HeaderLength bytes of an event.
func ReadHeader(b []byte) Header {
	return Header{Kind: Kind(b[KindAt]), Server: binary.LittleEndian.Uint32(b[ServerAt:]), Length: int64(binary.LittleEndian.Uint32(b[LengthAt:]))}
}

// Plausible reports whether this can be an event where so many bytes are left.
func (h Header) Plausible(left int64) bool {
	return h.Kind != 0 && h.Length >= HeaderLength && h.Length <= left
}
