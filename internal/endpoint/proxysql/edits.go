package proxysql

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
)

// What the column status holds. SHUNNED is ProxySQL's own doing, for a while.
const (
	online      = "ONLINE"
	offlineHard = "OFFLINE_HARD"
	shunned     = "SHUNNED"
)

// row is one of mysql_servers.
type row struct {
	group int
	Host
	status   string
	settings [len(settings)]int
}

// taken reports whether ProxySQL sends clients there, or may do so again by itself.
func (r row) taken() bool { return r.status == online || r.status == shunned }

// settings are the columns of a row that say how its server is used. A new row has
// those of the other rows of its hostgroup.
var settings = [...]string{"weight", "compression", "max_connections", "max_replication_lag", "use_ssl", "max_latency_ms"}

// edits are the statements after which a table with these rows leads to target; none if
// it does. Of the writers, whoever else is there goes offline, and its connections with
// it. Of the readers, a node that is missing is added, and none is taken out but the
// primary where it is not to read: OFFLINE_HARD there is Baton's word, OFFLINE_SOFT
// somebody else's, which stays.
func (e *Endpoint) edits(rows []row, target endpoint.Target) (statements []string) {
	to := e.o.Hosts[target.Node]
	there := false
	for _, r := range rows {
		if r.group != e.o.Writers {
			continue
		}
		want := offlineHard
		if target.Node != "" && r.Host == to {
			want, there = online, true
		}
		if r.status != want {
			statements = append(statements, setStatus(r, want))
		}
	}
	if target.Node == "" {
		return statements
	}
	if !there {
		statements = append(statements, e.insert(rows, e.o.Writers, to))
	}
	if e.o.Readers == 0 {
		return statements
	}
	for _, n := range slices.Sorted(maps.Keys(e.o.Hosts)) {
		statements = append(statements, e.reader(rows, n, target)...)
	}
	return statements
}

// reader is what makes a node a reader, or no reader.
func (e *Endpoint) reader(rows []row, n cluster.NodeName, target endpoint.Target) []string {
	i := slices.IndexFunc(rows, func(r row) bool { return r.group == e.o.Readers && r.Host == e.o.Hosts[n] })
	switch {
	case n == target.Node && (i < 0 || e.o.PrimaryReads):
		return nil
	case i < 0:
		return []string{e.insert(rows, e.o.Readers, e.o.Hosts[n])}
	case n == target.Node && rows[i].taken():
		return []string{setStatus(rows[i], offlineHard)}
	case n != target.Node && !e.o.PrimaryReads && rows[i].status == offlineHard:
		return []string{setStatus(rows[i], online)}
	}
	return nil
}

func setStatus(r row, status string) string {
	return fmt.Sprintf("UPDATE mysql_servers SET status=%s WHERE hostgroup_id=%d AND hostname=%s AND port=%d", quoted(status), r.group, quoted(r.Name), r.Port)
}

// insert adds a server to a hostgroup, to be used as the others there are.
func (e *Endpoint) insert(rows []row, group int, h Host) string {
	columns, values := []string{"hostgroup_id", "hostname", "port", "status", "comment"}, []string{fmt.Sprint(group), quoted(h.Name), fmt.Sprint(h.Port), quoted(online), quoted("made by Baton")}
	like := slices.IndexFunc(rows, func(r row) bool { _, ours := e.nodeAt(r.Host); return ours && r.group == group })
	if like < 0 {
		like = slices.IndexFunc(rows, func(r row) bool { return r.group == group })
	}
	if like >= 0 {
		for i, name := range settings {
			columns, values = append(columns, name), append(values, fmt.Sprint(rows[like].settings[i]))
		}
	}
	return fmt.Sprintf("INSERT INTO mysql_servers (%s) VALUES (%s)", strings.Join(columns, ", "), strings.Join(values, ", "))
}

// quoted is a text as SQLite wants it, which is what the admin interface hands it to.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
