package backfill

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/baton-db/baton/internal/core/binlog"
)

// Where more is in an event, and what it says.
const (
	flagInUse     = 0x01
	flagMadeUp    = 0x20 // artificial: it is in no log
	checksum      = 4    // bytes
	standalone    = 0x01 // MariaDB's GTID event: one statement, without a COMMIT
	createdAt     = binlog.HeaderLength + 2 + 50
	versionLength = 50
)

// seal gives an event its checksum anew.
func seal(event []byte) {
	n := len(event) - checksum
	binary.LittleEndian.PutUint32(event[n:], crc32.ChecksumIEEE(event[:n]))
}

// rotation is the made-up event by which a source names the file that follows.
func rotation(server uint32, file string, pos uint64, checksums bool) []byte {
	b := make([]byte, binlog.HeaderLength+8, binlog.HeaderLength+8+len(file)+checksum)
	b[binlog.KindAt] = byte(binlog.Rotate)
	binary.LittleEndian.PutUint32(b[binlog.ServerAt:], server)
	binary.LittleEndian.PutUint16(b[binlog.FlagsAt:], flagMadeUp)
	binary.LittleEndian.PutUint64(b[binlog.HeaderLength:], pos)
	b = append(b, file...)
	if checksums {
		b = append(b, 0, 0, 0, 0)
	}
	binary.LittleEndian.PutUint32(b[binlog.LengthAt:], uint32(len(b)))
	if checksums {
		seal(b)
	}
	return b
}

// description is what a file says of itself.
type description struct {
	version   string
	checksums bool
}

// describe reads a description event, and makes of it one that can be sent: of a
// log that is closed, and of no server that has just started.
func describe(event []byte) (description, error) {
	if len(event) < createdAt+4+1+1+checksum {
		return description{}, unreadable("its description is %d bytes long", len(event))
	}
	event[binlog.FlagsAt] &^= flagInUse
	copy(event[createdAt:], []byte{0, 0, 0, 0})
	binary.LittleEndian.PutUint32(event[binlog.EndAt:], 0)
	seal(event)
	v, _, _ := bytes.Cut(event[binlog.HeaderLength+2:binlog.HeaderLength+2+versionLength], []byte{0})
	d := description{version: string(v)}
	switch algorithm := event[len(event)-checksum-1]; algorithm {
	case 0:
	case 1:
		d.checksums = true
	default:
		return d, unreadable("its events have checksums of kind %d", algorithm)
	}
	return d, nil
}

// mariadbGTID reads what an event of MariaDB begins.
func mariadbGTID(h binlog.Header, body []byte) (id string, flags byte, ok bool) {
	if len(body) < 13 {
		return "", 0, false
	}
	return fmt.Sprintf("%d-%d-%d", binary.LittleEndian.Uint32(body[8:]), h.Server, binary.LittleEndian.Uint64(body)), body[12], true
}

// mysqlGTID reads what an event of MySQL begins.
func mysqlGTID(body []byte) (source string, number uint64, ok bool) {
	if len(body) < 25 {
		return "", 0, false
	}
	u := body[1:17]
	var b []byte
	for i, p := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, p)
	}
	return string(b), binary.LittleEndian.Uint64(body[17:]), true
}

// gtidList reads what MariaDB had logged before a file.
func gtidList(body []byte) (text string, ok bool) {
	if len(body) < 4 {
		return "", false
	}
	n := int64(binary.LittleEndian.Uint32(body) & (1<<28 - 1)) // the rest are flags
	body = body[4:]
	if int64(len(body)) < 16*n {
		return "", false
	}
	var all []string
	for ; n > 0; n-- {
		all = append(all, fmt.Sprintf("%d-%d-%d", binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint32(body[4:]), binary.LittleEndian.Uint64(body[8:])))
		body = body[16:]
	}
	return strings.Join(all, ","), true
}

// previousGTIDs reads what MySQL had logged before a file. Sets with tags have
// another form, which says so in its first bytes.
func previousGTIDs(body []byte) (text string, ok bool) {
	if len(body) < 8 || body[7] != 0 {
		return "", false
	}
	n := binary.LittleEndian.Uint64(body)
	body = body[8:]
	var all []string
	for ; n > 0; n-- {
		if len(body) < 24 {
			return "", false
		}
		source, intervals, _ := mysqlGTID(append([]byte{0}, body[:24]...))
		body = body[24:]
		if intervals > uint64(len(body)/16) {
			return "", false
		}
		one := source
		for ; intervals > 0; intervals-- {
			first, behind := binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[8:])
			one += fmt.Sprintf(":%d-%d", first, behind-1)
			body = body[16:]
		}
		all = append(all, one)
	}
	return strings.Join(all, ","), true
}

// queryText is the beginning of the text of a statement; most is how much of it.
func queryText(body []byte, checksums bool) string {
	if checksums && len(body) >= checksum {
		body = body[:len(body)-checksum]
	}
	const post = 4 + 4 + 1 + 2 + 2 // thread, time, length of the database's name, error, length of the status
	if len(body) < post {
		return ""
	}
	at := post + int(binary.LittleEndian.Uint16(body[11:])) + int(body[8]) + 1
	if at > len(body) {
		return ""
	}
	return string(body[at:])
}
