package wire

import (
	"slices"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/db"
)

func TestHowAServerComesUpAgainIsReadFromItsOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want db.Restart
	}{
		"nothing said: writable, and replication starts": {nil, db.Restart{}},
		"spelt with underscores":                         {[]string{"--read_only", "--skip_slave_start"}, db.Restart{ReadOnly: true, HoldReplication: true}},
		"with values":                                    {[]string{"--read-only=ON", "--skip-slave-start=1"}, db.Restart{ReadOnly: true, HoldReplication: true}},
		"the last one wins":                              {[]string{"--read-only=1", "--read-only=OFF"}, db.Restart{}},
		"switched off by a prefix":                       {[]string{"--read-only", "--skip-read-only"}, db.Restart{}},
		"tolerated where it is not known":                {[]string{"--loose-read-only"}, db.Restart{ReadOnly: true}},
		"in the newer words":                             {[]string{"--skip-replica-start"}, db.Restart{HoldReplication: true}},
		"the role for crash recovery":                    {[]string{"--init-rpl-role=slave"}, db.Restart{InitRole: "SLAVE"}},
		"other options do not matter":                    {[]string{"--read-only-not=1", "--port=3306"}, db.Restart{}},
	} {
		if diff := cmp.Diff(tt.want, effective(tt.args, "read-only")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOptionFilesAreTheSameWhenTheServerIsAsked(t *testing.T) {
	files, others := splitArgs([]string{"--defaults-file=/etc/x.cnf", "--defaults-group-suffix=2", "--user=mysql", "--read-only"})
	if !slices.Equal(files, []string{"--defaults-file=/etc/x.cnf", "--defaults-group-suffix=2"}) || !slices.Equal(others, []string{"--user=mysql", "--read-only"}) {
		t.Errorf("files %q, others %q", files, others)
	}
	printed := printedDefaults([]byte("mariadbd would have been started with the following arguments:\n--port=1 --read-only=1 \n"))
	if !slices.Equal(printed, []string{"--port=1", "--read-only=1"}) {
		t.Errorf("printed %q", printed)
	}
}

func TestTextsAreQuoted(t *testing.T) {
	for text, want := range map[string]string{`it's`: `'it\'s'`, `a\b`: `'a\\b'`, "": "''"} {
		if got := Quote(text); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	if got := Name("a`b"); got != "`a``b`" {
		t.Errorf("got %s", got)
	}
}

func TestEventRecordFollowsThePrimary(t *testing.T) {
	all := []event{
		{"app", "new", "u@h", "ENABLED"}, {"app", "same", "u@h", "DISABLED"}, {"app", "off", "u@h", "DISABLED"},
		{"app", "carried", "u@h", "SLAVESIDE_DISABLED"},
	}
	was := map[string]bool{"app.same": false, "app.off": true, "app.carried": true, "app.gone": true}
	got := eventChanges(all, was)
	want := []string{
		"REPLACE INTO baton.events VALUES ('app', 'new', true)",
		"REPLACE INTO baton.events VALUES ('app', 'off', false)",
		"DELETE FROM baton.events WHERE CONCAT(schema_name, '.', event_name) = 'app.gone'",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	odd := event{schema: "a`p", name: "e", definer: "some@one@h", status: "ENABLED"}
	if got := odd.alter("ENABLE"); got != "ALTER DEFINER=`some@one`@`h` EVENT `a``p`.`e` ENABLE" {
		t.Errorf("got %s", got)
	}
}

func TestTheServersWordsForADiskThatDoesNotWrite(t *testing.T) {
	for text, want := range map[string]db.Verdict{
		`Error writing file 'binlog' (Errcode: 28 "No space left on device")`:                db.DiskFull,
		`Got error 28 from storage engine`:                                                   db.DiskFull,
		`Error writing file './binlog.000003' (OS errno 28 - No space left on device)`:       db.DiskFull,
		`Error writing file 'binlog' (Errcode: 30 "Read-only file system")`:                  db.DiskReadOnly,
		`Error writing file './binlog.000003' (OS errno 30 - Read-only file system)`:         db.DiskReadOnly,
		`Error writing file 'binlog' (Errcode: 5 "Input/output error")`:                      db.DiskReadOnly,
		`Can't create/write to file '/tmp/x' (Errcode: 13 "Permission denied")`:              db.Failed,
		`Duplicate entry '28' for key 'PRIMARY'`:                                             db.Failed,
		`You have an error in your SQL syntax; check the manual for 'Errcode' near 'nought'`: db.Failed,
	} {
		if got := Verdict(&mysql.MySQLError{Number: 1026, Message: text}); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
