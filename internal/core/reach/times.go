package reach

import (
	"math"
	"time"
)

// Times keeps how long something took, however often it was done, in bounded memory:
// it counts in steps of a tenth, from ten microseconds on. The zero value is ready.
type Times struct {
	steps  [timesSteps]int64
	count  int64
	failed int64
	worst  time.Duration
	sum    time.Duration
}

const (
	timesLeast  = 10 * time.Microsecond
	timesGrowth = 1.1
	timesSteps  = 180 // up to 4 minutes
)

// Took takes in one.
func (t *Times) Took(d time.Duration, failed bool) {
	step := 0
	if d > timesLeast {
		step = min(int(math.Ceil(math.Log(float64(d)/float64(timesLeast))/math.Log(timesGrowth))), timesSteps-1)
	}
	t.steps[step]++
	t.count++
	t.sum += d
	t.worst = max(t.worst, d)
	if failed {
		t.failed++
	}
}

// Distribution is what they come to.
func (t *Times) Distribution() Distribution {
	return Distribution{Count: t.count, Failed: t.failed, Median: t.median().Microseconds(), Worst: t.worst.Microseconds(), Sum: t.sum.Microseconds()}
}

// median is the end of the step that the one in the middle is in, and no more than the
// worst.
func (t *Times) median() time.Duration {
	var counted int64
	for i, n := range t.steps {
		if counted += n; n > 0 && 2*counted >= t.count {
			return min(time.Duration(float64(timesLeast)*math.Pow(timesGrowth, float64(i))), t.worst)
		}
	}
	return 0
}
