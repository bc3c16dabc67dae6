package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// diskSize is what a disk of a data node holds. Its image takes no more room
// than what is written to it.
const diskSize = 1 << 30

// CanDisks says what this machine lacks to give every data node a disk of its own.
func CanDisks() error {
	if os.Geteuid() != 0 {
		return errors.New("disks of the nodes' own are mounted: run it as root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("disks of the nodes' own are loop devices: %w", err)
	}
	for _, p := range []string{"mkfs.ext4", "e2fsck", "mount", "umount"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("no program %s: install the packages e2fsprogs and mount", p)
		}
	}
	return nil
}

// dataDir is where a node's server keeps its data.
func (l *Lab) dataDir(node string) string {
	if l.Disks {
		return l.path("disks", node, "data")
	}
	return l.path(node, "data")
}

func (l *Lab) disk(node string) string      { return l.path("disks", node) }
func (l *Lab) diskImage(node string) string { return l.path(node, "disk.img") }

// buildDisks gives every data node a disk. What is mounted below here, or taken
// away, has to reach processes that run already: each of the lab's has a mount
// namespace of its own (`ip netns exec`), which follows shared mounts only.
func (l *Lab) buildDisks(ctx context.Context) error {
	base := l.path("disks")
	if err := os.MkdirAll(base, 0o750); err != nil {
		return fmt.Errorf("make the directory of the disks: %w", err)
	}
	for _, m := range []struct {
		source string
		flags  uintptr
	}{{base, unix.MS_BIND}, {"", unix.MS_PRIVATE}, {"", unix.MS_SHARED}} {
		if err := unix.Mount(m.source, base, "", m.flags, ""); err != nil {
			return fmt.Errorf("share what is mounted below %s: %w", base, err)
		}
	}
	return l.onAll(l.DataNodes(), func(n string) error {
		if err := os.MkdirAll(l.disk(n), 0o750); err != nil {
			return fmt.Errorf("make the mount point of %s: %w", n, err)
		}
		if err := os.MkdirAll(l.path(n), 0o750); err != nil {
			return fmt.Errorf("make the directory of %s: %w", n, err)
		}
		image, err := os.Create(l.diskImage(n))
		if err != nil {
			return fmt.Errorf("make the disk of %s: %w", n, err)
		}
		if err := errors.Join(image.Truncate(diskSize), image.Close()); err != nil {
			return fmt.Errorf("make the disk of %s: %w", n, err)
		}
		// No block is kept for root, who runs the servers here.
		if err := run1(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", l.diskImage(n)); err != nil {
			return err
		}
		return l.mountDisk(ctx, n)
	})
}

// mountDisk mounts a disk as most hosts have theirs: an error makes it read-only.
func (l *Lab) mountDisk(ctx context.Context, node string) error {
	return run1(ctx, "mount", "-t", "ext4", "-o", "loop,noatime,errors=remount-ro", l.diskImage(node), l.disk(node))
}

