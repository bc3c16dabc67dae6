package gtid

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// model is a set written out: every transaction by itself.
type model struct {
	names  map[string]bool // source and number
	covers map[string]bool // domain and number
}

// modelSources are few and their numbers small, so that sets meet. Each has its
// prefix in text, and the domain that could cover it.
var modelSources = []struct{ text, domain string }{
	{uuidA, ""}, {uuidA + ":tag", ""}, {uuidB, ""},
	{"0-1", "0"}, {"0-2", "0"}, {"1-1", "1"}, {"0-*", "0"}, {"1-*", "1"},
}

const modelNumbers = 14

type drawn struct {
	text string
	set  Set
	model
}

// drawSet draws a set as a text in no particular order, and its model.
func drawSet(t *rapid.T, label string) drawn {
	m := model{map[string]bool{}, map[string]bool{}}
	var parts []string
	for range rapid.IntRange(0, 8).Draw(t, label+" spans") {
		from := rapid.SampledFrom(modelSources).Draw(t, "source")
		first := rapid.IntRange(1, modelNumbers).Draw(t, "first")
		last := rapid.IntRange(first, modelNumbers).Draw(t, "last")
		parts = append(parts, spanText(from.text, from.domain != "", first, last))
		for n := first; n <= last; n++ {
			if strings.HasSuffix(from.text, "*") {
				m.covers[key(from.domain, n)] = true
			} else {
				m.names[key(from.text, n)] = true
			}
		}
	}
	text := strings.Join(parts, ",")
	set, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return drawn{text, set, m}
}

func spanText(source string, isMariaDB bool, first, last int) string {
	if isMariaDB {
		return fmt.Sprintf("%s-%d..%d", source, first, last)
	}
	return fmt.Sprintf("%s:%d-%d", source, first, last)
}

func key(source string, n int) string { return fmt.Sprintf("%s#%d", source, n) }

// has says whether a model has a transaction, by name or because it covers it.
func (m model) has(transaction string) bool {
	if m.names[transaction] {
		return true
	}
	source, number, _ := strings.Cut(transaction, "#")
	domain, _, isMariaDB := strings.Cut(source, "-")
	return isMariaDB && len(domain) == 1 && m.covers[domain+"#"+number]
}

func (m model) minus(o model) model {
	left := model{maps.Clone(m.names), map[string]bool{}}
	maps.DeleteFunc(left.names, func(k string, _ bool) bool { return o.has(k) })
	return left
}

func (m model) plus(o model) model {
	sum := model{maps.Clone(m.names), maps.Clone(m.covers)}
	maps.Copy(sum.names, o.names)
	maps.Copy(sum.covers, o.covers)
	return sum
}

// spelt returns the set that a model stands for, made one by one.
func (m model) spelt(t *rapid.T) Set {
	var all Set
	add := func(k, star string, isMariaDB bool) {
		source, number, _ := strings.Cut(k, "#")
		var n int
		if _, err := fmt.Sscan(number, &n); err != nil {
			t.Fatal(err)
		}
		all = all.Union(MustParse(spanText(source+star, isMariaDB, n, n)))
	}
	for k := range m.names {
		add(k, "", strings.IndexByte(k, '-') == 1)
	}
	for k := range m.covers {
		add(k, "-*", true)
	}
	return all
}

func TestSetsBehaveLikeSetsWrittenOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t, "a"), drawSet(t, "b")
		equal := func(what string, got Set, want model) {
			if w := want.spelt(t); !got.Equal(w) || got.String() != w.String() {
				t.Fatalf("%s of %q and %q: %q, want %q", what, a.text, b.text, got, w)
			}
		}
		equal("parse", a.set, a.model)
		equal("union", a.set.Union(b.set), a.plus(b.model))
		equal("difference", a.set.Subtract(b.set), a.minus(b.model))
		if got, want := a.set.Contains(b.set), len(b.minus(a.model).names) == 0; got != want {
			t.Fatalf("%q contains %q: %t, want %t", a.text, b.text, got, want)
		}
		if got, want := a.set.Count(), uint64(len(a.names)); got != want {
			t.Fatalf("%q counts %d, want %d", a.text, got, want)
		}
	})
}

func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawSet(t, "a").set, drawSet(t, "b").set, drawSet(t, "c").set
		holds := func(law string, ok bool) {
			if !ok {
				t.Fatalf("%s does not hold for a=%q b=%q c=%q", law, a, b, c)
			}
		}
		holds("a ∪ b = b ∪ a", a.Union(b).Equal(b.Union(a)))
		holds("a ∪ (b ∪ c) = (a ∪ b) ∪ c", a.Union(b.Union(c)).Equal(a.Union(b).Union(c)))
		holds("a ∪ a = a", a.Union(a).Equal(a))
		holds("a ∪ b ⊇ a", a.Union(b).Contains(a))
		holds("a \\ a = ∅", a.Subtract(a).IsZero())
		holds("a ⊇ b iff b \\ a = ∅", a.Contains(b) == b.Subtract(a).IsZero())
		holds("(a \\ b) \\ c = a \\ (b ∪ c)", a.Subtract(b).Subtract(c).Equal(a.Subtract(b.Union(c))))
		holds("b ∪ (a \\ b) ⊇ a", b.Union(a.Subtract(b)).Contains(a))
		holds("a \\ b and b have nothing in common", a.Subtract(b).Subtract(b).Equal(a.Subtract(b)))
		holds("#a ≤ #(a \\ b) + #b of those named", a.Count() <= a.Subtract(b).Count()+a.Subtract(a.Subtract(b)).Count())
		holds("a ⊇ b lets a ∪ c ⊇ b", !a.Contains(b) || a.Union(c).Contains(b))
	})
}

