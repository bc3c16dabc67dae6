package detect

import (
	"errors"
	"fmt"
	"time"
)

// Limits are the numbers that a layer is judged by. The zero value of each
// field means its default.
type Limits struct {
	// Normal, Suspect and Critical are the time from one probe to the next:
	// while all is well (1s), after the first failure (250ms), and after the
	// second, while down and while recovering (100ms).
	Normal, Suspect, Critical time.Duration
	// Failures in a row make the layer down (3). Of a server or the user's
	// statement, only refusals count; silence is judged by Hang.
	Failures int
	// Recover is how many answers in a row make a layer up that was down (2).
	// One failure among them makes it down again.
	Recover int
	// Hang is how long an open question may keep the server silent, counted
	// from its last answer, before the layer is down (3s).
	Hang time.Duration
	// Slow is how long an answer may be awaited before the layer is suspect
	// (the lesser of Suspect and Hang).
	Slow time.Duration
	// Pause is how late the observer's own loop may be (a quarter of Hang). If
	// it was away for longer, it stood still itself, and that time is no
	// evidence.
	Pause time.Duration
}

// The defaults that do not follow from others.
const (
	defaultNormal   = time.Second
	defaultSuspect  = 250 * time.Millisecond
	defaultCritical = 100 * time.Millisecond
	defaultHang     = 3 * time.Second
	defaultFailures = 3
	defaultRecover  = 2
)

func (l Limits) withDefaults() Limits {
	orElse(&l.Normal, defaultNormal)
	orElse(&l.Suspect, min(l.Normal, defaultSuspect))
	orElse(&l.Critical, min(l.Suspect, defaultCritical))
	orElse(&l.Hang, defaultHang)
	orElse(&l.Slow, min(l.Suspect, l.Hang))
	orElse(&l.Pause, l.Hang/4)
	orElse(&l.Failures, defaultFailures)
	orElse(&l.Recover, defaultRecover)
	return l
}

func orElse[T time.Duration | int](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

// Validate reports everything that is wrong, with the name of each field and
// what would be right. Zero fields are judged by their defaults.
func (l Limits) Validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	l = l.withDefaults()
	wrong(l.Normal < 0, "normal: %s is less than nothing", l.Normal)
	wrong(l.Suspect < 0, "suspect: %s is less than nothing", l.Suspect)
	wrong(l.Critical < 0, "critical: %s is less than nothing", l.Critical)
	wrong(l.Suspect > l.Normal, "suspect: %s must be at most normal, %s: a suspect is looked at more often", l.Suspect, l.Normal)
	wrong(l.Critical > l.Suspect, "critical: %s must be at most suspect, %s", l.Critical, l.Suspect)
	wrong(l.Failures < 2, "failures: %d must be at least 2: a single lost probe proves nothing", l.Failures)
	wrong(l.Recover < 1, "recover: %d must be at least 1", l.Recover)
	wrong(l.Hang < 0, "hang: %s is less than nothing", l.Hang)
	wrong(l.Slow < 0 || l.Slow > l.Hang, "slow: %s must be from 0s to hang, %s", l.Slow, l.Hang)
	wrong(l.Pause < 0 || l.Pause > l.Hang, "pause: %s must be from 0s to hang, %s", l.Pause, l.Hang)
	return errors.Join(errs...)
}
