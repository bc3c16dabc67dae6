package endpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Each does something with each of several things that are one endpoint together,
// such as load balancers of the same kind, at the same time. What one of them lacks
// keeps no other from it. at says where each is, and kind what it is, for messages.
func Each(kind string, at []string, do func(i int, at string) error) error {
	errs := make([]error, len(at))
	var all sync.WaitGroup
	for i, where := range at {
		all.Go(func() {
			if err := do(i, where); err != nil {
				errs[i] = fmt.Errorf("%s at %s: %w", kind, where, err)
			}
		})
	}
	all.Wait()
	return joined(errs)
}

// joined is errors.Join on one line. What is not known of one of them outweighs that
// another leads astray: that alone would not be all.
func joined(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	var unknown []error
	var text []string
	for _, err := range errs {
		text = append(text, err.Error())
		if !errors.Is(err, ErrForeign) {
			unknown = append(unknown, err)
		}
	}
	if len(unknown) == 0 {
		unknown = errs
	}
	return &several{strings.Join(text, "; "), unknown}
}

// inOneLine is an error as people read it in a table or on the timeline, such as one of
// errors.Join.
func inOneLine(err error) error {
	text := strings.TrimSpace(err.Error())
	if !strings.Contains(text, "\n") {
		return err
	}
	return &several{strings.ReplaceAll(text, "\n", "; "), []error{err}}
}

type several struct {
	text string
	errs []error
}

func (s *several) Error() string   { return s.text }
func (s *several) Unwrap() []error { return s.errs }

// Agree returns where all of them lead, or an AstrayError that names two of which one
// leads elsewhere than the other.
func Agree(at []string, targets []Target) (Target, error) {
	for i, t := range targets {
		if !t.LeadsTo(targets[0]) {
			return Target{}, Astray("%s leads to %s, and %s to %s", at[0], targets[0], at[i], t)
		}
	}
	return targets[0], nil
}

// AstrayError says that an endpoint leads where it should not, or nowhere. It is
// ErrForeign: setting it anew may mend it.
type AstrayError struct{ What string }

func (e *AstrayError) Error() string { return e.What }

// Unwrap returns ErrForeign.
func (e *AstrayError) Unwrap() error { return ErrForeign }

// Astray returns an *AstrayError.
func Astray(format string, args ...any) error { return &AstrayError{fmt.Sprintf(format, args...)} }
