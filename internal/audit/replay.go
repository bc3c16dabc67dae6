package audit

import (
	"fmt"
	"strings"
)

// delimiter ends a statement that may have semicolons inside.
const delimiter = "/*!*/"

// asBefore fails, and so ends the script and its transaction, unless the
// statement before it changed exactly one row: somebody else has changed it, or
// this script ran already. (A subquery of two rows is an error, and evaluated
// only if it is needed. DO would not tell.)
const asBefore = "SET @baton_as_before = (SELECT CASE ROW_COUNT() WHEN 1 THEN 0 ELSE (SELECT 1 UNION SELECT 2) END);"

func (w *writers) replayHead() {
	j := w.job
	w.replay.printf(`-- Transactions that %s has and the primary %s lacks, to be carried out there.
-- Read %s first. Nobody has decided that they should be.
--
--   %s < %s     on the primary, with an account that may write these tables
--
-- Each is one transaction, which takes effect as a whole only where the rows still
-- are as they were: the first that is not ends the script with the error "Subquery
-- returns more than 1 row", "Duplicate entry" or the like, and what stands before it
-- stays done. Take out, or change, what you do not want.

SET NAMES utf8mb4;
SET SESSION sql_mode = '', time_zone = '+00:00';
`, oneWord(string(j.Node)), oneWord(string(j.Primary)), ReportFile, client(j.Flavor), ReplayFile)
}

func client(flavor string) string {
	if flavor == MySQL {
		return "mysql"
	}
	return "mariadb"
}

// oneWord keeps a name from ending the comment that it stands in.
func oneWord(s string) string { return strings.Join(strings.Fields(printable(s)), " ") }

func (w *writers) replayBegin(t *transaction) {
	w.replay.printf("\n-- %s  %s  acknowledged: %s\n", t.id, rfc3339(t.at), t.acks)
	w.open = false
}

// openTransaction begins one when the first row comes: DDL has none.
func (w *writers) openTransaction() {
	if !w.open {
		w.replay.printf("START TRANSACTION;\n")
		w.open = true
	}
}

func (w *writers) replayRow(t *transaction, tbl *table, r row) {
	f := w.replay
	sql, rough := tbl.change(r)
	switch {
	case r.database == ownSchema:
		f.printf("-- Baton's own row in %s.%s: not to be repeated\n", oneWord(r.database), oneWord(r.table))
		return
	case r.cut:
		f.printf("-- NOT HERE: a row of %s.%s with a value that is too long for this file or cannot be printed; %s/%s has it\n", oneWord(r.database), oneWord(r.table), EvidenceDir, t.file)
		return
	case !tbl.known(r):
		f.printf("-- NOT EXECUTABLE, the names of the columns are not known: %s\n", sql)
		return
	}
	w.openTransaction()
	if len(rough) > 0 {
		f.printf("-- rounded to six digits, or nearly so: %s\n", oneWord(strings.Join(rough, ", ")))
	}
	f.printf("%s\n", sql)
	if r.op != Insert {
		f.printf("%s\n", asBefore)
	}
}

func (w *writers) replayStatement(s statement) {
	f := w.replay
	if s.cut {
		f.printf("-- NOT HERE: a statement that is too long for this file: %s\n", shorten(s.sql))
		return
	}
	if s.database != "" {
		f.printf("USE %s;\n", quoteName(s.database))
	}
	f.printf("DELIMITER %s;\n", delimiter)
	for _, c := range s.context {
		f.printf("%s%s;\n", c, delimiter)
	}
	f.printf("%s\n%s;\nDELIMITER ;\nSET SESSION sql_mode = '', time_zone = '+00:00', timestamp = DEFAULT;\nSET NAMES utf8mb4;\n", s.sql, delimiter)
}

func (w *writers) replayEnd(t *transaction) {
	f := w.replay
	end := "COMMIT;"
	switch {
	case !t.complete():
		end = "ROLLBACK; -- its end is not in the log: it is not whole"
	case t.rolledBack:
		end = "ROLLBACK;"
	}
	if w.open {
		f.printf("%s\n", end)
	} else if !t.complete() {
		f.printf("-- its end is not in the log\n")
	}
}

func (w *writers) replayTail(s Summary) {
	w.replay.printf("\n-- end: %s\n", fmt.Sprint(s.Headline()))
}
