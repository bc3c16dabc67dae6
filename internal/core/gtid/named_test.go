package gtid

import "testing"

func TestNamedAndCovering(t *testing.T) {
	held, err := MustParse("0-1-49,0-2-373").Through("0-2-450")
	if err != nil {
		t.Fatal(err)
	}
	if got := held.Named().String(); got != "0-1-49,0-2-450" {
		t.Errorf("named are %s", got)
	}
	if tail := MustParse("0-1-400"); held.Named().Contains(tail) || held.Contains(tail) {
		t.Errorf("%s contains %s, of which 50..373 are another server's", held, tail)
	}
	if got := held.Covering(MustParse("0-1-49,0-2-373")); !got.Contains(MustParse("0-1-400")) || got.Contains(MustParse("0-3-451")) {
		t.Errorf("%s should cover up to 450 and no more", got)
	}
	mysql := MustParse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")
	if !mysql.Named().Equal(mysql) || !mysql.Covering(mysql).Equal(mysql) {
		t.Error("a set of MySQL names everything and covers nothing")
	}
}

// TestCoversBeyond: a replica has applied up to 0-1-201 and received up to
// 0-2-205. Whose 202 to 204 are is known once it has applied them.
func TestCoversBeyond(t *testing.T) {
	executed := MustParse("0-1-201")
	received, err := executed.Through("0-2-205")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		set, by Set
		want    bool
	}{
		"it has not applied what it received":    {executed.Union(received), executed, true},
		"it has applied it":                      {executed.Union(received), MustParse("0-1-203,0-2-205"), false},
		"what is named is no question":           {MustParse("0-1-203,0-2-205"), executed, false},
		"another domain's progress says nothing": {received, MustParse("0-1-201,7-1-900"), true},
		"a set of MySQL names everything":        {MustParse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-9"), Set{}, false},
		"nothing covers nothing":                 {Set{}, Set{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.set.CoversBeyond(tt.by); got != tt.want {
				t.Errorf("%s beyond %s: %t", tt.set, tt.by, got)
			}
		})
	}
}
