package api

import (
	"slices"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// LastTime is how it went the last time, next to what this page would have said the
// moment before: by the settings as they are now, and the history as it was then.
type LastTime struct {
	Epoch cluster.Epoch   `json:"epoch"`
	At    string          `json:"at,omitempty"` // RFC 3339
	Took  timeline.Millis `json:"took_ms"`
	Parts []Then          `json:"parts"`
	// Furthest is the part that was furthest off; empty if none could be compared.
	Furthest string `json:"furthest,omitempty"`
}

// Then is one part of it. What is nil is not known.
type Then struct {
	Name     string           `json:"name"`
	Foreseen *timeline.Millis `json:"foreseen_ms,omitempty"`
	Took     *timeline.Millis `json:"took_ms,omitempty"`
}

// Off is by how much it took longer than foreseen, or less; false if one of the two is
// not known.
func (t Then) Off() (timeline.Millis, bool) {
	if t.Foreseen == nil || t.Took == nil {
		return 0, false
	}
	return *t.Took - *t.Foreseen, true
}

// lastTime finds the newest switch of a way and measures its parts; nil if there is
// none.
func lastTime(whole measure, past []timeline.Switch, parts []Stretch) *LastTime {
	i := len(past) - 1
	for ; i >= 0; i-- {
		if _, ok := whole(past[i]); ok {
			break
		}
	}
	if i < 0 {
		return nil
	}
	took, _ := whole(past[i])
	l := &LastTime{Epoch: past[i].Epoch, At: past[i].At, Took: took}
	var furthest timeline.Millis
	for _, p := range parts {
		then := p.then(past[i], past[:i])
		if off, ok := then.Off(); ok && max(off, -off) > furthest {
			furthest, l.Furthest = max(off, -off), p.Name
		}
		l.Parts = append(l.Parts, then)
	}
	return l
}

// then measures a part of a switch, and says what would have been foreseen of it. What
// had to be applied then is not known to have been foreseen.
func (p Stretch) then(s timeline.Switch, earlier []timeline.Switch) Then {
	t := Then{Name: p.Name}
	if p.took == nil {
		return t
	}
	if took, ok := p.took(s); ok {
		t.Took = &took
	}
	switch {
	case p.learned:
		if typical := timeline.TypicalOf(earlier, p.took); typical.Runs > 0 {
			t.Foreseen = &typical.Median
		}
	case p.Name != backlog:
		t.Foreseen = p.Takes
	}
	return t
}

// Of returns the part of that name.
func (l *LastTime) Of(name string) Then {
	i := slices.IndexFunc(l.Parts, func(t Then) bool { return t.Name == name })
	if i < 0 {
		return Then{Name: name}
	}
	return l.Parts[i]
}
