package gtid

import (
	"encoding/json"
	"strings"
	"testing"
)

const (
	uuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidB = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func TestParseAndWrite(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing is the empty set":                      {"", ""},
		"white space is the empty set":                  {" \n\t", ""},
		"one transaction":                               {uuidA + ":5", uuidA + ":5"},
		"an interval of one is written short":           {uuidA + ":5-5", uuidA + ":5"},
		"touching intervals are joined":                 {uuidA + ":1-3:4-6:9", uuidA + ":1-6:9"},
		"overlapping intervals out of order are joined": {uuidA + ":8-12:1-3:2-9", uuidA + ":1-12"},
		"an interval within another vanishes":           {uuidA + ":1-9:3-4", uuidA + ":1-9"},
		"upper case becomes lower":                      {strings.ToUpper(uuidA) + ":1", uuidA + ":1"},
		"servers break lines between UUIDs":             {uuidB + ":1-3,\n" + uuidA + ":7", uuidA + ":7," + uuidB + ":1-3"},
		"white space may stand anywhere between parts":  {" " + uuidA + " : 1 - 3 : 7 ,\r\n", uuidA + ":1-3:7"},
		"empty elements are skipped":                    {",," + uuidA + ":1,,", uuidA + ":1"},
		"the same UUID twice is joined":                 {uuidA + ":1-3," + uuidA + ":4", uuidA + ":1-4"},
		"the greatest number of MySQL":                  {uuidA + ":1-9223372036854775806", uuidA + ":1-9223372036854775806"},
		"a tagged GTID":                                 {uuidA + ":blue:1-5", uuidA + ":blue:1-5"},
		"tags are lower case and sorted, untagged first": {
			uuidA + ":Red:1:blue:2-3:4," + uuidA + ":9", uuidA + ":9:blue:2-4:red:1"},
		"a tag may return":                      {uuidA + ":x:1:y:2:x:3", uuidA + ":x:1:3:y:2"},
		"a state of MariaDB":                    {"0-3-7,0-1-8", "0-1-8,0-3-7"},
		"a state with several domains":          {"5-1-1, 0-2-4", "0-2-4,5-1-1"},
		"numbers, not letters, give the order":  {"10-1-1,9-1-1,9-10-1,9-9-1", "9-1-1,9-9-1,9-10-1,10-1-1"},
		"the same server twice keeps the later": {"0-1-8,0-1-20,0-1-9", "0-1-20"},
		"number 0 stands for nothing":           {"0-1-0", ""},
		"a range of MariaDB":                    {"0-1-101..105", "0-1-101..105"},
		"a range from 1 is written short":       {"0-1-1..105", "0-1-105"},
		"a range of one":                        {"0-1-7..7", "0-1-7..7"},
		"several ranges of one server":          {"0-1-20..30,0-1-1..5", "0-1-5,0-1-20..30"},
		"what is covered comes first":           {"0-1-120,0-*-100", "0-*-100,0-1-120"},
		"a covered range":                       {"0-*-50..100", "0-*-50..100"},
		"the greatest number of MariaDB":        {"4294967295-4294967295-18446744073709551615", "4294967295-4294967295-18446744073709551615"},
		"both kinds, as no server prints":       {"0-1-5," + uuidA + ":1", uuidA + ":1,0-1-5"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.String(); got != tt.want {
				t.Errorf("Parse(%q) is written %q, want %q", tt.text, got, tt.want)
			}
			if s.IsZero() != (tt.want == "") {
				t.Errorf("IsZero() = %t of %q", s.IsZero(), tt.want)
			}
		})
	}
}

func TestSyntaxErrorsSayWhatAndWhere(t *testing.T) {
	const number = "a transaction number or an interval such as 1-5, from 1 to 9223372036854775806"
	for name, tt := range map[string]struct {
		text   string
		offset int
		part   string
		want   string
	}{
		"no kind at all":             {"hello", 0, "hello", "a MySQL set such as " + uuidA + ":1-5 or a MariaDB GTID such as 0-1-100"},
		"the second element":         {"0-1-5, 0-1", 7, "0-1", "a MySQL set such as " + uuidA + ":1-5 or a MariaDB GTID such as 0-1-100"},
		"a UUID too short":           {"3e11fa47-71ca-11e1-9e33-c80aa942956:1", 0, "3e11fa47-71ca-11e1-9e33-c80aa942956", "a UUID such as " + uuidA},
		"a UUID with a wrong letter": {"ge11fa47-71ca-11e1-9e33-c80aa9429562:1", 0, "ge11fa47-71ca-11e1-9e33-c80aa9429562", "a UUID such as " + uuidA},
		"a UUID alone":               {uuidA, 0, uuidA, "an interval after the UUID, such as " + uuidA + ":1-5"},
		"a UUID and a colon":         {uuidA + ":", 37, "", number},
		"number 0":                   {uuidA + ":1:0", 39, "0", number},
		"a number too great":         {uuidA + ":9223372036854775807", 37, "9223372036854775807", number},
		"a sign":                     {uuidA + ":+1", 37, "+1", number},
		"an interval with no end":    {uuidA + ":1-", 37, "1-", number},
		"an interval of three":       {uuidA + ":1-2-3", 37, "1-2-3", number},
		"an interval backwards":      {uuidA + ":5-3", 37, "5-3", "an interval that does not end before it begins"},
		"a tag with no interval":     {uuidA + ":blue", 37, "blue", number},
		"a tag with a hyphen":        {uuidA + ":light-blue:1", 37, "light-blue", number},
		"a tag too long":             {uuidA + ":a23456789012345678901234567890123:1", 37, "a23456789012345678901234567890123", number},
		"two tags in a row":          {uuidA + ":a:b:1", 39, "b", number},
		"a domain too great":         {"4294967296-1-1", 0, "4294967296-1-1", "a domain from 0 to 4294967295 before the first hyphen"},
		"a server that is a word":    {"0-x-1", 0, "0-x-1", "a server id from 0 to 4294967295 between the hyphens"},
		"no sequence number":         {"0-1-", 0, "0-1-", "a sequence number from 0 to 18446744073709551615 after the second hyphen"},
		"a range from 0":             {"0-1-0..5", 0, "0-1-0..5", "a range such as 0-1-101..105 that begins at 1 or later and does not end before it begins"},
		"a range backwards":          {"0-1-6..5", 0, "0-1-6..5", "a range such as 0-1-101..105 that begins at 1 or later and does not end before it begins"},
		"a range without beginning":  {"0-1-..5", 0, "0-1-..5", "a range such as 0-1-101..105 that begins at 1 or later and does not end before it begins"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse(tt.text)
			if !s.IsZero() {
				t.Errorf("a wrong text gave %q", s)
			}
			e, ok := err.(*SyntaxError)
			if !ok {
				t.Fatalf("Parse(%q): %v, want a *SyntaxError", tt.text, err)
			}
			if want := (SyntaxError{tt.text, tt.offset, tt.part, tt.want}); *e != want {
				t.Errorf("got  %+v\nwant %+v", *e, want)
			}
		})
	}
}

