package config

import (
	"fmt"
	"reflect"
	"strings"
)

// meant says which key was probably meant by one that does not exist in the
// block at path: a similar one there, or the same one elsewhere.
func (l *loader) meant(path, name string, block reflect.Type) string {
	here := tags(block)
	if near, ok := nearest(name, here); ok {
		return "did you mean " + join(path, near) + "?"
	}
	for _, k := range Keys() {
		if k.Name() == name {
			return "did you mean " + k.Path + "?"
		}
	}
	if near, ok := nearest(name, everyName()); ok {
		for _, k := range Keys() {
			if k.Name() == near {
				return "did you mean " + k.Path + "?"
			}
		}
	}
	if path == "" {
		return fmt.Sprintf("remove it; there are %s", strings.Join(here, ", "))
	}
	return fmt.Sprintf("remove it; %s has %s", path, strings.Join(here, ", "))
}

func everyName() []string {
	var all []string
	for _, k := range Keys() {
		all = append(all, k.Name())
	}
	return all
}

// nearest returns the word that is most like s, if one is like it at all: with
// a third of its letters, and no more than three, wrong. Of one or two letters
// anything could be meant.
func nearest(s string, words []string) (string, bool) {
	best, least := "", min(3, len(s)/3)+1
	for _, w := range words {
		if d := distance(strings.ToLower(s), w); d < least {
			best, least = w, d
		}
	}
	return best, best != ""
}

// distance is how many letters must be added, left out, changed, or swapped
// with their neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
