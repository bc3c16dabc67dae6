package embed

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// diskEvery is how often the disk of the store is tried.
const diskEvery = 2 * time.Second

// disk tries how long a write to the store's file system takes. etcd tells only
// of a slow fdatasync, of a second and more; a disk that hangs stops it before
// that, without a word.
type disk struct {
	path  string
	limit time.Duration // from here on it is slow
	log   *slog.Logger

	mu    sync.Mutex
	began time.Time // of the write that is under way; zero: there is none
	took  time.Duration
}

// newDisk is for the file system of dir. A write that takes half an election
// makes this member fall silent for the others.
func newDisk(dir string, election time.Duration, log *slog.Logger) *disk {
	return &disk{path: filepath.Join(dir, "member", "disk"), limit: election / 2, log: log}
}

// watch tries the disk until done is closed. A write that hangs is not given
// up: nothing could be done about it, and Slow tells how long it has been.
func (d *disk) watch(done <-chan struct{}) {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	slow := false
	for {
		err := d.try()
		was := slow
		if slow = d.Slow() != ""; slow != was || err != nil {
			d.log.Warn("the store's disk", "slow", slow, "took", d.took, "path", d.path, "err", err)
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

func (d *disk) try() error {
	d.mark(time.Now())
	f, err := os.OpenFile(d.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, time.Now().UnixNano())
		if err == nil {
			err = unix.Fdatasync(int(f.Fd()))
		}
		_ = f.Close() // written already
	}
	d.mark(time.Time{})
	if err != nil {
		return fmt.Errorf("try the store's disk: %w", err)
	}
	return nil
}

func (d *disk) mark(began time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if began.IsZero() {
		d.took = time.Since(d.began)
	}
	d.began = began
}

// Slow says how the disk is slow, or nothing.
func (d *disk) Slow() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.began.IsZero() {
		if since := time.Since(d.began); since >= d.limit {
			return fmt.Sprintf("a write to %s has not ended for %s", filepath.Dir(d.path), since.Round(10*time.Millisecond))
		}
	}
	if d.took >= d.limit {
		return fmt.Sprintf("a write to %s took %s", filepath.Dir(d.path), d.took.Round(time.Millisecond))
	}
	return ""
}