func TestTheTextOfASetIsReadAsTheSameSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t, "a").set, drawSet(t, "b").set
		for _, s := range []Set{a, a.Union(b), a.Subtract(b)} {
			again, err := Parse(s.String())
			if err != nil || !again.Equal(s) {
				t.Fatalf("%q is read as %q, %v", s, again, err)
			}
		}
	})
}

// No set may change because another was made from it.
func TestSetsShareNoChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sets := []Set{drawSet(t, "a").set, drawSet(t, "b").set, drawSet(t, "c").set}
		var texts []string
		for _, s := range sets {
			texts = append(texts, s.String())
		}
		pick := rapid.IntRange(0, 1<<20)
		for range rapid.IntRange(1, 12).Draw(t, "operations") {
			x, y := sets[pick.Draw(t, "x")%len(sets)], sets[pick.Draw(t, "y")%len(sets)]
			made := x.Union(y)
			if rapid.Bool().Draw(t, "subtract") {
				made = x.Subtract(y)
			}
			sets, texts = append(sets, made), append(texts, made.String())
			for i, s := range sets {
				if s.String() != texts[i] {
					t.Fatalf("set %d was %q and became %q", i, texts[i], s)
				}
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", ",", uuidA + ":1-5:7", uuidA + ":1-5,\n" + uuidB + ":7-9", uuidA + ":Tag:1-3:t2:5:1",
		"0-1-100", "0-3-7,0-1-8,5-1-1", "0-*-100,0-1-101..105", "0-1-0", "4294967295-4294967295-18446744073709551615",
		"0-1-18446744073709551615..18446744073709551615", uuidA + ":9223372036854775806", "0-1-5," + uuidA + ":1",
		"\x00", "0-1-", uuidA + ":", "0--1", "-", "0-*-*", "0-1-1..", strings.ToUpper(uuidA) + " : 1 - 2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			e, ok := err.(*SyntaxError)
			if !ok || e.Offset < 0 || e.Offset+len(e.Part) > len(text) || text[e.Offset:e.Offset+len(e.Part)] != e.Part || e.Want == "" {
				t.Fatalf("%q: the error points beside the text: %#v", text, err)
			}
			return
		}
		written := s.String()
		again, err := Parse(written)
		if err != nil || !again.Equal(s) || again.String() != written {
			t.Fatalf("%q is written %q, which is read as %q, %v", text, written, again, err)
		}
		if !s.Contains(s) || !s.Subtract(s).IsZero() || !s.Union(s).Equal(s) {
			t.Fatalf("%q does not equal itself", written)
		}
	})
}

func FuzzThrough(f *testing.F) {
	f.Add("0-1-60", "0-2-120")
	f.Add("", "0-1-5,1-1-7")
	f.Add(uuidA+":1-5", uuidA+":6")
	f.Add("0-*-18446744073709551615", "0-1-18446744073709551615")
	f.Fuzz(func(t *testing.T, had, position string) {
		s, err := Parse(had)
		if err != nil {
			return
		}
		now, err := s.Through(position)
		if err != nil {
			return
		}
		// Who has come to a position has what the position names.
		reached, err := Set{}.Through(position)
		if err != nil || !now.Contains(s) || !now.Contains(reached) {
			t.Fatalf("%q through %q is %q, %v", had, position, now, err)
		}
	})
}

// busy is a set as of a group of MySQL servers after years: few sources, many
// holes.
func busy(seed uint64) string {
	random := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for source := range 8 {
		fmt.Fprintf(&b, ",%08d-71ca-11e1-9e33-c80aa9429562", source)
		next := 1
		for range 10_000 {
			first := next + random.IntN(50) + 1
			next = first + random.IntN(500) + 1
			fmt.Fprintf(&b, ":%d-%d", first, next)
			next++
		}
	}
	return b.String()
}

func BenchmarkLargeMySQLSets(b *testing.B) {
	text := busy(1)
	one, other := MustParse(text), MustParse(busy(2))
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			MustParse(text)
		}
	})
	for name, do := range map[string]func(){
		"write":    func() { _ = one.String() },
		"union":    func() { one.Union(other) },
		"subtract": func() { one.Subtract(other) },
		"contains": func() { one.Contains(one) },
		"tail":     func() { one.Contains(one.Subtract(other)) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
}

func TestManySourcesStaySorted(t *testing.T) {
	var parts []string
	for server := range 300 {
		parts = append(parts, fmt.Sprintf("%d-%d-%d", server%7, (server*37)%300, server+1))
	}
	s := MustParse(strings.Join(parts, ","))
	if !slices.IsSortedFunc(s.entries, func(a, b entry) int { return a.from.compare(b.from) }) || len(s.entries) != 300 {
		t.Errorf("%d entries, or out of order: %s", len(s.entries), s)
	}
}
