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
