package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/audit"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
)

// rewinder takes back the transactions that only this server has.
//
// It may be interrupted anywhere and goes on from there, for how far it came can
// be read off the server:
//
//	the log has them, and the rows are as they left them    nothing is done yet
//	the log has them, and the rows are as they found them   undone; the log is left
//	the log is empty                                        it was just removed
//	the log's state is that of before them                  done
//
// The rows change in one transaction, which commits only after every one of them
// was read back and is as it was; so there is nothing in between. Whatever else is
// found somebody else has done: nothing is changed then, and that is said. From
// before the first change to after the last a file says what is under way, and as
// long as it is there the node is held, whatever its GTIDs look like meanwhile.
type rewinder struct {
	dir      string // of the agent's state
	auditor  *auditor
	database db.Server
	log      *slog.Logger
}

// intent is a rewind under way.
type intent struct {
	Errant gtid.Set `json:"errant"`
	State  gtid.Set `json:"state"` // what the binary log had before them
	Audit  string   `json:"audit"` // the directory in which they are written down
	// Undone says that the rows are as before, on the disk. Only then is the log
	// removed, which alone could tell.
	Undone bool   `json:"undone,omitempty"`
	Did    string `json:"did,omitempty"` // in words
	// Data is the file by which the server's data is known again, and Is which file
	// that was: on other data no rewind was begun.
	Data string `json:"data"`
	Is   string `json:"is"`
}

const intentFile = "rewind.json"

// mostRewound bounds the rows of a rewind, which are held in memory: whoever lost
// more is better off with new data.
const mostRewound = 100_000

// cannotRewind is why the transactions cannot be taken back. Trying again would
// come to the same.
type cannotRewind string

func (c cannotRewind) Error() string { return string(c) }

func cannot(format string, args ...any) error { return cannotRewind(fmt.Sprintf(format, args...)) }

// unfinished says that a rewind is under way, or was when its agent died; empty
// if none is.
func (r *rewinder) unfinished() string {
	in, begun, err := r.intended()
	switch {
	case err != nil:
		return err.Error()
	case begun:
		return fmt.Sprintf("a rewind of %s is not finished", in.Errant)
	}
	return ""
}

// run takes the transactions back, or goes on doing so, and says what it did.
// The server is read-only and receives nothing.
func (r *rewinder) run(ctx context.Context, session db.Session) (did string, err error) {
	undoing, ok := session.(db.Undoing)
	if !ok {
		return "", cannot("MySQL has no way to undo transactions")
	}
	in, begun, err := r.intended()
	if err == nil && !begun {
		in, err = r.intend(ctx)
	}
	if err != nil {
		return "", err
	}
	if err := r.quiet(ctx, session); err != nil {
		return "", err
	}
	text, err := undoing.LoggedState(ctx)
	if err != nil {
		return "", err
	}
	logged, err := gtid.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("read what the binary log has: %w", err)
	case in.Undone && (logged.Equal(in.State) || logged.IsZero()):
		did = in.Did
	case logged.Contains(in.State) && logged.Subtract(in.State).Equal(in.Errant):
		if did, err = r.undo(ctx, undoing, in); err != nil {
			return "", err
		}
		in.Did = did
	default:
		return "", cannot("the binary log of this server has %s, and should have %s and %s: somebody has written here since. Give it new data (reclone)", logged, in.State, in.Errant)
	}
	if err := r.beginAnew(ctx, session, undoing, in); err != nil {
		return "", err
	}
	if err := os.Remove(filepath.Join(r.dir, intentFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("end the rewind: %w", err)
	}
	r.log.Warn("transactions taken back", "gtids", in.Errant.String(), "what", did, "written_down", in.Audit)
	return did, nil
}

// quiet makes sure that nothing else changes rows here.
func (r *rewinder) quiet(ctx context.Context, session db.Session) error {
	o, err := r.database.Observe(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("see that the server is read-only: %w", err)
	case !o.Server.ReadOnly:
		return errors.New("the server is not read-only")
	case o.Server.Replica.Started || o.Server.Replica.Receiver:
		return errors.New("the server receives from a source")
	}
	return session.WaitApplied(ctx, o.Server.Replica.Received, nil)
}

// intend works out what a rewind has to do. The transactions must have been
// written down, and nothing be in the way.
func (r *rewinder) intend(ctx context.Context) (intent, error) {
	r.auditor.mu.Lock()
	errant := r.auditor.want.errant
	r.auditor.mu.Unlock()
	if errant.IsZero() {
		return intent{}, cannot("this server has nothing that the primary lacks")
	}
	found, err := r.auditor.earlier(errant)
	switch {
	case err != nil:
		return intent{}, err
	case found == nil:
		return intent{}, fmt.Errorf("the transactions %s are not written down yet", errant)
	case found.sum.Undo.InTheWay != "":
		return intent{}, cannot("%s. Give this server new data (reclone)", found.sum.Undo.InTheWay)
	}
	in := intent{Errant: errant, State: found.sum.Undo.State, Audit: found.dir}
	id, err := r.database.Identify(ctx)
	if err != nil {
		return intent{}, err
	}
	in.Data = filepath.Join(id.DataDir, systemTablespace)
	if in.Is, err = fileIs(in.Data); err != nil {
		return intent{}, fmt.Errorf("find the server's data: %w", err)
	}
	return in, nil
}

