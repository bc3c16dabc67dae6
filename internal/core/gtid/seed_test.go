package gtid

import "testing"

func TestStateAt(t *testing.T) {
	for name, tt := range map[string]struct{ before, after, position, want string }{
		"nobody wrote meanwhile":                         {"0-1-10", "0-1-10", "0-1-10", "0-1-10"},
		"the primary wrote on after the copy":            {"0-1-10", "0-1-30", "0-1-20", "0-1-20"},
		"old primaries keep what they wrote":             {"0-2-5,0-1-10", "0-2-5,0-1-30", "0-1-20", "0-2-5,0-1-20"},
		"the role moved before the copy's point":         {"0-1-10", "0-1-15,0-2-30", "0-2-20", "0-1-15,0-2-20"},
		"the role moved after the copy's point":          {"0-1-10", "0-1-25,0-2-30", "0-1-20", "0-1-20"},
		"it moved back and forth after the point":        {"0-2-4,0-1-10", "0-2-30,0-1-40", "0-1-20", "0-2-4,0-1-20"},
		"the point's server comes last of its domain":    {"0-1-10,0-2-3", "0-1-10,0-2-12", "0-2-12", "0-1-10,0-2-12"},
		"other domains are counted for themselves":       {"0-1-10,1-1-4", "0-1-12,1-1-9", "0-1-11,1-1-7", "0-1-11,1-1-7"},
		"a domain that was empty at the point stays out": {"0-1-10", "0-1-12,7-1-9", "0-1-11", "0-1-11"},
		"an empty server":                                {"", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := StateAt(tt.before, tt.after, tt.position); err != nil || got != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
	for name, tt := range map[string]struct{ before, after, position string }{
		"the log was begun anew":               {"0-1-10", "0-1-3", "0-1-3"},
		"one that had written is gone from it": {"0-1-10,0-2-3", "0-1-12", "0-1-12"},
		"the position is of another server":    {"0-1-10", "0-1-10", "0-9-10"},
		"the position is newer than the log":   {"0-1-10", "0-1-10", "0-1-11"},
		"no GTID":                              {"0-1", "0-1-10", "0-1-10"},
		"a position that names a server twice": {"0-1-10", "0-1-10", "0-1-9,0-1-10"},
		"a state that names a server twice":    {"0-1-10,0-1-11", "0-1-10", "0-1-9"},
		"MySQL has no such thing":              {"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", "", ""},
	} {
		if got, err := StateAt(tt.before, tt.after, tt.position); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}
