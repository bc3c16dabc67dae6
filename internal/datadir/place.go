// Package datadir answers how a server's data can be replaced by a copy of
// another one's, so that at every moment either the old data or the whole new
// data is in its place.
//
// It starts and stops no server and asks none: somebody else has stopped it
// before Put. The rule that must not be broken: nothing of the old data is
// touched before the copy beside it is whole, and a directory that a server
// uses is never moved. design.md, section 9.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Place is where a server's data is: a directory that is no mount point, so that
// it can be renamed.
type Place string

// Look is what a place looks like.
type Look struct {
	Bytes int64 // in it
	Free  int64 // on its file system
	Owner int   // user and group that the server runs as
	Group int
}

// staging is where the copy grows. What the server itself has to write into is
// one level below, for its user may not write beside its data directory.
func (p Place) staging() string { return string(p) + ".reclone" }

// Copy is the directory that the copy is to be put into. It is not there yet.
func (p Place) Copy() string { return filepath.Join(p.staging(), "data") }

// Look looks at the place and says what is in the way of replacing it.
func (p Place) Look() (Look, error) {
	dir := string(p)
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Look{}, fmt.Errorf("there is no data directory %s: make it, empty, owned by the system user of the server", dir)
	case err != nil:
		return Look{}, fmt.Errorf("look at the data directory: %w", err)
	case !info.IsDir():
		return Look{}, fmt.Errorf("%s is no directory (a symbolic link?): name the directory itself (server.datadir)", dir)
	}
	own := info.Sys().(*syscall.Stat_t)
	var above unix.Stat_t
	if err := unix.Stat(filepath.Dir(dir), &above); err != nil {
		return Look{}, fmt.Errorf("look at the directory above %s: %w", dir, err)
	}
	if above.Dev != own.Dev {
		return Look{}, fmt.Errorf("%s is a mount point and cannot be renamed: put the data into a directory below it, such as %s (option datadir of the server, server.datadir here)", dir, filepath.Join(dir, "data"))
	}
	var fsys unix.Statfs_t
	if err := unix.Statfs(dir, &fsys); err != nil {
		return Look{}, fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	l := Look{Free: int64(fsys.Bavail) * fsys.Bsize, Owner: int(own.Uid), Group: int(own.Gid)}
	l.Bytes, err = Bytes(dir)
	return l, err
}

// Bytes is how much the files in a directory take.
func Bytes(dir string) (int64, error) {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // a server at work
		case err != nil:
			return err
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	return n, nil
}

// Begin makes room for a copy, removing what an earlier attempt left. With room
// the directory of the copy itself is made, too; otherwise the server makes it.
func (p Place) Begin(l Look, room bool) error {
	if err := p.Clear(); err != nil {
		return err
	}
	dirs := []string{p.staging()}
	if room {
		dirs = append(dirs, p.Copy())
	}
	for _, dir := range dirs {
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			err = os.Chown(dir, l.Owner, l.Group)
		}
		if err != nil {
			return fmt.Errorf("make room for the copy beside %s: %w", p, err)
		}
	}
	return nil
}

// Clear removes what is left of a copy that is not in place.
func (p Place) Clear() error {
	if err := p.endSeed(); err != nil {
		return err
	}
	if err := os.RemoveAll(p.staging()); err != nil {
		return fmt.Errorf("remove what is left of a copy: %w", err)
	}
	return nil
}

// marker is the file by which a copy is known wherever it lies. Servers ignore it.
const marker = "baton-copy"

// Seal makes the copy the server's own, marks it as that of a request, and has it
// on disk.
func (p Place) Seal(l Look, id string) error {
	if err := os.WriteFile(filepath.Join(p.Copy(), marker), []byte(id), 0o600); err != nil {
		return fmt.Errorf("mark the copy: %w", err)
	}
	err := filepath.WalkDir(p.Copy(), func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, l.Owner, l.Group)
		}
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			err = onDisk(path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("make the copy the server's own: %w", err)
	}
	return onDisk(p.staging())
}

// onDisk has a file, or the names in a directory, on disk.
func onDisk(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("have it on disk: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// Holds reports whether what is in place is the copy that was made for a request.
func (p Place) Holds(id string) bool {
	b, err := os.ReadFile(filepath.Join(string(p), marker))
	return err == nil && id != "" && string(b) == id
}

// Unmark makes the copy in place data like any other.
func (p Place) Unmark() error {
	if err := os.Remove(filepath.Join(string(p), marker)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take the mark off the copy: %w", err)
	}
	return nil
}

// OldName is where the data goes that a copy takes the place of.
func (p Place) OldName(now time.Time) string {
	return fmt.Sprintf("%s.before-reclone-%s", p, now.UTC().Format("20060102-150405.000"))
}

// Put puts the copy in place of the data, in one instant, and gives the old data
// its name. It may be called again after a crash.
func (p Place) Put(id, old string) error {
	if err := p.unused(); err != nil {
		return err
	}
	if !p.Holds(id) {
		if err := unix.Renameat2(unix.AT_FDCWD, p.Copy(), unix.AT_FDCWD, string(p), unix.RENAME_EXCHANGE); err != nil {
			return fmt.Errorf("exchange %s and its copy (a file system without RENAME_EXCHANGE?): %w", p, err)
		}
	}
	// From here on the new data is in place; what is left is only a name.
	if err := os.Rename(p.Copy(), old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give the old data its name: %w", err)
	}
	return errors.Join(p.Clear(), onDisk(filepath.Dir(string(p))))
}

// Back puts the old data back in its place and removes the copy.
func (p Place) Back(old string) error {
	if err := p.unused(); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, old, unix.AT_FDCWD, string(p), unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("put the old data back from %s: %w", old, err)
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("remove the copy: %w", err)
	}
	return nil
}

// ErrInUse says that a server has its data open.
var ErrInUse = errors.New("a server still uses the data directory")

// unused makes sure that no server has the data open, whichever way it was
// started: InnoDB holds a lock on its first file.
func (p Place) unused() error {
	f, err := os.OpenFile(filepath.Join(string(p), "ibdata1"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there is no data
	}
	if err != nil {
		return fmt.Errorf("see whether a server uses %s: %w", p, err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return fmt.Errorf("see whether a server uses %s: %w", p, err)
	}
	if lock.Type != unix.F_UNLCK {
		return fmt.Errorf("%w: %s, by process %d", ErrInUse, p, lock.Pid)
	}
	return nil
}

// Keep copies a file of the data into the copy, if there is one.
func (p Place) Keep(name string) error {
	b, err := os.ReadFile(filepath.Join(string(p), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(p.Copy(), name), b, 0o640)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}
