package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestAWriteThatFailsForTheLimitIsStuck(t *testing.T) {
	const limit = time.Second
	at := func(ms int, how WriteEnd, change ...func(*Write)) Write {
		asked := cluster.Instant(time.Duration(ms) * time.Millisecond)
		w := Write{Asked: asked, Ended: asked.Add(100 * time.Millisecond), How: how, Words: "words", Disk: Disk{Dir: "/d", Free: 1 << 30, Size: 1 << 31}}
		for _, c := range change {
			c(&w)
		}
		return w
	}
	full := func(w *Write) { w.Disk.Free = 4096 }
	readOnly := func(w *Write) { w.Disk.ReadOnly = true }
	unseen := func(w *Write) { w.Disk = Disk{} }
	waits := func(threads ...int) func(*Write) { return func(w *Write) { w.Waiting = threads } }
	for name, tt := range map[string]struct {
		writes []Write
		want   cluster.Reason
		says   string
	}{
		"it works":                                  {[]Write{at(1, WriteDone)}, cluster.Nothing, ""},
		"it fails, not for long yet":                {[]Write{at(1, WriteDone), at(1000, WriteSilent), at(1500, WriteSilent)}, cluster.Nothing, ""},
		"it has failed for the limit since asked":   {[]Write{at(1, WriteDone), at(1000, WriteSilent), at(1900, WriteSilent)}, cluster.PrimaryCannotWrite, "words"},
		"it worked in between":                      {[]Write{at(1, WriteSilent), at(900, WriteDone), at(1000, WriteSilent), at(1800, WriteSilent)}, cluster.Nothing, ""},
		"waiting for an acknowledgement is no fail": {[]Write{at(1, WriteSilent), at(900, WriteAnswered), at(1200, WriteSilent)}, cluster.Nothing, ""},
		"a backup holds its lock for long":          {[]Write{at(1, WriteLocked), at(5000, WriteLocked), at(50000, WriteLocked)}, cluster.Nothing, ""},
		"a lock does not excuse a full disk":        {[]Write{at(1, WriteLocked, full), at(5000, WriteLocked, full)}, cluster.PrimaryDiskFull, "no room is left"},
		"a lock does not excuse a dead disk":        {[]Write{at(1, WriteLocked, readOnly), at(5000, WriteLocked, readOnly)}, cluster.PrimaryDiskReadOnly, "read-only"},
		"no slot for the probe is no word of writing": {
			[]Write{at(1, WriteNoSlot), at(5000, WriteNoSlot), at(9000, WriteNoSlot)}, cluster.Nothing, ""},
		"the server waits for room":                {[]Write{at(1, WriteSilent, full), at(1500, WriteSilent, full)}, cluster.PrimaryDiskFull, "words; no room is left on the file system of /d"},
		"the server says that there is no room":    {[]Write{at(1, WriteNoRoom, unseen), at(1500, WriteNoRoom, unseen)}, cluster.PrimaryDiskFull, "words"},
		"the server says that it cannot write":     {[]Write{at(1, WriteNoDisk), at(1500, WriteNoDisk)}, cluster.PrimaryDiskReadOnly, "words"},
		"a thread has waited for the disk always":  {[]Write{at(1, WriteSilent, waits(7, 8)), at(900, WriteSilent, waits(8, 9))}, cluster.Nothing, ""},
		"a thread has waited for the disk so long": {[]Write{at(1, WriteSilent, waits(7, 8)), at(1500, WriteSilent, waits(8, 9))}, cluster.PrimaryDiskStuck, "1 threads"},
		"threads come and go, as under load":       {[]Write{at(1, WriteSilent, waits(7)), at(1500, WriteSilent, waits(8))}, cluster.PrimaryCannotWrite, "words"},
		"a row of failures begins anew":            {[]Write{at(1, WriteSilent, waits(7)), at(500, WriteDone), at(600, WriteSilent, waits(8)), at(1700, WriteSilent, waits(8))}, cluster.PrimaryDiskStuck, "1 threads"},
	} {
		t.Run(name, func(t *testing.T) {
			var w Writes
			for _, a := range tt.writes {
				w = w.Observe(a)
			}
			if why, words := w.Stuck(limit); why != tt.want || !strings.Contains(words, tt.says) {
				t.Errorf("got %s %q, want %s %q", why, words, tt.want, tt.says)
			}
		})
	}
}

func TestLeftOfTheLimit(t *testing.T) {
	const limit = time.Second
	now := cluster.Instant(time.Hour)
	failed := func(since time.Duration) Writes {
		return Writes{}.Observe(Write{Asked: now.Add(-since), Ended: now, How: WriteSilent})
	}
	for name, tt := range map[string]struct {
		w    Writes
		want time.Duration
	}{
		"nothing failed":           {Writes{}, limit},
		"failing for a while":      {failed(600 * time.Millisecond), 400 * time.Millisecond},
		"nearly over, but no less": {failed(950 * time.Millisecond), 200 * time.Millisecond},
		"over":                     {failed(5 * time.Second), 200 * time.Millisecond},
	} {
		if got := tt.w.Left(now, limit); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestALockIsTimed(t *testing.T) {
	at := func(s int, how WriteEnd) Write {
		return Write{Asked: cluster.Instant(time.Duration(s) * time.Second), Ended: cluster.Instant(time.Duration(s) * time.Second), How: how}
	}
	w := Writes{}.Observe(at(1, WriteDone)).Observe(at(2, WriteLocked)).Observe(at(3, WriteLocked))
	if got := w.LockedFor(cluster.Instant(5 * time.Second)); got != 3*time.Second {
		t.Errorf("locked for %s, want 3s", got)
	}
	if got := w.Observe(at(6, WriteDone)).LockedFor(cluster.Instant(7 * time.Second)); got != 0 {
		t.Errorf("not locked any more, and %s", got)
	}
}

func TestADiskIsUnfit(t *testing.T) {
	for name, tt := range map[string]struct {
		d            Disk
		wrong, unfit bool
	}{
		"not known":              {Disk{}, false, false},
		"much room":              {Disk{Dir: "/d", Free: 1 << 30, Size: 1 << 40}, false, false},
		"too little to start on": {Disk{Dir: "/d", Free: 8 << 20, Size: 1 << 40}, false, true},
		"full":                   {Disk{Dir: "/d", Free: 1 << 10, Size: 1 << 40}, true, true},
		"read-only":              {Disk{Dir: "/d", Free: 1 << 30, Size: 1 << 40, ReadOnly: true}, true, true},
		"a small one with room":  {Disk{Dir: "/d", Free: 4 << 20, Size: 8 << 20}, false, false},
	} {
		if (tt.d.Wrong() != "") != tt.wrong || (tt.d.Unfit() != "") != tt.unfit {
			t.Errorf("%s: wrong %q, unfit %q", name, tt.d.Wrong(), tt.d.Unfit())
		}
	}
}
