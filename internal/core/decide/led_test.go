package decide

import (
	"reflect"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

func TestWhereANodeLeadsWhatItsHostHasForItself(t *testing.T) {
	promoting := func(w *World) {
		w.Record.Epoch, w.Record.Phase, w.Record.Primary, w.Record.Previous = 6, cluster.PhasePromoting, "db3", "db1"
	}
	serves := func(e cluster.Epoch) change { return fact("db3", func(f *cluster.Fact) { f.Serving = e }) }
	word := func(of cluster.NodeName, e cluster.Epoch) change { return func(w *World) { w.Word = Word{of, e} } }
	for name, tt := range map[string]struct {
		world World
		want  cluster.NodeName
	}{
		"to the primary of a steady reign":                        {newWorld(), "db1"},
		"to the primary that hands over, for as long as it is it": {newWorld(phase(cluster.PhaseHandoff, time.Second)), "db1"},
		"nowhere else before somebody is elected":                 {newWorld(electingAfterDb1), ""},
		"not to one that does not serve yet":                      {newWorld(promoting), ""},
		"not to one that served in another reign":                 {newWorld(promoting, serves(5)), ""},
		"to the new one as soon as it serves":                     {newWorld(promoting, serves(6)), "db3"},
		"to the new one that has told so itself":                  {newWorld(promoting, word("db3", 6)), "db3"},
		"not by the word of another reign":                        {newWorld(promoting, word("db3", 5)), ""},
		"not by the word of another node":                         {newWorld(promoting, word("db2", 6)), ""},
		"nowhere by a word where nobody is elected yet":           {newWorld(electingAfterDb1, word("", 6)), ""},
		"nothing is changed by a word without the store":          {newWorld(promoting, word("db3", 6), func(w *World) { w.StoreSilent = true }), ""},
		"nothing is changed without the store":                    {newWorld(func(w *World) { w.StoreSilent = true }), ""},
		"nothing is changed by a store that went back":            {newWorld(func(w *World) { w.WentBack = "it did" }), ""},
		"nothing is changed by a record that cannot be read":      {newWorld(func(w *World) { w.Unreadable = "odd" }), ""},
		"nothing is changed without a record":                     {newWorld(func(w *World) { w.RecordRev = 0 }), ""},
		"nothing is changed by a record of a newer version":       {newWorld(func(w *World) { w.Record.Schema++ }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Led(tt.world); got != tt.want {
				t.Errorf("led to %q, want %q", got, tt.want)
			}
			wordless := tt.world
			wordless.Word = Word{}
			if got, want := Next(tt.world, noon), Next(wordless, noon); !reflect.DeepEqual(got, want) {
				t.Errorf("a word decides: %+v, without it %+v", got, want)
			}
		})
	}
}
