package audit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

// read parses a text of the decoder and returns its items, one a line.
func read(flavor, text string) (items []string) {
	p := &parser{in: newLines(strings.NewReader(text)), flavor: flavor, wanted: func() bool { return true }}
	p.visit = func(item any) error {
		text := strings.TrimPrefix(fmt.Sprintf("%T %+v", item, item), "audit.")
		if b, ok := item.(begin); ok {
			text = fmt.Sprintf("begin %s %s %d", b.id, rfc3339(b.at), b.pos)
		}
		items = append(items, text)
		return nil
	}
	if err := p.parse(); err != nil {
		items = append(items, "ERROR "+err.Error())
	}
	return items
}

const mariadbText = `# The server's program says this
/*!50530 SET @@SESSION.PSEUDO_SLAVE_MODE=1*/;
DELIMITER /*!*/;
# at 4
#231121  9:05:03 server id 1  end_log_pos 256 CRC32 0x0bb0ea9c 	Start: binlog v 4, server v 10.11.6-MariaDB-log created 231121  9:05:03
# at 256
#231121  9:05:03 server id 1  end_log_pos 299 CRC32 0x0bb0ea9c 	Gtid list [0-1-100,
# 0-2-57]
# at 343
#231121 19:05:04 server id 1  end_log_pos 385 CRC32 0xdd21f3c9 	GTID 0-1-101 trans
/*!100001 SET @@session.gtid_seq_no=101*//*!*/;
START TRANSACTION
/*!*/;
# at 385
#Q> UPDATE orders SET note='### INSERT INTO evil'
#231121 19:05:04 server id 1  end_log_pos 500 CRC32 0xd9c5a4ff 	Table_map: ` + "`shop`.`or``ders`" + ` mapped to number 18
# at 500
#231121 19:05:04 server id 1  end_log_pos 600 CRC32 0xd9c5a4ff 	Update_rows: table id 18 flags: STMT_END_F
### UPDATE ` + "`shop`.`or``ders`" + `
### WHERE
###   @1=17 /* INT meta=0 nullable=0 is_null=0 */
###   @2='it's \x0a /* x */' /* VARSTRING(80) meta=80 nullable=1 is_null=0 */
### SET
###   @1=17 /* INT meta=0 nullable=0 is_null=0 */
###   @2=NULL /* VARSTRING(80) meta=80 nullable=1 is_null=1 */
# Number of rows: 1
# at 600
#231121 19:05:04 server id 1  end_log_pos 631 CRC32 0x3d0fa5b7 	Xid = 20
COMMIT/*!*/;
# at 631
#231121 19:05:05 server id 1  end_log_pos 700 CRC32 0x3d0fa5b7 	GTID 0-1-102 ddl
# at 700
#231121 19:05:05 server id 1  end_log_pos 800 CRC32 0x3d0fa5b7 	Query	thread_id=5	exec_time=0	error_code=0	xid=0
use ` + "`shop`" + `/*!*/;
SET TIMESTAMP=1700593505/*!*/;
CREATE TABLE t (
# at 4
### INSERT INTO ` + "`a`.`b`" + `
)
/*!*/;
DELIMITER ;
# End of log file
`