// undo changes the rows back, unless that has been done.
func (r *rewinder) undo(ctx context.Context, undoing db.Undoing, in intent) (did string, err error) {
	found, err := r.auditor.earlier(in.Errant)
	if err == nil && found == nil {
		err = cannot("the audit of %s is gone from %s", in.Errant, in.Audit)
	}
	if err != nil {
		return "", err
	}
	job, err := r.auditor.job(ctx, divergence{errant: in.Errant})
	if err != nil {
		return "", err
	}
	rows, err := job.Touched(ctx, mostRewound)
	if errors.Is(err, audit.ErrTooMany) || errors.Is(err, audit.ErrNoKey) {
		return "", cannot("%v: give this server new data (reclone)", err)
	}
	if err != nil {
		return "", err
	}
	if err := r.transactional(ctx, rows); err != nil {
		return "", err
	}
	ask := func(query string) ([]map[string]string, error) { return undoing.Ask(ctx, query) }
	left, err := states(rows, ask)
	if err != nil {
		return "", err
	}
	did = fmt.Sprintf("%s taken back, %d rows as they were before", found.sum.Headline(), len(rows))
	switch {
	case left.other != nil:
		return "", cannot("the row of %s where %s is neither as the transactions left it nor as they found it: something changed it that is not in the binary log. Give this server new data (reclone)", left.other.Table, left.other.Key)
	case left.after == 0:
		return did, nil
	case left.before > 0:
		return "", cannot("of the rows, %d are as the transactions left them and %d as they found them: something changed them that is not in the binary log. Give this server new data (reclone)", left.after, left.before)
	}
	if err := r.keep(in); err != nil {
		return "", err
	}
	err = undoing.Undo(ctx, func(do func(string) error) error { return job.Inverse(ctx, found.sum.Undo, do) }, func(ask db.Ask) error {
		left, err := states(rows, ask)
		if err == nil && (left.after > 0 || left.other != nil) {
			err = errors.New("undone, not all rows would be as they were before")
		}
		return err
	})
	if err != nil && !errors.Is(err, db.ErrSessionBroken) && ctx.Err() == nil {
		return "", cannot("%v. Nothing was changed; give this server new data (reclone)", err)
	}
	return did, err
}

// tally counts how rows are.
type tally struct {
	before, after int
	other         *audit.Touched // one that is neither
}

func states(rows []audit.Touched, ask func(string) ([]map[string]string, error)) (t tally, err error) {
	for i, row := range rows {
		state, err := row.State(ask)
		if err != nil {
			return tally{}, err
		}
		switch state {
		case audit.AsBefore:
			t.before++
		case audit.AsAfter:
			t.after++
		case audit.Other:
			t.other = &rows[i]
		}
	}
	return t, nil
}

// transactional refuses tables whose changes cannot be rolled back.
func (r *rewinder) transactional(ctx context.Context, rows []audit.Touched) error {
	seen := map[string]bool{}
	for _, row := range rows {
		if seen[row.Table] {
			continue
		}
		seen[row.Table] = true
		t, err := r.database.DescribeTable(ctx, row.Database, row.Name)
		if err != nil {
			return err
		}
		if t.Engine != "InnoDB" {
			return cannot("%s is no InnoDB table (%s), so undoing could stop half-way. Give this server new data (reclone)", row.Table, t.Engine)
		}
	}
	return nil
}

// beginAnew keeps the binary logs, and has the server begin new ones from where
// it was before the transactions.
func (r *rewinder) beginAnew(ctx context.Context, session db.Session, undoing db.Undoing, in intent) error {
	files, err := r.database.BinaryLogs(ctx)
	if err != nil {
		return err
	}
	if err := undoing.ToDisk(ctx); err != nil {
		return err
	}
	in.Undone = true
	if err := r.keep(in); err != nil {
		return err
	}
	if err := audit.Keep(files, filepath.Join(in.Audit, audit.EvidenceDir)); err != nil {
		return err
	}
	if err := session.Detach(ctx); err != nil {
		return fmt.Errorf("forget the source: %w", err)
	}
	if err := undoing.Reseed(ctx, in.State.String()); err != nil {
		return err
	}
	text, err := undoing.LoggedState(ctx)
	if err != nil {
		return err
	}
	if logged, err := gtid.Parse(text); err != nil || !logged.Equal(in.State) {
		return fmt.Errorf("the binary log was begun anew and has %q, not %s", text, in.State)
	}
	return nil
}

// intended reads what is under way. Of data that has been replaced since, nothing
// is.
func (r *rewinder) intended() (in intent, begun bool, err error) {
	b, err := os.ReadFile(filepath.Join(r.dir, intentFile))
	if errors.Is(err, fs.ErrNotExist) {
		return intent{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &in)
	}
	if err != nil {
		return intent{}, false, fmt.Errorf("read which rewind is under way: %w", err)
	}
	if is, err := fileIs(in.Data); in.Data != "" && (err != nil || is != in.Is) {
		r.log.Warn("a rewind was begun on data that has been replaced since: it is forgotten", "gtids", in.Errant.String(), "data", in.Data)
		return intent{}, false, os.Remove(filepath.Join(r.dir, intentFile))
	}
	return in, true, nil
}

// systemTablespace is a file that a server's data has all its life.
const systemTablespace = "ibdata1"

// fileIs identifies a file beyond its name: by its number, which may be used
// again, and by when it was made, where the file system knows that.
func fileIs(path string) (string, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d made %d.%09d", st.Ino, st.Btime.Sec, st.Btime.Nsec), nil
}

// keep notes what is under way, so that it is known after a crash.
func (r *rewinder) keep(in intent) error {
	b, err := json.Marshal(in)
	if err == nil {
		err = writeWhole(filepath.Join(r.dir, intentFile), b)
	}
	if err != nil {
		return fmt.Errorf("note the rewind of %s: %w", in.Errant, err)
	}
	return nil
}
