package process

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test looks at its own process, of which it knows what it has just done.
func TestWhatAProcessCostsIsWhatItHasDone(t *testing.T) {
	stat, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self := Process{PID: os.Getpid(), Start: stat.start}
	before, err := self.Cost()
	if err != nil {
		t.Fatal(err)
	}
	// Not of the heap, which may have pages left from before.
	held, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(held); err != nil {
			t.Error(err)
		}
	}()
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	var after Cost
	for deadline := time.Now().Add(30 * time.Second); after.CPU < before.CPU+5*tick; {
		if time.Now().After(deadline) {
			t.Fatalf("30 s of work were counted as %s", after.CPU-before.CPU)
		}
		if after, err = self.Cost(); err != nil {
			t.Fatal(err)
		}
	}
	if grown := int64(after.Resident) - int64(before.Resident); grown < int64(len(held))*3/4 {
		t.Errorf("%d bytes were touched, and it grew by %d", len(held), grown)
	}
	if after.Share == 0 || after.Share > after.Resident || after.Threads == 0 {
		t.Errorf("%+v", after)
	}
	if _, err := (Process{PID: self.PID, Start: self.Start + 1}).Cost(); err == nil {
		t.Error("the cost of another process of that number was taken for it")
	}
}