func TestErrorsOfLongTextsAreShort(t *testing.T) {
	_, err := Parse(strings.Repeat("0-1-5,", 1000) + "oops")
	if err == nil {
		t.Fatal("no error")
	}
	if got := err.Error(); len(got) > 400 || !strings.Contains(got, `"oops" at byte 6000`) {
		t.Errorf("error is %q", got)
	}
}

func TestSets(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b     string
		contains bool
		union    string
		minus    string
	}{
		"two empty sets":                 {"", "", true, "", ""},
		"everything contains nothing":    {"0-1-5", "", true, "0-1-5", "0-1-5"},
		"nothing contains not something": {"", "0-1-5", false, "0-1-5", ""},
		"a hole is cut out":              {uuidA + ":1-10", uuidA + ":4-6", true, uuidA + ":1-10", uuidA + ":1-3:7-10"},
		"tags are sources of their own":  {uuidA + ":1-10", uuidA + ":t:4-6", false, uuidA + ":1-10:t:4-6", uuidA + ":1-10"},
		"a replica behind its source":    {"0-1-105", "0-1-100", true, "0-1-105", "0-1-101..105"},
		"an old primary with a tail that the new one lacks": {
			"0-1-105", "0-1-100,0-2-110", false, "0-1-105,0-2-110", "0-1-101..105"},
		"the kinds do not mix": {uuidA + ":1", "0-1-1", false, uuidA + ":1,0-1-1", uuidA + ":1"},
		"up to the last number": {
			"0-1-18446744073709551615", "0-1-5..18446744073709551615", true, "0-1-18446744073709551615", "0-1-4"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := MustParse(tt.a), MustParse(tt.b)
			if got := a.Contains(b); got != tt.contains {
				t.Errorf("contains: %t", got)
			}
			if got := a.Union(b).String(); got != tt.union {
				t.Errorf("union: %q, want %q", got, tt.union)
			}
			if got := a.Subtract(b).String(); got != tt.minus {
				t.Errorf("difference: %q, want %q", got, tt.minus)
			}
		})
	}
}

func TestCount(t *testing.T) {
	for text, want := range map[string]uint64{
		"":                               0,
		uuidA + ":1-3:7," + uuidB + ":5": 5,
		"0-1-100":                        100,
		"0-1-101..105,1-1-2":             7,
		"0-*-100":                        0,
		"0-1-18446744073709551615":       18446744073709551615,
		"0-1-18446744073709551615,0-2-1": 18446744073709551615, // no more can be counted
	} {
		if got := MustParse(text).Count(); got != want {
			t.Errorf("%q counts %d, want %d", text, got, want)
		}
	}
}

func TestStoredForm(t *testing.T) {
	type fact struct {
		Has Set `json:"has,omitzero"`
	}
	b, err := json.Marshal(fact{MustParse("0-2-5,0-*-3")})
	if err != nil || string(b) != `{"has":"0-*-3,0-2-5"}` {
		t.Errorf("stored as %s, %v", b, err)
	}
	if b, err = json.Marshal(fact{}); err != nil || string(b) != `{}` {
		t.Errorf("an empty set is stored as %s, %v", b, err)
	}
	f := fact{MustParse("9-9-9")}
	if err := json.Unmarshal([]byte(`{"has":"0-1"}`), &f); err == nil || !f.Has.Equal(MustParse("9-9-9")) {
		t.Errorf("a wrong text: %v, and the set became %s", err, f.Has)
	}
	if err := json.Unmarshal([]byte(`{"has":"0-1-2"}`), &f); err != nil || !f.Has.Equal(MustParse("0-1-2")) {
		t.Errorf("read %s, %v", f.Has, err)
	}
}
