package vitals

import "testing"

func TestProcessorTime(t *testing.T) {
	before, err := parseCPU("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseCPU("cpu  160 10 70 890 60 5 5 0 0 0\n")
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := after.Percent(before); !ok || p != 50 {
		t.Errorf("%g %t, want 50", p, ok)
	}
	if _, ok := after.Percent(CPU{}); ok {
		t.Error("one reading alone says nothing")
	}
	if _, ok := before.Percent(before); ok {
		t.Error("no time has passed")
	}
	for _, bad := range []string{"", "cpu 1 2", "intr 1 2 3 4 5 6 7 8 9", "cpu a b c d e f g h"} {
		if c, err := parseCPU(bad); err == nil {
			t.Errorf("%q: %+v", bad, c)
		}
	}
	if _, err := ReadCPU(); err != nil {
		t.Error(err)
	}
}

func TestMemoryInUse(t *testing.T) {
	if got, err := parseMemory("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 250 kB\n"); err != nil || got != 75 {
		t.Errorf("%g, %v", got, err)
	}
	if got, err := parseMemory("nothing of use"); err == nil {
		t.Errorf("%g", got)
	}
	if got, err := MemoryPercent(); err != nil || got <= 0 || got > 100 {
		t.Errorf("of this host: %g, %v", got, err)
	}
}
