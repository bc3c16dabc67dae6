package agent

import "github.com/baton-db/baton/internal/timeline"

const recordKey = "record"

// Names of the timeline that are used often here.
const (
	detect  = timeline.StepDetect
	cleared = timeline.Cleared
)
