package datadir

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// world is a data directory with old data, and what is beside it.
func world(t *testing.T) Place {
	t.Helper()
	p := Place(filepath.Join(t.TempDir(), "mysql"))
	write(t, filepath.Join(string(p), "ibdata1"), "old")
	return p
}

func write(t *testing.T, file, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tree says what is where, in words.
func tree(t *testing.T, p Place) string {
	t.Helper()
	var said []string
	entries, err := os.ReadDir(filepath.Dir(string(p)))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, _ := os.ReadFile(filepath.Join(filepath.Dir(string(p)), e.Name(), "ibdata1"))
		said = append(said, strings.TrimSpace(e.Name()+" "+string(b)))
	}
	return strings.Join(said, ", ")
}

// copied puts a whole copy beside the data.
func copied(t *testing.T, p Place, id string) {
	t.Helper()
	look, err := p.Look()
	if err == nil {
		err = p.Begin(look, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.Copy(), "ibdata1"), "new")
	if err := p.Seal(look, id); err != nil {
		t.Fatal(err)
	}
}

func TestTheCopyTakesThePlaceOfTheData(t *testing.T) {
	p := world(t)
	old := p.OldName(noon)
	copied(t, p, "r1")
	if got := tree(t, p); got != "mysql old, mysql.reclone" || p.Holds("r1") {
		t.Fatalf("a copy beside it changed the data: %s", got)
	}
	for range 2 { // a crash, and once more
		if err := p.Put("r1", old); err != nil {
			t.Fatal(err)
		}
		if got := tree(t, p); got != "mysql new, mysql.before-reclone-20261121-120000.000 old" || !p.Holds("r1") || p.Holds("r2") || p.Holds("") {
			t.Fatalf("put in place: %s", got)
		}
	}
	if err := p.Back(old); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, p); got != "mysql old" || p.Holds("r1") {
		t.Errorf("put back: %s", got)
	}
}

func TestACrashBetweenTheExchangeAndTheNameLosesNothing(t *testing.T) {
	p := world(t)
	copied(t, p, "r1")
	if err := unix.Renameat2(unix.AT_FDCWD, p.Copy(), unix.AT_FDCWD, string(p), unix.RENAME_EXCHANGE); err != nil {
		t.Fatal(err)
	}
	s := State{ID: "r1", Dir: p}
	if !s.Placed() {
		t.Fatal("it is not known that the copy is in place")
	}
	if err := p.Put("r1", p.OldName(noon)); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, p); got != "mysql new, mysql.before-reclone-20261121-120000.000 old" {
		t.Errorf("taken up: %s", got)
	}
	if err := p.Unmark(); err != nil || s.Placed() {
		t.Errorf("it still counts as unfinished, %v", err)
	}
}

func TestDataThatAServerUsesIsNotMoved(t *testing.T) {
	p := world(t)
	copied(t, p, "r1")
	f, err := os.OpenFile(filepath.Join(string(p), "ibdata1"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// As another process would hold it: a lock of this one is no obstacle to itself.
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	before := tree(t, p)
	if err := p.Put("r1", p.OldName(noon)); !errors.Is(err, ErrInUse) {
		t.Errorf("the data was moved under its server: %v", err)
	}
	if got := tree(t, p); got != before {
		t.Errorf("%s became %s", before, got)
	}
}

func TestWhatIsInTheWayIsSaid(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	if err := os.Symlink(dir, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[Place]string{
		Place(filepath.Join(dir, "nothing")): "owned by the system user",
		Place(filepath.Join(dir, "file")):    "no directory",
		Place(filepath.Join(dir, "link")):    "symbolic link",
		"/proc":                              "mount point",
	} {
		if _, err := place.Look(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", place, err, want)
		}
	}
	p := world(t)
	if l, err := p.Look(); err != nil || l.Bytes != 3 || l.Free == 0 || l.Owner != os.Getuid() {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestTheJournalIsWhatWasSavedLast(t *testing.T) {
	j := Journal(filepath.Join(t.TempDir(), "reclone.json"))
	if s, err := j.Load(); err != nil || s != (State{}) || s.Placed() {
		t.Fatalf("%+v, %v", s, err)
	}
	want := State{ID: "r1", Dir: "/a", Donor: "db2", Old: "/b", Logged: "0-1-5"}
	if err := errors.Join(j.Save(State{ID: "r0"}), j.Save(want)); err != nil {
		t.Fatal(err)
	}
	if s, err := j.Load(); err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
	if err := errors.Join(j.Clear(), j.Clear()); err != nil {
		t.Error(err)
	}
	write(t, string(j), "{")
	if _, err := j.Load(); err == nil {
		t.Error("a damaged journal was taken for none")
	}
}

// A program that fails, and a stream that breaks, are told in their own words.
func TestACopyThatBreaksOffIsAnError(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		write(t, path, "#!/bin/sh\n"+text)
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tool := Tool{
		Backup: script("backup", "echo some data; echo 'line one' >&2; echo 'Error: no privilege' >&2; exit 3\n"),
		Unpack: script("unpack", "cat > \"$3/got\"\n"),
	}
	var out bytes.Buffer
	if err := tool.Send(t.Context(), Login{}, filepath.Join(dir, "scratch"), &out); err == nil || !strings.Contains(err.Error(), "no privilege") || strings.Contains(err.Error(), "line one") {
		t.Errorf("the backup failed with %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "scratch")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the login was left behind")
	}
	broken := errors.New("the connection broke")
	if err := tool.Receive(t.Context(), io.MultiReader(strings.NewReader("some"), iotest.ErrReader(broken)), dir); !errors.Is(err, broken) {
		t.Errorf("a broken stream ended with %v", err)
	}
	// A program that has read enough does not end the stream: its end may still be
	// bad news.
	tool.Unpack = script("early", "head -c 4 > /dev/null\n")
	late := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), iotest.ErrReader(broken))
	if err := tool.Receive(t.Context(), late, dir); !errors.Is(err, broken) {
		t.Errorf("the end of the stream was not heard: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tool.Receive(ctx, strings.NewReader(""), dir); err == nil {
		t.Error("nobody wanted it any more")
	}
}

func TestWhereACopyStands(t *testing.T) {
	for text, want := range map[string]string{
		"binlog.000001\t3585\t0-11-10\n":          "0-11-10",
		"binlog.000001\t3585\t0-11-10,1-11-7\n":   "0-11-10,1-11-7",
		"binlog.000001\t3585\t0-11-10,\n1-11-7\n": "0-11-10,1-11-7",
		"binlog.000001\t3585\n":                   "",
		"":                                        "",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "xtrabackup_binlog_info"), text)
		if got, err := standsAt(dir); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := standsAt(t.TempDir()); err == nil {
		t.Error("a copy without a position has one")
	}
}
