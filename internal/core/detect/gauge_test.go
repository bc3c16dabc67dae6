package detect

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestAStrainBeginsAndEndsSlowly(t *testing.T) {
	type look struct {
		at    int // seconds
		value float64
	}
	above := Threshold{Name: "connections", What: " % are in use", Limit: 90, For: 20 * time.Second}
	below := Threshold{Name: "room", What: " GB are free", Limit: 10, Below: true, For: 20 * time.Second}
	for name, tt := range map[string]struct {
		threshold Threshold
		looks     []look
		want      string // the strain's words; empty: there is none
	}{
		"nothing was measured":              {above, nil, ""},
		"it is well":                        {above, []look{{0, 50}, {60, 50}}, ""},
		"the limit itself is no strain":     {above, []look{{0, 90}, {60, 90}}, ""},
		"not for long yet":                  {above, []look{{0, 95}, {19, 95}}, ""},
		"for long":                          {above, []look{{0, 95}, {10, 99}, {20, 96}}, "connections: 96 % are in use, above 90 for 20s"},
		"one good look begins it anew":      {above, []look{{0, 95}, {10, 80}, {12, 95}, {31, 95}}, ""},
		"its words stay":                    {above, []look{{0, 95}, {20, 96}, {40, 99}}, "connections: 96 % are in use, above 90 for 20s"},
		"just below the limit it lasts":     {above, []look{{0, 95}, {20, 96}, {40, 85}, {90, 85}}, "connections: 96 % are in use, above 90 for 20s"},
		"well again, not for long":          {above, []look{{0, 95}, {20, 96}, {40, 50}, {44, 50}}, "connections: 96 % are in use, above 90 for 20s"},
		"well again":                        {above, []look{{0, 95}, {20, 96}, {40, 50}, {45, 50}}, ""},
		"well again with a break between":   {above, []look{{0, 95}, {20, 96}, {40, 50}, {43, 85}, {46, 50}, {50, 50}}, "connections: 96 % are in use, above 90 for 20s"},
		"what is low is bad":                {below, []look{{0, 4.5}, {20, 3.5}}, "room: 3.5 GB are free, below 10 for 20s"},
		"what is low, and well":             {below, []look{{0, 40}, {20, 30}}, ""},
		"a limit of nothing judges nothing": {Threshold{Name: "cpu"}, []look{{0, 100}, {1000, 100}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var g Gauge
			for _, l := range tt.looks {
				g = g.Look(l.value, cluster.Instant(time.Hour+time.Duration(l.at)*time.Second), tt.threshold)
			}
			got := ""
			if s := g.Strain(tt.threshold); s != nil {
				got = s.Detail
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
