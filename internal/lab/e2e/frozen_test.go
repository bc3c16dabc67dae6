package e2e_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/lab"
	"github.com/baton-db/baton/internal/timeline"
)

// TestASwitchDoesNotWaitForAReceiverThatConnectsToAFrozenSource: a server that is
// frozen still accepts connections and says nothing, and a receiver that has just
// connected waits for its greeting: STOP REPLICA then takes two seconds, however the
// source's host is cut off afterwards. The agents destroy the connection first.
func TestASwitchDoesNotWaitForAReceiverThatConnectsToAFrozenSource(t *testing.T) {
	rare(t)
	for _, flavor := range []string{config.MySQL, config.MariaDB} {
		t.Run(flavor, func(t *testing.T) { frozenSource(t, flavor) })
	}
}

func frozenSource(t *testing.T, flavor string) {
	l, ctx := up(t, lab.Options{Flavor: flavor}), inTime(t)
	if err := l.WaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	old := primaryOf(t, l)
	reconnect := []string{"STOP SLAVE IO_THREAD", "START SLAVE IO_THREAD"}
	if flavor == config.MySQL {
		reconnect = []string{"STOP REPLICA IO_THREAD", "START REPLICA IO_THREAD"}
	}
	inject(t, l, "freeze", old)
	for _, n := range replicas(l, old) {
		if err := l.Do(ctx, n, reconnect...); err != nil {
			t.Fatal(err)
		}
	}
	primary := anotherServes(t, l, old)
	var spans []timeline.Span
	err := l.WaitStatus(ctx, "every replica says how long its receiver took to stop", []string{primary}, func(st api.Status) error {
		var s timeline.Switch
		if err := json.Unmarshal([]byte(baton(t, l, primary, "history", fmt.Sprint(st.Epoch), "-o", "json")), &s); err != nil {
			return err
		}
		spans = spans[:0]
		for _, span := range s.Spans {
			if span.Step == timeline.StepStopReceiver && span.Outcome == timeline.OK {
				spans = append(spans, span)
			}
		}
		if len(spans) < 2 {
			return fmt.Errorf("%d have said so", len(spans))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, span := range spans {
		t.Logf("%s: %.0f ms", span.Node, float64(time.Duration(span.Took))/float64(time.Millisecond))
		if time.Duration(span.Took) > 1500*time.Millisecond {
			t.Errorf("the receiver of %s took %s to stop: the two seconds were waited for", span.Node, time.Duration(span.Took))
		}
	}
}
