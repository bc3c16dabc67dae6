package agent

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
)

func TestAWriteThatFailsForTheLimitIsStuck(t *testing.T) {
	const limit = time.Second
	at := func(ms int, v db.Verdict) timedAnswer {
		asked := cluster.Instant(time.Duration(ms) * time.Millisecond)
		return timedAnswer{answer: db.Answer{Verdict: v, Detail: "x"}, asked: asked, now: asked.Add(100 * time.Millisecond)}
	}
	for name, tt := range map[string]struct {
		answers []timedAnswer
		stuck   bool
		worked  bool
	}{
		"it works":                   {[]timedAnswer{at(1, db.Done)}, false, true},
		"it fails, not for long yet": {[]timedAnswer{at(1, db.Done), at(1000, db.NoAnswer), at(1500, db.NoAnswer)}, false, true},
		"it has failed for the limit, counted from asking": {[]timedAnswer{at(1, db.Done), at(1000, db.NoAnswer), at(1900, db.NoAnswer)}, true, true},
		"it worked in between":                             {[]timedAnswer{at(1, db.NoAnswer), at(900, db.Done), at(1000, db.NoAnswer), at(1800, db.NoAnswer)}, false, true},
		"waiting for an acknowledgement is no failure":     {[]timedAnswer{at(1, db.NoAnswer), at(900, db.AckWait), at(1200, db.NoAnswer)}, false, false},
		"a table that is not there, for long":              {[]timedAnswer{at(1, db.NoSchema), at(1200, db.NoSchema)}, true, false},
		"it is denied, for long":                           {[]timedAnswer{at(1, db.Denied), at(1200, db.Denied)}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var w writing
			for _, a := range tt.answers {
				w.asked(a, businessWorks, limit)
			}
			if (w.stuck != "") != tt.stuck || w.worked != tt.worked {
				t.Errorf("stuck %q, worked %t; want %t, %t", w.stuck, w.worked, tt.stuck, tt.worked)
			}
		})
	}
}
