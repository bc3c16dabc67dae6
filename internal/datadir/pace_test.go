package datadir

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestACopyIsNoFasterThanItMayBe(t *testing.T) {
	for name, tt := range map[string]struct {
		rate func(written int) int64
		want time.Duration
	}{
		"a mebibyte a second":            {func(int) int64 { return 1 << 20 }, 10 * time.Second},
		"no limit":                       {func(int) int64 { return 0 }, 0},
		"the limit is lifted half-way":   {func(n int) int64 { return map[bool]int64{true: 1 << 20}[n < 5<<20] }, 5 * time.Second},
		"a limit comes in the middle":    {func(n int) int64 { return map[bool]int64{true: 5 << 20}[n >= 5<<20] }, time.Second},
		"a limit less than one write":    {func(int) int64 { return 1 << 10 }, 10 << 10 * time.Second},
		"a limit of one byte in a while": {func(n int) int64 { return map[bool]int64{true: 1}[n < 3] }, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				begun := time.Now()
				w := Paced(t.Context(), &out, func() int64 { return tt.rate(out.Len()) })
				n, err := io.Copy(w, io.LimitReader(zeros{}, 10<<20))
				took := time.Since(begun)
				if err != nil || n != 10<<20 || out.Len() != 10<<20 {
					t.Errorf("%d bytes, %v", n, err)
				}
				// The last piece is not waited for.
				if took > tt.want || took < tt.want-tt.want/4-time.Second {
					t.Errorf("it took %s, want %s", took, tt.want)
				}
			})
		})
	}
}

func TestACopyThatWaitsForItsTurnCanBeCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2900*time.Millisecond)
		defer cancel()
		w := Paced(ctx, io.Discard, func() int64 { return 100 })
		n, err := w.Write(make([]byte, 1000))
		if !errors.Is(err, context.DeadlineExceeded) || n != 300 {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