func TestMariaDBText(t *testing.T) {
	want := []string{
		"list {gtids:0-1-100, 0-2-57}",
		"begin 0-1-101 2023-11-21T19:05:04Z 343",
		"opened {}",
		"row {op:update database:shop table:or`ders" +
			" before:[{Column:1 Value:{form:2 text:17 kind:INT cut:false controls:false}} {Column:2 Value:{form:3 text:it's \n /* x */ kind:VARSTRING(80) cut:false controls:true}}]" +
			" after:[{Column:1 Value:{form:2 text:17 kind:INT cut:false controls:false}} {Column:2 Value:{form:1 text: kind:VARSTRING(80) cut:false controls:false}}] cut:false}",
		"commit {rolledBack:false}",
		"begin 0-1-102 2023-11-21T19:05:05Z 631",
		"statement {sql:CREATE TABLE t (\n# at 4\n### INSERT INTO `a`.`b`\n) database:shop context:[SET TIMESTAMP=1700593505] cut:false}",
	}
	if got := read(MariaDB, mariadbText); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMySQLText(t *testing.T) {
	const text = `# at 126
#240101 12:00:00 server id 1  end_log_pos 197 CRC32 0x1 	Previous-GTIDs
# 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,
# 4e11fa47-71ca-11e1-9e33-c80aa9429562:1
# at 197
#240101 12:00:01 server id 1  end_log_pos 236 CRC32 0x2 	GTID	last_committed=0	sequence_number=1	rbr_only=yes
SET @@SESSION.GTID_NEXT= '3e11fa47-71ca-11e1-9e33-c80aa9429562:6'/*!*/;
# at 236
#240101 12:00:01 server id 1  end_log_pos 308 CRC32 0x3 	Query	thread_id=8	exec_time=0	error_code=0
SET TIMESTAMP=1704110401/*!*/;
BEGIN
/*!*/;
# at 354
#240101 12:00:01 server id 1  end_log_pos 400 CRC32 0x4 	Delete_rows: table id 90 flags: STMT_END_F
### DELETE FROM ` + "`a`.`b`" + `
### WHERE
###   @1=-1 (4294967295) /* INT meta=0 nullable=1 is_null=0 */
###   @2='a\\b\'c\nd\x01' /* VARSTRING(80) meta=80 nullable=1 is_null=0 */
# at 400
#240101 12:00:01 server id 1  end_log_pos 431 CRC32 0x5 	Query	thread_id=8	exec_time=0	error_code=0
COMMIT
/*!*/;
SET @@SESSION.GTID_NEXT= 'AUTOMATIC' /* added by mysqlbinlog */ /*!*/;
`
	want := []string{
		"list {gtids:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,4e11fa47-71ca-11e1-9e33-c80aa9429562:1}",
		"begin 3e11fa47-71ca-11e1-9e33-c80aa9429562:6 2024-01-01T12:00:01Z 197",
		"opened {}",
		"row {op:delete database:a table:b before:[{Column:1 Value:{form:2 text:-1 (4294967295) kind:INT cut:false controls:false}}" +
			" {Column:2 Value:{form:3 text:a\\b'c\nd\x01 kind:VARSTRING(80) cut:false controls:false}}] after:[] cut:false}",
		"commit {rolledBack:false}",
	}
	if got := read(MySQL, text); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLiterals(t *testing.T) {
	utf8, latin, binary, unsigned := &Column{Name: "c", Type: "varchar", Charset: "utf8mb4"}, &Column{Name: "c", Type: "varchar", Charset: "latin1"}, &Column{Name: "c", Type: "binary"}, &Column{Name: "c", Type: "int", Unsigned: true}
	for name, tt := range map[string]struct {
		cell   string
		column *Column
		want   string
		exact  bool
	}{
		"a quote and a backslash":                      {`@1='it\'s \\' /* VARSTRING(80) meta=80 nullable=1 is_null=0 */`, utf8, `'it\'s \\'`, true},
		"letters of UTF-8":                             {`@1='Zoë' /* VARSTRING(80) meta=80 nullable=1 is_null=0 */`, utf8, `'Zoë'`, true},
		"the same bytes in another character set":      {`@1='Zoë' /* VARSTRING(80) meta=80 nullable=1 is_null=0 */`, latin, `x'5a6fc3ab'`, true},
		"bytes that are no text":                       {"@1='\xff' /* BLOB/TEXT meta=2 nullable=1 is_null=0 */", nil, `x'ff'`, true},
		"BINARY(3), whose zeros the log leaves out":    {`@1='a' /* STRING(3) meta=65027 nullable=1 is_null=0 */`, binary, `x'610000'`, true},
		"an unsigned number, printed in both readings": {`@1=-1 (4294967295) /* INT meta=0 nullable=1 is_null=0 */`, unsigned, `4294967295`, true},
		"the same where nobody knows":                  {`@1=-1 (4294967295) /* INT meta=0 nullable=1 is_null=0 */`, nil, `-1`, false},
		"a rounded number":                             {`@1=3.14159              /* FLOAT meta=4 nullable=1 is_null=0 */`, nil, `3.14159`, false},
		"a double":                                     {`@1=2.5                  /* DOUBLE meta=8 nullable=1 is_null=0 */`, nil, `2.5e0`, true},
		"a date":                                       {`@1='2024:01:02' /* DATE meta=0 nullable=1 is_null=0 */`, nil, `'2024-01-02'`, true},
		"a time stamp":                                 {`@1=1704110400.500000 /* TIMESTAMP(6) meta=6 nullable=1 is_null=0 */`, nil, `FROM_UNIXTIME(1704110400.500000)`, true},
		"no time stamp":                                {`@1=0 /* TIMESTAMP(0) meta=0 nullable=1 is_null=0 */`, nil, `'0000-00-00 00:00:00'`, true},
		"BIT(10)":                                      {`@1=b'0000000101' /* BIT(10) meta=258 nullable=1 is_null=0 */`, nil, `5`, true},
		"a SET of two bytes, the lower one first":      {`@1=b'0000001100000001' /* SET(2 bytes) meta=63490 nullable=1 is_null=0 */`, nil, `259`, true},
		"nothing":                                      {`@1=NULL /* INT meta=0 nullable=1 is_null=1 */`, nil, `NULL`, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, ok := parseCell([]byte(tt.cell), MySQL, false)
			if !ok {
				t.Fatal("it cannot be read")
			}
			if got, exact := c.Value.literal(tt.column); got != tt.want || exact != tt.exact {
				t.Errorf("got %s, exact: %t", got, exact)
			}
		})
	}
}

func TestALineThatIsTooLongIsCutAndTheNextIsWhole(t *testing.T) {
	for _, size := range []int{0, 1, 15, 16, 17, 99, 101, 102, 1000} {
		l := &lines{in: bufio.NewReaderSize(strings.NewReader(strings.Repeat("x", size)+"\nnext\nlast"), 16), most: 100}
		line, cut, err := l.next()
		if want := min(size, 100); err != nil || len(line) != want || cut != (size > 100) {
			t.Errorf("%d bytes: %d came, cut: %t, %v", size, len(line), cut, err)
		}
		for _, want := range []string{"next", "last"} {
			if line, _, err := l.next(); err != nil || string(line) != want {
				t.Errorf("%d bytes: then %q, %v; want %q", size, line, err, want)
			}
		}
		if _, _, err := l.next(); err != io.EOF {
			t.Errorf("%d bytes: %v at the end", size, err)
		}
	}
}

// FuzzParse: no text of a decoder crashes the parser, whatever a client had
// written into the log, and wherever the text is cut off.
func FuzzParse(f *testing.F) {
	f.Add([]byte(mariadbText), true)
	for i := 0; i < len(mariadbText); i += 97 {
		f.Add([]byte(mariadbText[:i]), i%2 == 0)
	}
	f.Add([]byte("### INSERT INTO `a`.`b`\n### SET\n###   @1=b'2' /* X */\n###   @70000='\n"), false)
	f.Fuzz(func(t *testing.T, text []byte, mariadb bool) {
		flavor := MySQL
		if mariadb {
			flavor = MariaDB
		}
		var out bytes.Buffer
		p := &parser{in: newLines(bytes.NewReader(text)), flavor: flavor, wanted: func() bool { return true }}
		tbl := &table{database: "a", name: "b", columns: []Column{{Name: "c", Type: "uuid"}, {Name: "d", Key: true}}}
		p.visit = func(item any) error {
			if r, ok := item.(row); ok {
				sql, _ := tbl.change(r)
				out.WriteString(sql)
				for _, c := range append(r.before, r.after...) {
					out.WriteString(jsonValue(c.Value, tbl.of(c.Column)) + shown(c.Value, nil) + c.Value.same("x", nil))
				}
			}
			return nil
		}
		if err := p.parse(); err != nil {
			t.Errorf("%v", err)
		}
	})
}
