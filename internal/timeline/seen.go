package timeline

import (
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

const (
	seenFrom   = "seen-from "
	endpointOf = "endpoint "
	seenBy     = "seen-by "
)

// SeenFrom is the step in which another node looks, as any neighbour would, where
// clients are led: what it sees is the detail, and how long it took includes asking it.
func SeenFrom(n cluster.NodeName) Step { return Step(seenFrom + n) }

// Endpoint is the step in which an endpoint is led to the new primary and was seen to
// lead there; the detail is what it says of itself.
func Endpoint(name string) Step { return Step(endpointOf + name) }

// SeenBy is what an endpoint says of itself later than when it was led there, such as a
// resolver that has forgotten what was before.
func SeenBy(name string) Step { return Step(seenBy + name) }

// outside reports whether a step tells where clients were seen to be led.
func (s Step) outside() bool {
	return strings.HasPrefix(string(s), seenFrom) || strings.HasPrefix(string(s), endpointOf) || strings.HasPrefix(string(s), seenBy)
}

// led writes where clients were led, by those who looked.
func (t Text) led(b *strings.Builder, s Switch) {
	first := true
	for _, sp := range s.Spans {
		if !sp.Step.outside() || sp.Detail == "" {
			continue
		}
		if first {
			t.heading(b, "where clients were led")
			first = false
		}
		said := clean(sp.Detail)
		if sp.Outcome == Failed {
			said = "failed: " + said
		}
		t.wrapped(b, fmt.Sprintf("  %s: ", clean(string(sp.Step))), said)
	}
}
