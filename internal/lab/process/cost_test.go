package process

import (
	"os"
	"testing"
	"time"
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
	held := make([]byte, 64<<20)
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
	held[0] = 2 // kept until here
	if _, err := (Process{PID: self.PID, Start: self.Start + 1}).Cost(); err == nil {
		t.Error("the cost of another process of that number was taken for it")
	}
}
