package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"

	"github.com/baton-db/baton/internal/lab/load"
)

// Demo shows the main job on a lab of its own: clients write, the primary
// dies, clients write again, and back by a planned switch. It takes everything
// away in the end.
func Demo(ctx context.Context, o Options, out io.Writer) error {
	if err := With(ctx, o, out, func(l *Lab) error { return l.demo(ctx, out) }); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nthe lab is gone: no process, namespace or file of it is left")
	return nil
}

func (l *Lab) demo(ctx context.Context, out io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	first, err := l.Primary(ctx)
	if err != nil {
		return err
	}
	crash, err := FaultByName("crash")
	if err != nil {
		return err
	}
	say("\n%s is primary. Clients write over %s and %s; now the server of %s is killed.", first, l.Addresses()[0], l.Addresses()[1], first)
	v, err := l.Drill(ctx, crash, first, load.Options{})
	if err != nil {
		return err
	}
	if err := l.showSwitch(ctx, out, v); err != nil {
		return err
	}
	say("\n%s is back and follows. Now a planned switch back to it, while clients write.", first)
	back := Fault{Name: "switchover", Moves: true, inject: func(l *Lab, ctx context.Context, _ string) error { return l.Switchover(ctx, first) }}
	v2, err := l.Drill(ctx, back, v.Primary, load.Options{})
	if err != nil {
		return err
	}
	if err := l.showSwitch(ctx, out, v2); err != nil {
		return err
	}
	if lost := v.Lost + v2.Lost; lost > 0 || v.DoubleWriters+v2.DoubleWriters > 0 {
		return fmt.Errorf("%d acknowledged writes were lost, %d were acknowledged by two servers at once", lost, v.DoubleWriters+v2.DoubleWriters)
	}
	return nil
}

// showSwitch prints the waterfall of the newest switch and what clients saw.
func (l *Lab) showSwitch(ctx context.Context, out io.Writer, v Verdict) error {
	cmd := exec.CommandContext(ctx, l.Binary, "history", "last", "--socket", l.ControlSocket(v.Primary))
	text, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("baton history: %w: %s", err, bytes.TrimSpace(text))
	}
	fmt.Fprintf(out, "\n%s\nwhat the clients saw: no write acknowledged for %.0f ms; of %d acknowledged writes, %d are lost; "+
		"%d acknowledged by two servers at once;\nof %d plain connects %d failed, %d ended during the login, %d took a second or more; primary is now %s\n",
		text, v.OutageMS, v.Acknowledged, v.Lost, v.DoubleWriters,
		v.Connects.Total, countAll(v.Connects.Failed), v.Connects.Logins, v.Connects.Slow, v.Primary)
	return nil
}

func countAll(byClass map[load.Class]int) int {
	sum := 0
	for _, n := range byClass {
		sum += n
	}
	return sum
}
