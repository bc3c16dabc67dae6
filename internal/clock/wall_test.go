package clock

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheWallClockIsAheadByWhatTheFileSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ahead")
	wall := Wall(file)
	for _, tt := range []struct {
		holds string
		want  time.Duration
	}{{"", 0}, {"1h\n", time.Hour}, {"-1h", -time.Hour}, {"an hour", 0}} {
		if tt.holds != "" {
			if err := os.WriteFile(file, []byte(tt.holds), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := time.Now().Round(0).Add(tt.want)
		got := wall()
		if after := time.Now().Round(0).Add(tt.want); got.Before(before) || got.After(after) {
			t.Errorf("%q: it shows %s, want from %s to %s", tt.holds, got, before, after)
		}
	}
	if Wall("")().IsZero() {
		t.Error("without a file there is no time")
	}
}