// unmountDisk takes a disk off, of which nothing may be open any more. One that
// is not mounted is no error.
func (l *Lab) unmountDisk(ctx context.Context, node string) error {
	return until(ctx, "nobody uses the disk of "+node, func(context.Context) error {
		err := unix.Unmount(l.disk(node), unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	})
}

// removeDisks takes all disks away. No process of the lab is left by then.
func (l *Lab) removeDisks(ctx context.Context) error {
	if !l.Disks {
		return nil
	}
	for _, n := range l.DataNodes() {
		if err := l.unmountDisk(ctx, n); err != nil {
			return err
		}
	}
	if err := unix.Unmount(l.path("disks"), unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", l.path("disks"), err)
	}
	return nil
}

// thawDisks ends every stall: a process that waits for a stalled disk cannot be
// killed.
func (l *Lab) thawDisks(ctx context.Context) error {
	if !l.Disks {
		return nil
	}
	var errs []error
	for _, n := range l.DataNodes() {
		errs = append(errs, l.thawDisk(ctx, n))
	}
	return errors.Join(errs...)
}

// FIFREEZE and FITHAW of linux/fs.h.
const (
	ioctlFreeze = 0xC0045877
	ioctlThaw   = 0xC0045878
)

// freezeDisk lets every write to the disk wait: ioctl_fs(2), as fsfreeze(8) does.
func (l *Lab) freezeDisk(_ context.Context, node string) error {
	return l.diskControl(node, ioctlFreeze)
}

// thawDisk lets them go on. A disk that is not stalled, or not there, is no error.
func (l *Lab) thawDisk(_ context.Context, node string) error {
	err := l.diskControl(node, ioctlThaw)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

func (l *Lab) diskControl(node string, request uint) error {
	d, err := os.Open(l.disk(node))
	if err != nil {
		return fmt.Errorf("open the disk of %s: %w", node, err)
	}
	defer d.Close()
	if err := unix.IoctlSetInt(int(d.Fd()), request, 0); err != nil {
		return fmt.Errorf("stall the disk of %s, or let it go on: %w", node, err)
	}
	return nil
}

func (l *Lab) filler(node string) string { return l.path("disks", node, "filler") }

// fillDisk leaves no block free.
func (l *Lab) fillDisk(_ context.Context, node string) error {
	f, err := os.OpenFile(l.filler(node), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fill the disk of %s: %w", node, err)
	}
	defer f.Close()
	at := int64(0)
	for piece := int64(diskSize); piece >= 1024; {
		switch err := unix.Fallocate(int(f.Fd()), 0, at, piece); {
		case err == nil:
			at += piece
		case errors.Is(err, unix.ENOSPC):
			piece /= 2
		case errors.Is(err, unix.EINTR):
		default:
			return fmt.Errorf("fill the disk of %s: %w", node, err)
		}
	}
	return nil
}

func (l *Lab) freeDisk(ctx context.Context, node string) error {
	if err := os.Remove(l.filler(node)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the disk of %s: %w", node, err)
	}
	return l.StartServer(ctx, node)
}

// breakDisk makes the kernel find an error on the disk, upon which it turns it
// read-only. Everything is written out first, and nothing comes in between: the
// servers of a lab do not sync, and their data would be as after a power loss.
func (l *Lab) breakDisk(ctx context.Context, node string) error {
	device, err := l.loopOf(node)
	if err != nil {
		return err
	}
	if err := l.freezeDisk(ctx, node); err != nil {
		return err
	}
	if err := os.WriteFile("/sys/fs/ext4/"+device+"/trigger_fs_error", []byte("baton lab"), 0o200); err != nil {
		return errors.Join(fmt.Errorf("break the disk of %s: %w", node, err), l.thawDisk(ctx, node))
	}
	return l.thawDisk(ctx, node)
}

// loopOf is the device that a node's disk is on, such as loop3.
func (l *Lab) loopOf(node string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(l.disk(node), &st); err != nil {
		return "", fmt.Errorf("look at the disk of %s: %w", node, err)
	}
	const loopMajor = 7 // Documentation/admin-guide/devices.txt
	if unix.Major(st.Dev) != loopMajor {
		return "", fmt.Errorf("the disk of %s is not mounted", node)
	}
	return fmt.Sprintf("loop%d", unix.Minor(st.Dev)), nil
}

// repairDisk checks a broken disk, as an administrator would, and starts the
// server on it again.
func (l *Lab) repairDisk(ctx context.Context, node string) error {
	err := func() error {
		unlock, err := l.lock(node) // its agent must not start the server meanwhile
		if err != nil {
			return err
		}
		defer unlock()
		if p, err := l.server(node); err == nil {
			if err := p.Kill(ctx); err != nil {
				return err
			}
		}
		if err := l.unmountDisk(ctx, node); err != nil {
			return err
		}
		// Exit status 1: errors were found and corrected, e2fsck(8).
		var status *exec.ExitError
		if out, err := exec.CommandContext(ctx, "e2fsck", "-f", "-y", l.diskImage(node)).CombinedOutput(); err != nil && !(errors.As(err, &status) && status.ExitCode() == 1) {
			return fmt.Errorf("check the disk of %s: %w: %s", node, err, bytes.TrimSpace(out))
		}
		return l.mountDisk(ctx, node)
	}()
	if err != nil {
		return err
	}
	return l.StartServer(ctx, node)
}

func run1(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
