package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/audit"
)

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
