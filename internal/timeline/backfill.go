package timeline

import (
	"fmt"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
)

// BackFill is what came of fetching, after an asynchronous reign, what only the
// binary log of its dead primary held.
type BackFill struct {
	From    cluster.NodeName `json:"from"`
	Reason  cluster.Reason   `json:"reason"`
	Detail  string           `json:"detail,omitempty"`
	Brought uint64           `json:"brought"`         // transactions that are on the new primary
	GTIDs   string           `json:"gtids,omitempty"` // of those

	// Left is how many are not, where Known says that it is known: they are
	// possibly lost, to clients that saw them acknowledged.
	Known    bool   `json:"known"`
	Left     uint64 `json:"left"`
	LeftGTID string `json:"left_gtids,omitempty"`
}

// String says it to a person.
func (f BackFill) String() string {
	var parts []string
	if f.Brought > 0 {
		parts = append(parts, fmt.Sprintf("%s brought over from the binary log of %s: %s", transactions(f.Brought), f.From, f.GTIDs))
	}
	switch {
	case !f.Known:
		parts = append(parts, fmt.Sprintf("possibly lost: an unknown number of the newest transactions of %s, which no replica had received", f.From))
	case f.Left > 0:
		parts = append(parts, fmt.Sprintf("possibly lost: %s of %s: %s", transactions(f.Left), f.From, f.LeftGTID))
	default:
		parts = append(parts, fmt.Sprintf("nothing that %s had logged is lost", f.From))
	}
	if f.Reason != cluster.BackFilled || f.Detail != "" {
		parts = append(parts, reasonText(f.Reason, f.Detail))
	}
	return strings.Join(parts, "; ")
}

func transactions(n uint64) string {
	if n == 1 {
		return "1 transaction"
	}
	return fmt.Sprintf("%d transactions", n)
}

// BackFilled notes what came of the back-fill that runs, or ran last.
func (r *Recorder) BackFilled(f BackFill) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.parts) - 1; i >= 0; i-- {
		p := r.parts[i]
		for j := len(p.events) - 1; j >= 0; j-- {
			if e := p.events[j]; e.Step == StepBackFill {
				e.BackFill, e.Detail = &f, f.String()
				p.Seq++
				return
			}
		}
	}
}
