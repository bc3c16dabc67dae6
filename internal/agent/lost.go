package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/audit"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
	"github.com/baton-db/baton/internal/db"
	"github.com/baton-db/baton/internal/realtime"
)

// auditor writes down what the transactions did that only this server has. It
// runs beside everything else, at the lowest priority, and once for each set of
// them; its answer for people comes back as an event.
type auditor struct {
	cluster  string
	node     cluster.NodeName
	dir      string // of all audits of this cluster on this host
	flavor   string
	program  string
	database db.Server
	log      *slog.Logger
	report   func(lostOf) // to the loop
	// rowsAt asks the agent of another node how rows are there.
	rowsAt func(context.Context, cluster.NodeName, asked) (rowStates, error)

	wake chan struct{}
	mu   sync.Mutex
	want divergence
}

// divergence is what the loop knows of the errant transactions.
type divergence struct {
	errant   gtid.Set
	epoch    cluster.Epoch
	primary  cluster.NodeName
	serverID uint32
	forced   cluster.Epoch // the newest election that was decided by force
	reign    reign
	lossless bool
}

// lostOf is what is known of a set of errant transactions.
type lostOf struct {
	errant gtid.Set
	dir    string
	sum    audit.Summary
	err    error
	since  *since // how the rows are on the primary; nil: not known yet
}

// told is that for the others.
func (l lostOf) told() cluster.Lost {
	if l.err != nil {
		return cluster.Lost{What: "not known yet: " + l.err.Error(), InTheWay: "they could not be looked at: " + l.err.Error()}
	}
	what := l.sum.Headline()
	if l.since != nil {
		what += " (" + l.since.String() + ")"
	}
	return cluster.Lost{
		What: what, See: filepath.Join(l.dir, audit.ReportFile), Unacknowledged: l.sum.Acknowledged() == audit.NotAcknowledged,
		Undoable: l.sum.Undo.InTheWay == "", InTheWay: l.sum.Undo.InTheWay,
	}
}

// look has the transactions looked at, if they have not been. It never waits.
func (a *auditor) look(d divergence) {
	a.mu.Lock()
	same := a.want.errant.Equal(d.errant)
	a.want = d
	a.mu.Unlock()
	if !same {
		signal(a.wake)
	}
}

// auditAgain is when an audit that failed is tried again.
const auditAgain = 30 * time.Second

func (a *auditor) run(ctx context.Context) {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-again.C:
		}
		a.mu.Lock()
		d := a.want
		a.mu.Unlock()
		if d.errant.IsZero() {
			continue
		}
		found := a.audit(ctx, d)
		if ctx.Err() != nil {
			return
		}
		a.report(found)
		if found.err == nil {
			var s since
			if s, found.err = a.compareOnce(ctx, d.primary, found); found.err == nil {
				found.since = &s
				a.report(found)
			}
		}
		if found.err != nil && ctx.Err() == nil {
			a.log.Warn("look at the transactions that only this server has", "err", found.err)
			again.Reset(auditAgain)
		}
	}
}

// audit returns what an earlier audit of the same transactions found, or makes
// one.
func (a *auditor) audit(ctx context.Context, d divergence) lostOf {
	found := lostOf{errant: d.errant}
	earlier, err := a.earlier(d.errant)
	if err != nil {
		found.err = err
		return found
	}
	if earlier != nil {
		return *earlier
	}
	found.dir = freeDir(a.dir, d.epoch)
	begun := time.Now()
	job, err := a.job(ctx, d)
	if err == nil {
		found.sum, err = audit.Run(ctx, job, found.dir)
	}
	if found.err = err; err == nil {
		a.log.Warn("this server alone has transactions; they are written down", "gtids", d.errant.String(), "what", found.sum.Headline(),
			"acknowledged", found.sum.Acknowledged(), "rewind", found.sum.Undo.InTheWay, "directory", found.dir, "took", time.Since(begun))
	}
	return found
}

// earlier is the audit of those transactions that there is; nil if there is none.
func (a *auditor) earlier(errant gtid.Set) (*lostOf, error) {
	all, err := audits(a.dir)
	for _, e := range all {
		if e.sum.Errant.Equal(errant) && e.sum.Node == a.node && !e.sum.Dropped {
			return &e, nil
		}
	}
	return nil, err
}

// listing bounds the questions to the server before an audit.
const listing = 10 * time.Second

func (a *auditor) job(ctx context.Context, d divergence) (audit.Job, error) {
	call, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	files, err := a.database.BinaryLogs(call)
	if err != nil {
		return audit.Job{}, err
	}
	acks, why := d.acknowledged()
	return audit.Job{
		Program: a.program, Flavor: a.flavor, Files: files, Want: d.errant,
		Cluster: a.cluster, Node: a.node, Primary: d.primary, Epoch: d.epoch, At: time.Now(),
		Acknowledged: acks, AckWhy: why, Columns: a.columns, Start: startQuietly, Notes: d.reign.note(),
	}, nil
}

func (a *auditor) columns(ctx context.Context, database, table string) ([]audit.Column, error) {
	ctx, cancel := context.WithTimeout(ctx, listing)
	defer cancel()
	t, err := a.database.DescribeTable(ctx, database, table)
	if err != nil {
		return nil, err
	}
	var columns []audit.Column
	for _, c := range t.Columns {
		columns = append(columns, audit.Column(c))
	}
	return columns, nil
}

// acknowledged tells what clients may have been told. A commit of a reign whose
// commits waited was answered only after an acknowledgement that counted, and an
// election that nobody forced finds all of those: what it did not find was
// answered to nobody (docs/safety.md, 8 to 10).
func (d divergence) acknowledged() (of func(gtid.Set) audit.Acknowledged, why string) {
	maybe := func(gtid.Set) audit.Acknowledged { return audit.MaybeAnswered }
	switch r := d.reign; {
	case !d.lossless:
		return maybe, "durability.mode is async: commits are answered at once"
	case r.Epoch == 0:
		return maybe, "this node does not remember having been primary: it may have been written here by hand"
	case !r.Waited:
		return maybe, fmt.Sprintf("commits of epoch %d did not all wait for an acknowledgement", r.Epoch)
	case d.forced > r.Epoch:
		return maybe, fmt.Sprintf("the election of epoch %d was decided by force, so acknowledged transactions may be missing", d.forced)
	}
	of = func(t gtid.Set) audit.Acknowledged {
		// What another server wrote, of whose reign nothing is remembered, or of
		// MySQL: only if no election was ever forced.
		known := t.OfServer(d.serverID).Equal(t) || d.forced == 0
		if known && d.reign.Ended.Contains(t) {
			return audit.NotAcknowledged
		}
		return audit.MaybeAnswered
	}
	return of, fmt.Sprintf("no, of what this server had when its reign (epoch %d) was over: commits waited for a replica, and no election since was forced; "+
		"possibly, of what was written here later, or by another server", d.reign.Epoch)
}

// startQuietly starts a program that has time: at the lowest priority.
func startQuietly(cmd *exec.Cmd) error {
	if err := realtime.Start(cmd); err != nil {
		return err
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, 19) // as it is, then
	return nil
}

// freeDir is the directory of an epoch's audit; a second one of the same epoch
// has a number.
func freeDir(dir string, epoch cluster.Epoch) string {
	name := strconv.FormatUint(uint64(epoch), 10)
	for i := 2; ; i++ {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path
		}
		name = fmt.Sprintf("%d.%d", epoch, i)
	}
}
