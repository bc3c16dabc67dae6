package detect

import (
	"fmt"
	"strconv"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// Threshold says from which value on, and after which time, a thing that is
// measured counts as strained.
type Threshold struct {
	Name  string  // of the check
	What  string  // is measured, with its unit, for people: "% of the connections are in use"
	Limit float64 // 0: it is not judged
	Below bool    // values below the limit are the bad ones
	For   time.Duration
}

// bad reports whether a value is past the limit.
func (t Threshold) bad(v float64) bool {
	if t.Below {
		return v < t.Limit
	}
	return v > t.Limit
}

// well reports whether a value is so far on the good side of the limit that a
// strain may end: by a tenth. In between everything stays as it is.
func (t Threshold) well(v float64) bool {
	margin := t.Limit / 10
	if t.Below {
		return v >= t.Limit+margin
	}
	return v <= t.Limit-margin
}

// Gauge judges one thing that is measured again and again. It is a value: Look
// returns the next one. The zero value has seen nothing.
type Gauge struct {
	bad    cluster.Instant // since when it has been past the limit; 0: it is not
	well   cluster.Instant // since when it has been well again while it lasts; 0: it is not
	lasts  bool
	detail string
}

// Look takes in a value that was measured at now. A strain begins when the value
// has been past the limit without a break for t.For, and ends when it has been
// well for a quarter of that.
func (g Gauge) Look(v float64, now cluster.Instant, t Threshold) Gauge {
	switch {
	case t.Limit == 0:
		return Gauge{}
	case !t.bad(v):
		g.bad = 0
	case g.bad == 0:
		g.bad = now
	}
	if g.bad != 0 && now.Sub(g.bad) >= t.For && !g.lasts {
		side := "above"
		if t.Below {
			side = "below"
		}
		g.lasts = true
		g.detail = fmt.Sprintf("%s: %s%s, %s %s for %s", t.Name, number(v), t.What, side, number(t.Limit), t.For)
	}
	switch {
	case !g.lasts, !t.well(v):
		g.well = 0
	case g.well == 0:
		g.well = now
	}
	if g.well != 0 && now.Sub(g.well) >= t.For/4 {
		return Gauge{}
	}
	return g
}

// Strain is what the gauge shows now; nil if all is well. Its words stay the
// same for as long as it lasts.
func (g Gauge) Strain(t Threshold) *cluster.Strain {
	if !g.lasts {
		return nil
	}
	return &cluster.Strain{Check: t.Name, Detail: g.detail}
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
