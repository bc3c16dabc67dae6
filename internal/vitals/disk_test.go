package vitals

import "testing"

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
