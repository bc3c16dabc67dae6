package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/api"
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

// audits are those of a directory, the newest first.
func audits(dir string) ([]lostOf, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the audits: %w", err)
	}
	var all []lostOf
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name(), audit.SummaryFile))
		l := lostOf{dir: filepath.Join(dir, e.Name())}
		if err == nil {
			err = json.Unmarshal(b, &l.sum)
		}
		if err != nil {
			continue // somebody else's directory
		}
		l.errant = l.sum.Errant
		all = append(all, l)
	}
	slices.SortFunc(all, func(x, y lostOf) int {
		return cmp.Or(strings.Compare(y.sum.At, x.sum.At), cmp.Compare(len(y.dir), len(x.dir)), strings.Compare(y.dir, x.dir))
	})
	return all, nil
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

// Lost implements api.LostTransactions.
func (a *Agent) Lost(context.Context) ([]api.Lost, error) {
	found, err := audits(a.Config.LostDir())
	if err != nil {
		return nil, err
	}
	all := []api.Lost{}
	for _, l := range found {
		all = append(all, l.shown())
	}
	return all, nil
}

// shown is an audit as people get it.
func (l lostOf) shown() api.Lost {
	s := l.sum
	one := api.Lost{
		Name: filepath.Base(l.dir), Directory: l.dir, At: s.At, Node: s.Node, Primary: s.Primary, Epoch: s.Epoch, GTIDs: s.Errant.String(),
		Headline: s.Headline(), Transactions: s.Transactions, Rows: s.Rows, Statements: s.Statements,
		Acknowledged: string(s.Acknowledged()), AckWhy: s.AckWhy, Findings: s.Findings, InTheWay: s.Undo.InTheWay,
	}
	if now, err := readSince(filepath.Join(l.dir, sinceFile)); err == nil {
		one.Since = &api.LostSince{At: now.At, Primary: now.Primary, Unchanged: now.Unchanged, Same: now.Same, Changed: now.Changed,
			NotCompared: now.NotCompared, Text: now.String()}
	}
	for _, t := range s.Tables {
		one.Tables = append(one.Tables, api.LostRows(t))
	}
	return one
}

// LostCheck implements api.LostTransactions.
func (a *Agent) LostCheck(ctx context.Context, name string) (api.Lost, error) {
	found, err := audits(a.Config.LostDir())
	if err != nil {
		return api.Lost{}, err
	}
	i := slices.IndexFunc(found, func(l lostOf) bool { return filepath.Base(l.dir) == name })
	if i < 0 {
		return api.Lost{}, noAudit(name)
	}
	if _, err := a.sharedStore(); err != nil || a.host.auditor == nil {
		return api.Lost{}, &api.Error{Status: http.StatusServiceUnavailable, Message: "this node does not know yet who is primary", Mend: "ask again in a moment"}
	}
	record, _ := a.loop.situation.get()
	if record.Primary == "" {
		return api.Lost{}, &api.Error{Status: http.StatusConflict, Message: "there is no primary to compare the rows with", Mend: "ask again when one serves (baton status)"}
	}
	if _, err := a.host.auditor.compare(ctx, record.Primary, found[i]); err != nil {
		return api.Lost{}, err
	}
	return found[i].shown(), nil
}

func noAudit(name string) error {
	return &api.Error{Status: http.StatusNotFound, Message: fmt.Sprintf("this node has no audit %s", name), Mend: "`baton lost` lists those it has; every node keeps its own"}
}

// LostFile implements api.LostTransactions.
func (a *Agent) LostFile(_ context.Context, name string, transactions bool) (io.ReadCloser, error) {
	file := audit.ReportFile
	if transactions {
		file = audit.TransactionsFile
	}
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return nil, &api.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("%q is no name of an audit", name), Mend: "`baton lost` lists them"}
	}
	dir := filepath.Join(a.Config.LostDir(), name)
	f, err := os.Open(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noAudit(name)
	}
	if err != nil || transactions {
		return f, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(f, strings.NewReader(sinceText(dir))), f}, nil
}

// audit has the errant transactions looked at, and keeps in mind what will be
// asked of a reign once it is over.
func (l *loop) audit() {
	l.rememberReign()
	if l.auditor == nil {
		return
	}
	r := l.Board.Record
	d := divergence{errant: l.Divergence.Errant, epoch: r.Epoch, primary: r.Primary, serverID: l.Server.ID,
		forced: r.Forced, reign: l.memory.Reign, lossless: l.Settings.Durability == cluster.Lossless}
	l.auditor.look(d)
	if l.deadLogs != nil && l.Mode == cluster.Active {
		l.deadLogs.look(l.lifeSign(d))
	}
}

// lifeSign is what there is to say of the own server and of those that its log is
// compared with.
func (l *loop) lifeSign(d divergence) lifeSign {
	r, srv := l.Board.Record, l.Server
	s := lifeSign{divergence: d, self: l.Self, up: srv.State == cluster.ServerUp, life: srv.Start, held: srv.Held(), source: srv.Replica.Source}
	for _, n := range l.Settings.DataNodes() {
		held := l.Board.Facts[n].Value.Server.Held()
		switch {
		case n == l.Self:
		case r.Primary == n:
			s.others = []gtid.Set{held.Union(r.Required)}
		case r.Primary == "" || r.Primary == l.Self:
			s.others = append(s.others, held)
		}
	}
	serving := l.Board.Facts[r.Primary].Value.Serving == r.Epoch
	s.settled = r.Phase == cluster.PhaseSteady && serving
	return s
}

// rememberReign notes that this node is primary, whether its commits wait, and
// what its server has when that is over.
func (l *loop) rememberReign() {
	if l.Mode != cluster.Active || l.Board.RecordRev == 0 {
		return
	}
	was, r, srv := l.memory.Reign, l.Board.Record, l.Server
	now := was
	_, unsure := l.Conditions[cluster.SemiSyncOff]
	switch {
	case r.Primary == l.Self:
		if now.Epoch != r.Epoch {
			now = reign{Epoch: r.Epoch, Waited: l.Settings.Durability == cluster.Lossless && (was.Waited || !was.continues()), Unkept: was.continues() && was.Unkept}
		}
		if srv.State == cluster.ServerUp && !srv.ReadOnly {
			now.Unkept = now.Unkept || was.continues() && l.unkept(was.Life)
			now.Life = srv.Start
		}
		now.Waited = now.Waited && !unsure
	case now.Epoch != 0 && now.Ended.IsZero() && srv.State == cluster.ServerUp && srv.ReadOnly:
		now.Ended = srv.Executed
		now.Unkept = now.Unkept || l.unkept(now.Life)
	}
	if now.Epoch == was.Epoch && now.Waited == was.Waited && now.Life == was.Life && now.Ended.Equal(was.Ended) {
		return
	}
	l.memory.Reign = now
	if err := l.remember(l.memory); err != nil {
		l.log.Error("keep in mind", "err", err)
	}
}

// unkept reports that a life of the server has ended and nobody looked after what
// its log held.
func (l *loop) unkept(life string) bool {
	return life != "" && l.Server.Start != life && l.deadLogs != nil && !l.deadLogs.has(life)
}

// continues reports that the next reign of this node follows this one directly,
// as after a planned switch that went back: what it wrote in both is one tail.
func (r reign) continues() bool { return r.Epoch != 0 && r.Ended.IsZero() }

// foundLost takes in what an audit found.
func (l *loop) foundLost(found lostOf) {
	if found.errant.Equal(l.Divergence.Errant) {
		l.Lost = found.told()
	}
}
