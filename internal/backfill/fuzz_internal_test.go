package backfill

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/baton-db/baton/internal/core/binlog"
	"github.com/baton-db/baton/internal/core/gtid"
)

// event is one of a kind, of server 3.
func event(kind binlog.Kind, body ...byte) []byte {
	b := make([]byte, binlog.HeaderLength, binlog.HeaderLength+len(body))
	b[binlog.KindAt] = byte(kind)
	binary.LittleEndian.PutUint32(b[binlog.ServerAt:], 3)
	binary.LittleEndian.PutUint32(b[binlog.LengthAt:], uint32(binlog.HeaderLength+len(body)))
	return append(b, body...)
}

func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// query is a statement without a database.
func query(text string) []byte {
	body := make([]byte, 13, 13+1+len(text))
	return event(binlog.Query, append(append(body, 0), text...)...)
}

// logOf is a log that says what there was before, then what is given.
func logOf(before []byte, events ...[]byte) []byte {
	description := make([]byte, 2+50+4+1+10+1+checksum) // without checksums
	copy(description[2:], "10.11.6-MariaDB-log")
	b := append([]byte(binlog.Magic), event(binlog.Description, description...)...)
	b = append(b, before...)
	for _, e := range events {
		b = append(b, e...)
	}
	return b
}

// FuzzFind: whatever stands in a log, it is looked through to an end, and what is
// found lies within the file and is nothing that the other one has.
func FuzzFind(f *testing.F) {
	list := event(binlog.GTIDList, append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0}, number(5)...)...) // 0-3-5
	transaction := func(n uint64) []byte {
		return bytes.Join([][]byte{event(binlog.GTIDMaria, append(number(n), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)...), query("INSERT INTO t VALUES (1)"), event(binlog.Xid, number(n)...)}, nil)
	}
	maria := logOf(list, transaction(6), transaction(7), transaction(8))
	previous := event(binlog.Previous, append(append(append(number(1), make([]byte, 16)...), number(1)...), append(number(1), number(6)...)...)...) // …:1-5
	of := func(n uint64) []byte {
		id := event(binlog.GTID, append(append([]byte{0}, make([]byte, 16)...), number(n)...)...)
		return bytes.Join([][]byte{id, query("BEGIN"), event(binlog.Xid, number(n)...)}, nil)
	}
	mysql := logOf(previous, of(6), of(7))
	f.Add(maria, true)
	f.Add(mysql, false)
	for i := 0; i < len(maria); i += 13 {
		f.Add(maria[:i], true)
		broken := bytes.Clone(maria)
		broken[i] ^= 0x81
		f.Add(broken, true)
	}
	for i := 0; i < len(mysql); i += 17 {
		f.Add(mysql[:i], false)
		broken := bytes.Clone(mysql)
		broken[i] ^= 0x81
		f.Add(broken, false)
	}
	path := filepath.Join(f.TempDir(), "bin.000001")
	f.Fuzz(func(t *testing.T, log []byte, mariadb bool) {
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
		l, have := Log{Flavor: MySQL, Files: []string{path}}, gtid.MustParse("00000000-0000-0000-0000-000000000000:1-6")
		if mariadb {
			l.Flavor, have = MariaDB, gtid.MustParse("0-3-6")
		}
		tail, err := l.Find(t.Context(), have, nil)
		if err != nil {
			return
		}
		at := int64(0)
		for _, p := range tail.parts {
			if p.start < at || p.end <= p.start || p.end > int64(len(log)) {
				t.Fatalf("of %d bytes it found %d to %d, behind %d", len(log), p.start, p.end, at)
			}
			at = p.end
		}
		if (tail.Transactions > 0) != (len(tail.parts) > 0) || have.Subtract(tail.Set).IsZero() && !have.IsZero() {
			t.Fatalf("it found %+v besides %s", tail, have)
		}
		var sent bytes.Buffer
		if err := l.Send(t.Context(), have, &sent); err != nil {
			t.Fatalf("it was found and cannot be sent: %v", err)
		}
		in, err := Receive(&sent)
		if err != nil || in.Tail.Transactions != tail.Transactions || !in.Tail.Set.Equal(tail.Set) {
			t.Fatalf("sent was %+v, and %+v came, %v", tail, in, err)
		}
	})
}

// FuzzReceive: whatever another agent says of a log, it is believed whole or not at
// all.
func FuzzReceive(f *testing.F) {
	for _, said := range []string{
		"{\"looked\":5}\n{\"found\":{\"transactions\":1,\"set\":\"0-3-6..6\",\"bytes\":9}}\nevents", "{\"why\":\"no\",\"kind\":\"diverged\"}\n", "{\"found\":{\"set\":\"0-3-\"}}\n", "{}\n\n", "", "{\"found\":null}",
	} {
		f.Add([]byte(said))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		in, err := Receive(bytes.NewReader(said))
		if (in == nil) != (err != nil) {
			t.Fatalf("%q is %+v, %v", said, in, err)
		}
		if err != nil && errors.Is(err, io.EOF) && bytes.Contains(said, []byte(`"found":{}`)) && bytes.HasPrefix(said, []byte(`{"found":{}}`+"\n")) {
			t.Fatalf("%q: %v", said, err)
		}
	})
}
