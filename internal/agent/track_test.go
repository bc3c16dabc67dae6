package agent

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestATrackedNetwork holds when it counts as lost, with a limit of 750 ms and 3
// looks, and 2 to be back. A look takes 10 ms.
func TestATrackedNetwork(t *testing.T) {
	type look struct {
		at   int // ms
		well bool
	}
	bad := func(at ...int) (all []look) {
		for _, ms := range at {
			all = append(all, look{ms, false})
		}
		return all
	}
	for name, tt := range map[string]struct {
		looks []look
		lost  bool
		back  bool // and not believed yet
	}{
		"nothing was looked at":                           {nil, false, false},
		"it is well":                                      {[]look{{0, true}, {250, true}}, false, false},
		"one bad look":                                    {bad(0), false, false},
		"bad for the limit, but only twice":               {bad(0, 900), false, false},
		"often bad, but not for the limit":                {bad(0, 50, 100, 150, 700), false, false},
		"bad for the limit":                               {bad(0, 50, 100, 740), true, true},
		"a blip: good again within the limit":             {append(bad(0, 50, 100, 600), look{650, true}, look{700, false}, look{800, false}), false, false},
		"a blip, and good again":                          {append(bad(0, 50, 100, 600), look{650, true}), false, false},
		"lost, and good once":                             {append(bad(0, 400, 800), look{850, true}), true, true},
		"lost, and good twice":                            {append(bad(0, 400, 800), look{850, true}, look{900, true}), false, true},
		"lost, and good for nearly the limit":             {append(bad(0, 400, 800), look{850, true}, look{900, true}, look{1580, true}), false, true},
		"lost, and good for the limit":                    {append(bad(0, 400, 800), look{850, true}, look{900, true}, look{1590, true}), false, false},
		"lost, good once for the limit":                   {append(bad(0, 400, 800), look{1600, true}), true, true},
		"lost, good once, and bad again":                  {append(bad(0, 400, 800), look{850, true}, look{900, false}), true, true},
		"lost, back, and bad again":                       {append(bad(0, 400, 800), look{850, true}, look{900, true}, look{950, false}, look{1000, true}, look{1590, true}), false, true},
		"the limit counts from when the first look began": {bad(1, 2, 741), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var track tracking
			for _, l := range tt.looks {
				began := cluster.Instant(0).Add(time.Duration(l.at+1) * time.Millisecond)
				track.looked(l.well, began, began.Add(10*time.Millisecond), 750*time.Millisecond, 3, 2)
			}
			if track.lost != tt.lost {
				t.Errorf("lost: %t, want %t", track.lost, tt.lost)
			}
			if track.back != tt.back {
				t.Errorf("back and not believed yet: %t, want %t", track.back, tt.back)
			}
			if n := len(tt.looks); n > 0 && (track.state() == cluster.Up) != (tt.looks[n-1].well && !tt.lost && !tt.back) {
				t.Errorf("state %s after a last look that was good: %t", track.state(), tt.looks[n-1].well)
			}
		})
	}
}

func TestSeveralTrackedNetworksAreAsBadAsTheWorst(t *testing.T) {
	up, suspect := cluster.LayerView{State: cluster.Up}, cluster.LayerView{State: cluster.Suspect, Evidence: "eth2 is slow"}
	down := cluster.LayerView{State: cluster.Down, Evidence: "eth1 has no carrier"}
	for name, tt := range map[string]struct {
		all  []cluster.LayerView
		want cluster.LayerView
	}{
		"not looked at yet":        {[]cluster.LayerView{{}, {}}, cluster.LayerView{}},
		"all are well":             {[]cluster.LayerView{up, up}, up},
		"one is suspect":           {[]cluster.LayerView{up, suspect}, suspect},
		"one is down":              {[]cluster.LayerView{down, suspect, up}, down},
		"two are down":             {[]cluster.LayerView{down, down}, cluster.LayerView{State: cluster.Down, Evidence: "eth1 has no carrier; eth1 has no carrier"}},
		"one is not looked at yet": {[]cluster.LayerView{up, {}}, up},
	} {
		if got := worst(tt.all); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
