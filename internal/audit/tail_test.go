package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/binlog"
)

// events is a binary log of events of these kinds, each of 100 bytes.
func events(kinds ...binlog.Kind) []byte {
	b := []byte(binlog.Magic)
	for _, k := range kinds {
		e := make([]byte, 100)
		e[binlog.KindAt] = byte(k)
		binary.LittleEndian.PutUint32(e[binlog.LengthAt:], 100)
		b = append(b, e...)
	}
	return b
}

func TestOfALogThatIsTooBigItsBeginningAndItsEndAreKept(t *testing.T) {
	const describes, list, begins, rows, xid = 15, 163, 162, 23, 16
	log := events(describes, list, begins, rows, xid, begins, rows, xid, begins, rows, xid)
	for name, tt := range map[string]struct {
		log         []byte
		limit       int64
		want        []byte
		note        string
		unreadable  bool
		noneIsThere bool
	}{
		"it fits":                              {log: log, limit: 5000, want: log},
		"one transaction more than fits":       {log: log, limit: 700, want: events(describes, list, begins, rows, xid, begins, rows, xid), note: "what begins at 504 is kept"},
		"its last transaction fits":            {log: log, limit: 300, want: events(describes, list, begins, rows, xid), note: "what begins at 804 is kept"},
		"not even that fits":                   {log: log, limit: 299, noneIsThere: true, note: "is not kept"},
		"the end is in the middle of an event": {log: log[:len(log)-50], limit: 250, want: events(describes, list, begins, rows, xid)[:454], note: "804"},
		"a log that is no log":                 {log: bytes.Repeat([]byte("x"), 1000), limit: 500, unreadable: true},
		"an event that is shorter than itself": {log: append(events(describes), make([]byte, 500)...), limit: 300, unreadable: true},
		"an encrypted one":                     {log: events(describes, binlog.Encryption, begins, begins), limit: 300, unreadable: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "bin.000007")
			if err := os.WriteFile(path, tt.log, 0o600); err != nil {
				t.Fatal(err)
			}
			kept, notes, err := KeepTail(t.Context(), []string{path}, filepath.Join(dir, "kept"), tt.limit)
			if tt.unreadable {
				if !errors.Is(err, errOpaque) {
					t.Errorf("it says %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(notes, "; "); !strings.Contains(all, tt.note) || tt.note == "" && all != "" {
				t.Errorf("noted is %q, want %q", all, tt.note)
			}
			if tt.noneIsThere {
				if len(kept) > 0 {
					t.Errorf("kept is %v", kept)
				}
				return
			}
			got, err := os.ReadFile(filepath.Join(dir, "kept", "bin.000007"))
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("%d bytes are kept, want %d; %v", len(got), len(tt.want), err)
			}
		})
	}
}

func TestTheNewestLogsAreKeptFirst(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"bin.000009", "bin.000010", "bin.000011", "bin.index", "other.000012", "bin.000011.bak"} {
		if err := os.WriteFile(filepath.Join(dir, name), events(15, 162), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := LogsBeside(filepath.Join(dir, "bin.000002"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range logs {
		names = append(names, filepath.Base(l))
	}
	if got := strings.Join(names, " "); got != "bin.000009 bin.000010 bin.000011" {
		t.Fatalf("its logs are %s", got)
	}
	kept, notes, err := KeepTail(t.Context(), logs, filepath.Join(dir, "kept"), 500)
	if err != nil || len(kept) != 2 || filepath.Base(kept[0]) != "bin.000010" || !strings.Contains(strings.Join(notes, ";"), "bin.000009 and what is older is not kept") {
		t.Errorf("kept is %v, %v, %v", kept, notes, err)
	}
	if _, err := LogsBeside(filepath.Join(dir, "bin")); err == nil {
		t.Error("a log without a number has no neighbours")
	}
}

// keepsTheEnd: what a dead server's log holds beyond a position is found without
// asking the server, also if only the end of the log was kept.
func keepsTheEnd(t *testing.T, p pair) {
	before := p.fresh(t)
	p.lost.run(t, "CREATE TABLE app.tail (id INT PRIMARY KEY, v VARCHAR(2000)) ENGINE=InnoDB; FLUSH BINARY LOGS; INSERT INTO app.tail VALUES (1, REPEAT('x', 2000))")
	held := p.lost.executed(t)
	p.lost.run(t, "INSERT INTO app.tail VALUES (2, REPEAT('x', 2000)); INSERT INTO app.tail VALUES (3, 'last')")
	all := p.lost.executed(t)
	j := p.lost.job(t, before)
	log := j.Files[len(j.Files)-1]
	p.lost.Kill(t)
	defer func() {
		p.lost.Up(t)
		p.lost.writable(t)
	}()

	var err error
	if j.Files, err = LogsBeside(log); err != nil {
		t.Fatal(err)
	}
	beyond, known, err := j.Beyond(t.Context(), held)
	if err != nil || !known || len(beyond) != 1 || beyond[0] != log {
		t.Errorf("what was written last is in %v, %t, %v", beyond, known, err)
	}
	if older, known, err := j.Beyond(t.Context(), before); err != nil || !known || len(older) != 2 {
		t.Errorf("what was written since the beginning is in %v, %t, %v", older, known, err)
	}
	info, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int64]uint64{info.Size(): 2, 2000: 1} {
		kept, notes, err := KeepTail(t.Context(), beyond, filepath.Join(t.TempDir(), "kept"), limit)
		if err != nil || len(kept) != 1 || (len(notes) > 0) != (limit == 2000) {
			t.Fatalf("%d bytes: %v, %v, %v", limit, kept, notes, err)
		}
		j.Files = kept
		logged, err := j.Logged(t.Context(), held)
		if err != nil || logged.Whole.Count() != want || !all.Contains(logged.Whole) || held.Contains(logged.Whole) {
			t.Errorf("%d bytes hold %s besides %s, %v", limit, logged.Whole, held, err)
		}
	}
	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "bin.000001")
	if err := os.WriteFile(cut, whole[:len(whole)-20], 0o600); err != nil { // in the middle of the last commit
		t.Fatal(err)
	}
	j.Files = []string{cut}
	if logged, err := j.Logged(t.Context(), held); err != nil || logged.Count != 1 {
		t.Errorf("a log that was cut off in its last transaction holds %d, %v, %v", logged.Count, logged.Complaints, err)
	}
}

// FuzzBoundary: whatever the bytes of a log are, where its transactions begin is
// found within it, or nowhere.
func FuzzBoundary(f *testing.F) {
	f.Add(events(15, 163, 162, 23, 16, 162, 23, 16), int64(300))
	f.Add(events(15, 35, 33, 2, 19, 30, 16, 42, 16), int64(500))
	f.Add(events(15, 164, 162), int64(1))
	f.Add(events(15)[:20], int64(0))
	f.Add([]byte(binlog.Magic), int64(0))
	f.Fuzz(func(t *testing.T, log []byte, least int64) {
		first, found, err := boundary(t.Context(), bytes.NewReader(log), least)
		if err != nil && !errors.Is(err, errOpaque) {
			t.Fatal(err)
		}
		if found != 0 && (found < least || first > found || first < 4 || found+19 > int64(len(log)) || !binlog.ReadHeader(log[found:]).Kind.BeginsTransaction() || !binlog.ReadHeader(log[first:]).Kind.BeginsTransaction()) {
			t.Errorf("of %d bytes the first begins at %d, and one after %d at %d", len(log), first, least, found)
		}
	})
}
