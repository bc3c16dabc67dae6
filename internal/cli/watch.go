package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// redraw is how often a watched screen is drawn although nothing happened:
// ages and positions move on without an event.
const redraw = time.Second

// watch shows the cluster until a person has seen enough.
func (e *env) watch(ctx context.Context, c *api.Client) error {
	var err error
	if e.screen && !e.json() {
		err = e.watchScreen(ctx, c)
	} else {
		err = e.watchLines(ctx, c)
	}
	if interrupted(ctx) {
		return nil // that is how one ends a watch
	}
	return err
}

// watchLines writes a line for every event.
func (e *env) watchLines(ctx context.Context, c *api.Client) error {
	stream, err := c.Events(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	st, err := c.Status(ctx) // after the stream has begun: no change is missed between the two
	if err != nil {
		return err
	}
	if e.json() {
		err = e.printLine(st)
	} else {
		_, err = fmt.Fprintf(e.out, "%s %s: %s, epoch %d\n", timeline.Moment(st.At), st.Cluster, st.Headline(), st.Epoch)
	}
	for err == nil {
		var event api.Event
		if event, err = stream.Next(); err != nil {
			return err
		}
		if e.json() {
			err = e.printLine(event)
		} else {
			_, err = fmt.Fprintf(e.out, "%s %s\n", timeline.Moment(event.At), eventText(event))
		}
	}
	return err
}

func eventText(ev api.Event) string {
	switch {
	case ev.Record != nil:
		r := ev.Record
		text := fmt.Sprintf("epoch %d %s", r.Epoch, r.Phase)
		switch {
		case r.Phase == cluster.PhaseHandoff:
			text += fmt.Sprintf(", %s to %s", r.Primary, r.Candidate)
		case r.Primary != "":
			text += ", primary " + string(r.Primary)
		}
		if ev.Paused {
			text += ", paused"
		}
		return text + ", by " + orDash(string(r.By)) + ", " + because(r.Reason, r.Detail)
	case ev.Condition != nil && ev.Kind == api.ConditionEnded:
		return fmt.Sprintf("%s: over: %s", ev.Node, because(ev.Condition.Reason, ""))
	case ev.Condition != nil:
		return fmt.Sprintf("%s: %s", ev.Node, because(ev.Condition.Reason, ev.Condition.Detail))
	case ev.Verdict != nil && ev.Verdict.Reason == cluster.Nothing:
		return "nothing is held back any more"
	case ev.Verdict != nil:
		return "no action: " + because(ev.Verdict.Reason, ev.Verdict.Detail)
	case ev.Request != nil:
		return fmt.Sprintf("request %s %s%s", ev.Request.ID, ev.Request.Status, lead(": ", because(ev.Request.Reason, ev.Request.Detail)))
	}
	return string(ev.Kind)
}

func lead(by, text string) string {
	if text == "" {
		return ""
	}
	return by + text
}

// watchScreen redraws a terminal. A daemon that restarts is waited for.
func (e *env) watchScreen(ctx context.Context, c *api.Client) error {
	changed := make(chan struct{}, 1)
	ctx, stop := context.WithCancel(ctx)
	listening := make(chan struct{})
	defer func() { stop(); <-listening }()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	go func() {
		defer close(listening)
		e.listen(ctx, c, changed)
	}()
	for {
		if err := e.draw(ctx, c); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// listen says on changed that something happened, and reconnects at the pace
// of the ticker when the daemon goes away.
func (e *env) listen(ctx context.Context, c *api.Client, changed chan<- struct{}) {
	again := time.NewTicker(redraw)
	defer again.Stop()
	for {
		if stream, err := c.Events(ctx); err == nil {
			for {
				if _, err := stream.Next(); err != nil {
					break
				}
				select {
				case changed <- struct{}{}:
				default: // it is about to be drawn anyway
				}
			}
			stream.Close()
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

func (e *env) draw(ctx context.Context, c *api.Client) error {
	var b strings.Builder
	b.WriteString("\x1b[H\x1b[2J") // home, erase (ECMA-48)
	st, err := c.Status(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, api.ErrUnreachable):
		fmt.Fprintln(&b, e.paint(red, printable(err.Error())))
	case err != nil:
		return err
	default:
		if err := e.printStatus(&b, st); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprint(e.out, b.String()); err != nil {
		return fmt.Errorf("draw the screen: %w", err)
	}
	return nil
}
