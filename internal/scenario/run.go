package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// A World is where a script runs: a cluster that is well, with clients that write
// all the time.
type World interface {
	// Begin waits until the cluster is well, and says who is who in it.
	Begin(ctx context.Context) (Cast, error)
	// Do has something happen to a node; empty: to nobody in particular.
	Do(ctx context.Context, a Action, node string) error
	// Pass lets time go on until done reports true, at most until d has passed. It
	// asks done at once, and again whenever something may have changed.
	Pass(ctx context.Context, d time.Duration, done func() bool) error
	// Since is how long ago Begin returned.
	Since() time.Duration
	// Patience is how many times longer than the script says things may take.
	Patience() time.Duration
	// Look returns what there is to see now.
	Look(ctx context.Context) (Sight, error)
	// Finish mends everything, waits until the cluster is well, and judges what
	// the clients saw.
	Finish(ctx context.Context) (Verdict, error)
}

// Cast is who is who at the start.
type Cast struct {
	Primary  string
	Replicas []string // in order
	Witness  string
}

// Sight is what there is to see of a cluster at a moment.
type Sight struct {
	Primary   string // that the record names; empty: nobody
	Phase     cluster.Phase
	Writable  []string                         // servers that take writes of clients
	Following func(node string) error          // why a node does not replicate from the primary; nil: it does
	Address   []string                         // hosts that announce the virtual address
	Trace     func() ([]cluster.Reason, error) // why the record changed since the start, in order
	Why       []cluster.Reason                 // why the nodes leave things as they are now
	Refused   bool                             // a request was turned down since the start
	Acked     int                              // writes acknowledged since the start
}

// Verdict is what the clients saw in the end.
type Verdict struct {
	Acked  int
	Lost   int // acknowledged, and missing at the primary
	Twice  int // acknowledged by two servers in overlapping time
	Outage time.Duration
}

// A Failure says which line of a script did not come true.
type Failure struct {
	Line  Line
	After time.Duration // since the start
	Saw   string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("line %d, %q: after %s %s", f.Line.Number, f.Line.Text, f.After.Round(time.Millisecond), f.Saw)
}

// Run runs a script in a world and tells say what it does. A *Failure is returned
// if something was otherwise than expected.
func Run(ctx context.Context, s Script, w World, say func(format string, args ...any)) error {
	cast, err := w.Begin(ctx)
	if err != nil {
		return fmt.Errorf("before anything happened: %w", err)
	}
	say("%s is primary, and clients write", cast.Primary)
	r := run{world: w, cast: cast, say: say}
	for _, line := range s.Lines {
		if line.Mode == Finally {
			continue
		}
		if err := r.line(ctx, line); err != nil {
			return err
		}
	}
	v, err := w.Finish(ctx)
	if err != nil {
		return fmt.Errorf("after everything was mended: %w", err)
	}
	say("in the end: %d writes acknowledged, %d lost, %d acknowledged twice, longest outage %s", v.Acked, v.Lost, v.Twice, v.Outage.Round(time.Millisecond))
	return r.finally(ctx, s, v)
}

type run struct {
	world World
	cast  Cast
	say   func(string, ...any)
}

// node is the name of a node in this world, at this moment.
func (r run) node(ctx context.Context, w Who) (string, error) {
	switch w {
	case Nobody:
		return "", nil
	case Primary:
		sight, err := r.world.Look(ctx)
		if err == nil && sight.Primary == "" {
			err = errors.New("nobody is primary now")
		}
		return sight.Primary, err
	}
	return r.fixed(w)
}

// fixed is the name of a node that is who it is from the start.
func (r run) fixed(w Who) (string, error) {
	i := map[Who]int{Replica: 0, OtherReplica: 1}[w]
	switch {
	case w == OldPrimary:
		return r.cast.Primary, nil
	case w == TheWitness && r.cast.Witness != "":
		return r.cast.Witness, nil
	case w == TheWitness || i >= len(r.cast.Replicas):
		return "", fmt.Errorf("this cluster has no %s", w)
	}
	return r.cast.Replicas[i], nil
}

func (r run) line(ctx context.Context, line Line) error {
	if line.Mode != "" {
		return r.expect(ctx, line)
	}
	if line.At >= 0 {
		if err := r.world.Pass(ctx, line.At-r.world.Since(), never); err != nil {
			return err
		}
	}
	if line.Action == Wait {
		return r.world.Pass(ctx, line.For, never)
	}
	node, err := r.node(ctx, line.Node)
	if err != nil {
		return &Failure{line, r.world.Since(), err.Error()}
	}
	r.say("%8s  %s %s", r.world.Since().Round(time.Millisecond), line.Action, node)
	if err := r.world.Do(ctx, line.Action, node); err != nil {
		return fmt.Errorf("line %d, %q: %w", line.Number, line.Text, err)
	}
	return nil
}

