package vitals

import (
	"errors"
	"testing"
	"time"
)

func TestDiskOfADirectoryThatIsThere(t *testing.T) {
	dir := t.TempDir()
	d, err := Disk(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Dir != dir || d.Size == 0 || d.ReadOnly {
		t.Errorf("%s, just written to, looks like %+v", dir, d)
	}
	if d, err := Disk("/proc/self/nowhere"); err == nil {
		t.Errorf("a directory that is not there looks like %+v", d)
	}
}

func TestAFileSystemIsReadOnlyByItsOwnOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		line string
		want bool
	}{
		"writable":                       {"36 35 7:3 / /data rw,noatime shared:1 - ext4 /dev/loop3 rw,errors=remount-ro", false},
		"made so by an error, long ago":  {"36 35 7:3 / /data rw,noatime shared:1 - ext4 /dev/loop3 ro,errors=remount-ro", true},
		"made so by an error, since 6.x": {"36 35 7:3 / /data rw,noatime shared:1 - ext4 /dev/loop3 rw,emergency_ro,errors=remount-ro", true},
		"shut down":                      {"36 35 7:3 / /data rw - ext4 /dev/loop3 rw,shutdown", true},
		"another device":                 {"36 35 7:4 / /data rw - ext4 /dev/loop4 ro", false},
		"without optional fields":        {"36 35 7:3 / /data rw - xfs /dev/loop3 ro", true},
		"only the mount is read-only":    {"36 35 7:3 / /data ro - xfs /dev/loop3 rw", false},
	} {
		if got := readOnly([]byte("1 2 0:1 / / rw - proc proc ro\n"+tt.line+"\n"), 7, 3); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}

func TestAProcessThatIsGoneWaitsForNothing(t *testing.T) {
	if w := WaitingThreads(1 << 30); w != nil {
		t.Errorf("a process that does not exist has waiting threads: %v", w)
	}
}

func TestTheTimeThatADiskTakes(t *testing.T) {
	const stats = " 254       0 vda 10 0 80 30 20 0 160 70 2 55 107 0 0 0 0 5 40\n   7       3 loop3 1 0 8 4 2 0 16 6 0 5 10\n"
	got, err := parseDiskTime([]byte(stats), 254, 0)
	if want := (DiskTime{Requests: 35, Took: 140 * time.Millisecond, Waiting: 2}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	got, err = parseDiskTime([]byte(stats), 7, 3)
	if want := (DiskTime{Requests: 3, Took: 10 * time.Millisecond}); err != nil || got != want {
		t.Errorf("of a kernel that does not count flushes: %+v, %v; want %+v", got, err, want)
	}
	if got, err := parseDiskTime([]byte(stats), 7, 4); !errors.Is(err, ErrNoDisk) {
		t.Errorf("of a disk that is not there: %+v, %v", got, err)
	}
	if got, err := parseDiskTime([]byte("7 3 loop3 1 0 8 4 two 0 16 6 0 5 10"), 7, 3); err == nil {
		t.Errorf("of what is no number: %+v", got)
	}
	if got := source([]byte("36 35 0:41 / /data rw - btrfs /dev/vdb rw\n"), 0, 41); got != "/dev/vdb" {
		t.Errorf("a file system with a number of its own is on %q", got)
	}
	before := DiskTime{Requests: 10, Took: time.Second, Waiting: 1}
	for name, tt := range map[string]struct {
		now  DiskTime
		want time.Duration
	}{
		"on average":                       {DiskTime{Requests: 14, Took: 2 * time.Second}, 250 * time.Millisecond},
		"none ends, and some wait":         {DiskTime{Requests: 10, Took: time.Second, Waiting: 9}, 5 * time.Second},
		"nobody wants anything of it":      {DiskTime{Requests: 10, Took: time.Second}, 0},
		"counters that have begun anew":    {DiskTime{Requests: 3, Took: time.Millisecond}, 0},
		"some have only just been queued":  {DiskTime{Requests: 12, Took: 1010 * time.Millisecond, Waiting: 4}, 5 * time.Millisecond},
		"it took a time, and ended nobody": {DiskTime{Requests: 10, Took: time.Second, Waiting: 0}, 0},
	} {
		if got := tt.now.PerRequest(before, 5*time.Second); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestTheTimeOfThisHostsDisk(t *testing.T) {
	d, err := ReadDiskTime(t.TempDir())
	if errors.Is(err, ErrNoDisk) {
		t.Skipf("NOT TESTED: the temporary directory of this machine is on no disk: %v", err)
	}
	if err != nil || d.Requests == 0 {
		t.Errorf("%+v, %v", d, err)
	}
}
