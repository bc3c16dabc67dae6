package sim

import (
	"slices"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/core/cluster"
)

// TestEveryStory tells each story with a few delays: no promise is broken, and it
// comes to its point with some of them. That each of them finds what it is for is
// shown by package mutants.
func TestEveryStory(t *testing.T) {
	for _, name := range Stories() {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			told := 0
			for seed := range uint64(storySeeds) {
				s, err := Tell(name, seed, false)
				if err != nil {
					t.Fatal(err)
				}
				if s.Wrong != "" {
					again, _ := Tell(name, seed, true)
					lines := strings.Split(again.Trace, "\n")
					t.Fatalf("seed %d: %s\n%s", seed, s.Wrong, strings.Join(lines[max(0, len(lines)-80):], "\n"))
				}
				if s.Told {
					told++
				}
			}
			t.Logf("%d of %d came to the point", told, storySeeds)
			if told == 0 {
				t.Errorf("with none of %d seeds it comes to its point", storySeeds)
			}
		})
	}
}

// TestNumbersLeftOutWithoutTheMarker: where a server refuses to write the marker in the
// transaction that leaves numbers out, the same course of events ends with an election
// that waits for a person. So the story shows what the marker there is for.
func TestNumbersLeftOutWithoutTheMarker(t *testing.T) {
	i := slices.IndexFunc(stories, func(s staged) bool { return s.name == "a primary that dies before its marker" })
	waited := 0
	for seed := range uint64(storySeeds) {
		if told := stories[i].with(directions{unmarked: true}, seed, false); strings.Contains(told.Wrong, string(cluster.NobodyToPromote)) {
			waited++
		}
	}
	if waited == 0 {
		t.Errorf("with none of %d seeds an election waits", storySeeds)
	}
}

// storySeeds are how often each story is told.
const storySeeds = 5
