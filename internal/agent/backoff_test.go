package agent

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	b := backoff{first: time.Second, longest: 5 * time.Second}
	var got []time.Duration
	for range 5 {
		got = append(got, b.pause())
	}
	b.reset()
	got = append(got, b.pause(), b.pause())
	s := time.Second
	if want := []time.Duration{s, 2 * s, 4 * s, 5 * s, 5 * s, s, 2 * s}; !slices.Equal(got, want) {
		t.Errorf("pauses of %v, want %v", got, want)
	}
}

func TestAPauseIsCutShortByTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !waited(t.Context(), time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("cut short after %s", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if waited(ctx, time.Hour) || time.Since(began) != time.Minute+time.Second {
			t.Errorf("not cut short, but over after %s", time.Since(began))
		}
	})
}
