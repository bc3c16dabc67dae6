package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// writers write all files of one audit at the same time, as the transactions
// come by. It is a sink.
type writers struct {
	job    Job
	dir    string
	report *file // its body: the head is known only at the end
	replay *file
	json   *file

	transactions, changes int // written to json
	open                  bool
}

// file is one that is written; its first error stays.
type file struct {
	*bufio.Writer
	f *os.File
}

func create(dir, name string) (*file, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &file{Writer: bufio.NewWriterSize(f, 64<<10), f: f}, nil
}

func (f *file) printf(format string, args ...any) { fmt.Fprintf(f, format, args...) }

// whole writes what is left, to the disk, and closes the file.
func (f *file) whole() error {
	err := errors.Join(f.Flush(), f.f.Sync(), f.f.Close())
	f.f = nil
	return err
}

const bodyFile = "report.body"

func newWriters(j Job, dir string) (*writers, error) {
	w := &writers{job: j, dir: dir}
	for name, into := range map[string]**file{bodyFile: &w.report, ReplayFile: &w.replay, TransactionsFile: &w.json} {
		f, err := create(dir, name)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("write the audit: %w", err)
		}
		*into = f
	}
	w.replayHead()
	w.jsonHead()
	return w, nil
}

// close closes what is still open after an error.
func (w *writers) close() {
	for _, f := range []*file{w.report, w.replay, w.json} {
		if f != nil && f.f != nil {
			_ = f.f.Close()
		}
	}
}

func (w *writers) begin(t *transaction) error {
	w.reportBegin(t)
	w.replayBegin(t)
	w.jsonBegin(t)
	return w.written()
}

func (w *writers) row(t *transaction, tbl *table, r row) error {
	w.reportRow(tbl, r)
	w.replayRow(t, tbl, r)
	w.jsonRow(tbl, r)
	return w.written()
}

func (w *writers) statement(t *transaction, s statement) error {
	w.reportStatement(s)
	w.replayStatement(s)
	w.jsonStatement(s)
	return w.written()
}

func (w *writers) end(t *transaction) error {
	w.reportEnd(t)
	w.replayEnd(t)
	w.jsonEnd(t)
	return w.written()
}

// written reports the first error of writing: a bufio.Writer keeps it.
func (w *writers) written() error {
	for _, f := range []*file{w.report, w.replay, w.json} {
		if _, err := f.Write(nil); err != nil {
			return fmt.Errorf("write the audit: %w", err)
		}
	}
	return nil
}

// finish writes what is known only at the end.
func (w *writers) finish(s Summary) error {
	w.replayTail(s)
	w.jsonTail(s)
	err := errors.Join(w.report.whole(), w.replay.whole(), w.json.whole(), w.headedReport(s), w.summary(s))
	if err != nil {
		return fmt.Errorf("write the audit: %w", err)
	}
	return nil
}

// headedReport puts the head before the body.
func (w *writers) headedReport(s Summary) error {
	body, err := os.Open(filepath.Join(w.dir, bodyFile))
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := create(w.dir, ReportFile)
	if err != nil {
		return err
	}
	reportHead(f, s)
	if _, err := io.Copy(f, body); err != nil {
		return errors.Join(err, f.f.Close())
	}
	return errors.Join(f.whole(), os.Remove(filepath.Join(w.dir, bodyFile)))
}

func (w *writers) summary(s Summary) error {
	f, err := create(w.dir, SummaryFile)
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	e.SetIndent("", "  ")
	return errors.Join(e.Encode(s), f.whole())
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".copy-") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // of no effect once it is renamed
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}