func never() bool { return false }

// expect waits for what the line expects, or sees that it stays so.
func (r run) expect(ctx context.Context, line Line) error {
	first, err := r.world.Look(ctx)
	if err != nil {
		return fmt.Errorf("line %d, %q: %w", line.Number, line.Text, err)
	}
	begun, last := first.Acked, errors.New("there was no time to look")
	look := func() error {
		sight, err := r.world.Look(ctx)
		if err != nil {
			return err
		}
		return r.wrong(line.Check, sight, begun)
	}
	limit := line.For
	done := func() bool { last = look(); return last == nil }
	if line.Mode == Keep {
		done = func() bool { last = look(); return last != nil }
	} else {
		limit *= r.world.Patience()
	}
	if err := r.world.Pass(ctx, limit, done); err != nil {
		return fmt.Errorf("line %d, %q: %w", line.Number, line.Text, err)
	}
	if last != nil {
		return &Failure{line, r.world.Since(), last.Error()}
	}
	r.say("%8s  so it is: %s", r.world.Since().Round(time.Millisecond), line.Text)
	return nil
}

// finally checks the last lines, and what holds whatever a script says.
func (r run) finally(ctx context.Context, s Script, v Verdict) error {
	fail := func(line Line, format string, args ...any) error {
		return &Failure{line, r.world.Since(), fmt.Sprintf(format, args...)}
	}
	always := Line{Number: 0, Text: "(holds in every scenario)"}
	switch {
	case v.Acked == 0:
		return fail(always, "no client was ever answered: the scenario shows nothing")
	case v.Twice > 0:
		return fail(always, "%d writes were acknowledged by two servers in overlapping time", v.Twice)
	case v.Lost > 0 && !s.Cluster.Async:
		return fail(always, "%d acknowledged writes are lost", v.Lost)
	}
	sight, err := r.world.Look(ctx)
	if err != nil {
		return err
	}
	for _, line := range s.Lines {
		switch c := line.Check; {
		case line.Mode != Finally:
		case c.Kind == Lost && v.Lost > c.Count:
			return fail(line, "%d acknowledged writes are lost", v.Lost)
		case c.Kind == Outage && v.Outage >= c.Below*r.world.Patience():
			return fail(line, "the longest outage was %s", v.Outage)
		case c.Kind.final():
		default:
			if err := r.wrong(c, sight, 0); err != nil {
				return fail(line, "%v", err)
			}
		}
	}
	return nil
}

// wrong says why a check does not hold; nil: it does.
func (r run) wrong(c Check, s Sight, begun int) error {
	who := ""
	if c.Who == Primary {
		who = s.Primary
	} else if c.Who != Nobody {
		var err error
		if who, err = r.fixed(c.Who); err != nil {
			return err
		}
	}
	unless := func(ok bool, format string, args ...any) error {
		if ok {
			return nil
		}
		return fmt.Errorf(format, args...)
	}
	switch c.Kind {
	case PrimaryIs:
		return unless(s.Primary != "" && (s.Primary == who) != c.Not, "the primary is %q, in phase %s (%v)", s.Primary, s.Phase, s.Why)
	case Follows:
		return s.Following(who)
	case AllFollow:
		var all []error
		for _, n := range append(slices.Clone(r.cast.Replicas), r.cast.Primary) {
			if n != s.Primary {
				all = append(all, s.Following(n))
			}
		}
		return errors.Join(all...)
	case ReadOnly:
		return unless(!slices.Contains(s.Writable, who), "%s takes writes", who)
	case ClientsWrite:
		return unless(s.Acked > begun, "no client was answered; the primary is %q, in phase %s (%v)", s.Primary, s.Phase, s.Why)
	case AddressAt:
		return unless(slices.Equal(s.Address, []string{who}), "%v have the address", s.Address)
	case AddressOnce:
		return unless(len(s.Address) <= 1, "%v have the address", s.Address)
	case OneWriter:
		return unless(len(s.Writable) <= 1, "%v take writes", s.Writable)
	case PhaseIs:
		return unless(s.Phase == c.Phase, "the phase is %s, the primary %q (%v)", s.Phase, s.Primary, s.Why)
	case Refused:
		return unless(s.Refused, "nothing was refused")
	}
	return r.told(c, s)
}

// told compares reasons.
func (r run) told(c Check, s Sight) error {
	trace, err := s.Trace()
	if err != nil {
		return err
	}
	if c.Kind == ReasonIs {
		if slices.Contains(trace, c.Reasons[0]) || slices.Contains(s.Why, c.Reasons[0]) {
			return nil
		}
		return fmt.Errorf("the reasons are %v, and now %v", trace, s.Why)
	}
	want := c.Reasons
	for _, t := range trace {
		if len(want) > 0 && t == want[0] {
			want = want[1:]
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("the record changed for %v; %s is missing", trace, want[0])
	}
	return nil
}
