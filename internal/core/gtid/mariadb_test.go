package gtid

import "testing"

func position(t *testing.T, text string) Set {
	t.Helper()
	s, err := Set{}.Through(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPositions(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"a position covers its domain":           {"0-1-100", "0-*-100,0-1-100"},
		"each domain by itself":                  {"1-7-5, 0-1-100", "0-*-100,0-1-100,1-*-5,1-7-5"},
		"an empty one covers nothing":            {"", ""},
		"number 0 covers nothing":                {"0-1-0", ""},
		"a position of MySQL is a set":           {uuidA + ":1-5", uuidA + ":1-5"},
		"an empty line from a server is nothing": {"\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := position(t, tt.text).String(); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	for name, text := range map[string]string{
		"two of one domain":      "0-1-100,0-2-50",
		"a range is no place":    "0-1-5..9",
		"nor is what is covered": "0-*-5",
		"half a GTID":            "0-1",
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := (Set{}).Through(text); err == nil {
				t.Errorf("read as %q", s)
			}
		})
	}
}

// What one server has, seen beside another. Both are given as gtid_binlog_state
// and gtid_slave_pos, with the first GTID that is logged where it is known.
func TestServersSideBySide(t *testing.T) {
	type server struct{ state, slavePos, oldest string }
	for name, tt := range map[string]struct {
		a, b     server
		contains bool
		missing  string // what a lacks of b
	}{
		"provisioned from a backup, it does not lack what came with it": {
			server{"", "0-1-100", ""}, server{"0-1-100", "", ""}, true, ""},
		"nor what another server wrote before the backup": {
			server{"0-1-120", "0-1-120", ""}, server{"0-1-120,0-3-50", "", ""}, true, ""},
		"its past makes nobody else seem behind": {
			server{"0-1-100", "", ""}, server{"", "0-1-100", ""}, true, ""},
		"nor does it after it wrote on": {
			server{"0-1-100", "", ""}, server{"0-2-103", "0-1-100", "0-2-101"}, false, "0-2-103"},
		"it lacks what came after the backup": {
			server{"", "0-1-100", ""}, server{"0-1-105", "", ""}, false, "0-1-101..105"},
		"a stray write after its backup is noticed": {
			server{"0-1-200", "0-1-200", "0-1-101"}, server{"0-1-100,0-3-101", "", ""}, false, "0-3-101..101"},
		"but not where its whole past is only a position": {
			server{"0-1-200", "0-1-200", ""}, server{"0-1-100,0-3-101", "", ""}, true, ""},
		"a former replica that became primary covers no more than it replicated": {
			server{"0-2-110,0-1-100", "0-1-100", ""}, server{"0-1-105", "", ""}, false, "0-1-101..105"},
		"a domain of its own is not covered by another": {
			server{"", "0-1-100", ""}, server{"1-1-5", "", ""}, false, "1-1-5"},
	} {
		t.Run(name, func(t *testing.T) {
			read := func(s server) Set {
				set, err := ParseExecuted(s.state, s.slavePos, s.oldest)
				if err != nil {
					t.Fatal(err)
				}
				return set
			}
			a, b := read(tt.a), read(tt.b)
			if got := a.Contains(b); got != tt.contains {
				t.Errorf("%s contains %s: %t", a, b, got)
			}
			if got := b.Subtract(a).String(); got != tt.missing {
				t.Errorf("%s lacks %q of %s, want %q", a, got, b, tt.missing)
			}
		})
	}
}

func TestExecutedSaysWhichTextIsWrong(t *testing.T) {
	for _, tt := range [][4]string{
		{"x", "", "", "gtid_binlog_state: "},
		{"", "0-1-5,0-2-6", "", "gtid_slave_pos: "},
		{"", "", "0-1", "oldest logged: "},
	} {
		if _, err := ParseExecuted(tt[0], tt[1], tt[2]); err == nil || err.Error()[:len(tt[3])] != tt[3] {
			t.Errorf("%q: %v", tt, err)
		}
	}
}

func TestReceived(t *testing.T) {
	for name, tt := range map[string]struct{ executed, io, want string }{
		"between the two it has whatever there is": {"0-1-60", "0-1-120", "0-*-61..120,0-1-120"},
		"of another server too":                    {"0-1-60", "0-2-120", "0-*-61..120,0-1-60,0-2-120"},
		"nothing came":                             {"0-1-60", "0-1-60", "0-1-60"},
		"the receiver has not started":             {"0-1-60", "", "0-1-60"},
		"an old reading changes nothing":           {"0-1-60", "0-1-50", "0-1-60"},
		"a server that had nothing":                {"", "0-1-5", "0-*-5,0-1-5"},
		"another domain":                           {"0-1-60", "0-1-60,1-1-3", "0-1-60,1-*-3,1-1-3"},
		"MySQL names what came":                    {uuidA + ":1-5", uuidA + ":4-9", uuidA + ":1-9"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := MustParse(tt.executed).Through(tt.io)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.String(); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	if s, err := MustParse("0-1-5").Through("0-1-6,0-1-7"); err == nil {
		t.Errorf("two of one domain: %s", s)
	}
	behind, _ := MustParse("0-1-60").Through("0-1-120")
	if !behind.Contains(MustParse("0-2-61..80")) || behind.Contains(MustParse("0-3-59..59")) {
		t.Errorf("%s covers the wrong part", behind)
	}
	// A primary that began to write at 61 has it in its state as 0-2-120.
	if behind, _ = MustParse("0-1-60").Through("0-2-120"); !behind.Contains(MustParse("0-1-60,0-2-120")) {
		t.Errorf("%s seems to lack some of what it received", behind)
	}
}

func TestParseTransaction(t *testing.T) {
	for text, want := range map[string]string{
		"0-1-105":      "0-1-105..105",
		" 0-1-1\n":     "0-1-1",
		uuidA + ":7":   uuidA + ":7",
		uuidA + ":t:7": uuidA + ":t:7",
	} {
		s, err := ParseTransaction(text)
		if err != nil || s.String() != want || s.Count() != 1 {
			t.Errorf("%q: %q, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "0-1-0", "0-1", "0-1-5,0-1-6", "0-1-5..6", uuidA + ":1-2", uuidA} {
		if s, err := ParseTransaction(text); err == nil {
			t.Errorf("%q is read as the transaction %q", text, s)
		}
	}
}
