package agent

import (
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db"
)

func TestADrainWaitsForLastingTransactionsOnly(t *testing.T) {
	const ms = cluster.Instant(time.Millisecond)
	writes := func(ids ...string) (open []db.Transaction) {
		for _, id := range ids {
			open = append(open, db.Transaction{ID: id, Writes: true})
		}
		return open
	}
	type look struct {
		at   cluster.Instant
		open []db.Transaction
		want int
	}
	for name, looks := range map[string][]look{
		"nothing is open":                                   {{0, nil, 0}},
		"what reads alone is not waited for":                {{0, []db.Transaction{{ID: "1"}}, 0}, {300 * ms, []db.Transaction{{ID: "1"}}, 0}},
		"one that was open at the start is, until it ends":  {{0, writes("1"), 1}, {900 * ms, writes("1"), 1}, {905 * ms, nil, 0}},
		"short ones that follow each other are not":         {{0, writes("1"), 1}, {5 * ms, writes("2"), 0}},
		"one that began later is, once it has lasted":       {{0, writes("1"), 1}, {5 * ms, writes("1", "2"), 1}, {204 * ms, writes("2"), 0}, {205 * ms, writes("2"), 1}},
		"one that read at the start and writes now is":      {{0, []db.Transaction{{ID: "1"}}, 0}, {5 * ms, writes("1"), 1}},
		"the others are waited for though one of them ends": {{0, writes("1", "2"), 2}, {5 * ms, writes("2"), 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var seen transactions
			for _, l := range looks {
				if got := seen.lasting(l.open, l.at); len(got) != l.want {
					t.Errorf("after %s: waits for %v, want %d", time.Duration(l.at), got, l.want)
				}
			}
		})
	}
}
