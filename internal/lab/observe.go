package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/lab/process"
)

// modeOf is the mode that a node's agent runs in.
func (l *Lab) modeOf(node string) cluster.Mode {
	if m, set := l.Modes[node]; set {
		return m
	}
	if l.Observe {
		return cluster.Observe
	}
	return cluster.Active
}

// SetMode writes the mode into a node's configuration and restarts its agent,
// as an administrator would.
func (l *Lab) SetMode(ctx context.Context, node string, mode cluster.Mode) error {
	if l.Modes == nil {
		l.Modes = map[string]cluster.Mode{}
	}
	l.Modes[node] = mode
	if err := l.save(); err != nil {
		return err
	}
	if err := l.writeAgentConfig(node); err != nil {
		return err
	}
	if err := l.StopAgent(ctx, node); err != nil {
		return err
	}
	return l.StartAgent(ctx, node)
}

// StopAgent stops a node's agent in good order.
func (l *Lab) StopAgent(ctx context.Context, node string) error {
	p, ok := process.Recorded(l.Dir, agentName(node))
	if !ok {
		return nil
	}
	if err := p.Stop(ctx, 30*time.Second); err != nil {
		return fmt.Errorf("stop the agent of %s: %w", node, err)
	}
	return nil
}

func (l *Lab) writeAgentConfig(node string) error {
	b, err := yaml.Marshal(l.agentConfig(node))
	if err != nil {
		return fmt.Errorf("write the configuration of %s: %w", node, err)
	}
	return writeFile(l.ConfigFile(node), b, 0o640)
}

// observes reports whether any agent of the lab only observes.
func (l *Lab) observes() bool {
	return slices.ContainsFunc(l.Nodes(), func(n string) bool { return l.modeOf(n) == cluster.Observe })
}

// observed reports what keeps a lab in which agents only observe from being as it
// is after Up: they know who is primary and how they would begin.
func (l *Lab) observed(ctx context.Context) error {
	for _, n := range l.Nodes() {
		if l.modeOf(n) != cluster.Observe {
			continue
		}
		st, err := l.ClusterStatus(ctx, n)
		switch {
		case err != nil:
			return err
		case st.Would == nil || st.Would.Primary == "":
			return fmt.Errorf("%s does not know yet what would be done: %+v", n, st.Would)
		case st.Online != len(l.Nodes()):
			return fmt.Errorf("%s hears of %d of %d agents", n, st.Online, len(l.Nodes()))
		}
	}
	return nil
}

// WaitStatus waits until every one of the nodes' agents says what check wants to
// hear; check returns what is missing.
func (l *Lab) WaitStatus(ctx context.Context, what string, nodes []string, check func(api.Status) error) error {
	ctx, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	return until(ctx, what, func(ctx context.Context) error {
		var missing []error
		for _, n := range nodes {
			st, err := l.ClusterStatus(ctx, n)
			if err == nil {
				err = check(st)
			}
			if err != nil {
				missing = append(missing, fmt.Errorf("%s: %w", n, err))
			}
		}
		return errors.Join(missing...)
	})
}

// LetAgentsLook waits until each agent has looked at the whole a number of times
// more, by the count of the facts that it wrote.
func (l *Lab) LetAgentsLook(ctx context.Context, times uint64) error {
	ctx, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	begun := map[cluster.NodeName]uint64{}
	return until(ctx, fmt.Sprintf("each agent has written %d facts", times), func(ctx context.Context) error {
		for _, n := range l.Nodes() {
			c := api.NewClient(l.ControlSocket(n))
			raw, err := c.Facts(ctx)
			c.Close()
			if err != nil {
				return fmt.Errorf("ask the agent of %s: %w", n, err)
			}
			seq := raw.Facts[cluster.NodeName(n)].Seq
			if _, known := begun[cluster.NodeName(n)]; !known {
				begun[cluster.NodeName(n)] = seq
			}
			if seq < begun[cluster.NodeName(n)]+times {
				return fmt.Errorf("%s has written %d", n, seq-begun[cluster.NodeName(n)])
			}
		}
		return nil
	})
}

// moves names the server variables that move by themselves.
var moves = []string{"gtid_binlog_pos", "gtid_binlog_state", "gtid_current_pos", "gtid_slave_pos"}

// Footprint is everything of a host and its server that an agent could change:
// firewall, addresses, neighbours' rules, routes, the server's variables, its
// source, schemas and accounts. It is text, to be compared. MariaDB only.
func (l *Lab) Footprint(ctx context.Context, node string) (string, error) {
	var b strings.Builder
	for _, args := range [][]string{
		{"nft", "list", "ruleset"}, {"ip", "-o", "addr"}, {"ip", "rule"}, {"ip", "route", "show", "table", "all"}, {"ip", "-o", "link"},
	} {
		out, err := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", l.net.Namespace(node)}, args...)...).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s on %s: %w: %s", strings.Join(args, " "), node, err, out)
		}
		fmt.Fprintf(&b, "# %s\n%s", strings.Join(args, " "), out)
	}
	for _, q := range []string{
		"SELECT VARIABLE_NAME, GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_SCOPE LIKE '%GLOBAL%' AND VARIABLE_NAME NOT IN ('" + strings.ToUpper(strings.Join(moves, "','")) + "') ORDER BY 1",
		"SELECT SCHEMA_NAME, '' FROM information_schema.SCHEMATA ORDER BY 1",
		"SELECT CONCAT(user, '@', host), Priv FROM mysql.global_priv ORDER BY 1",
		"SELECT CONCAT(EVENT_SCHEMA, '.', EVENT_NAME), STATUS FROM information_schema.EVENTS ORDER BY 1",
	} {
		if err := l.listPairs(ctx, node, q, &b); err != nil {
			return "", err
		}
	}
	source, err := l.askColumns(ctx, node, "SHOW SLAVE STATUS")
	if err != nil {
		return "", err
	}
	for _, k := range slices.Sorted(maps.Keys(source)) {
		if slices.Contains([]string{"Master_Host", "Master_Port", "Master_User", "Using_Gtid", "Connect_Retry", "Slave_SQL_Running"}, k) {
			fmt.Fprintf(&b, "%s=%s\n", k, source[k])
		}
	}
	return b.String(), nil
}

func (l *Lab) listPairs(ctx context.Context, node, query string, b *strings.Builder) error {
	db := l.open(node)
	defer db.Close()
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", query, node, err)
	}
	defer rows.Close()
	fmt.Fprintf(b, "# %s\n", query)
	for rows.Next() {
		var name, value *string
		if err := rows.Scan(&name, &value); err != nil {
			return fmt.Errorf("%s on %s: %w", query, node, err)
		}
		fmt.Fprintf(b, "%s=%s\n", text(name), text(value))
	}
	return errors.Join(rows.Err())
}

func text(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}

// LetAgentReadOnly takes from a node's agent every privilege with which it could
// change its server. MariaDB only.
func (l *Lab) LetAgentReadOnly(ctx context.Context, node string) error {
	account := agentUser + "@localhost"
	return l.do(ctx, node, "SET sql_log_bin=0", "REVOKE ALL PRIVILEGES, GRANT OPTION FROM "+account,
		"GRANT BINLOG MONITOR, SLAVE MONITOR, PROCESS ON *.* TO "+account)
}

// RecordStatements has a server note every statement from now on.
func (l *Lab) RecordStatements(ctx context.Context, node string) error {
	return l.do(ctx, node, "SET GLOBAL log_output='TABLE'", "SET GLOBAL general_log=ON")
}

// AgentStatements are the statements that Baton's own accounts have sent since
// RecordStatements: how many there were, and those that do more than read.
func (l *Lab) AgentStatements(ctx context.Context, node string) (all int, more []string, err error) {
	ours := fmt.Sprintf("FROM mysql.general_log WHERE user_host RLIKE '^(%s|%s)[[]' AND command_type IN ('Query', 'Prepare', 'Execute')", agentUser, probeUser)
	if err := l.ask(ctx, node, "SELECT COUNT(*) "+ours, &all); err != nil {
		return 0, nil, err
	}
	var b strings.Builder
	err = l.listPairs(ctx, node, "SELECT DISTINCT CONVERT(argument USING utf8mb4), '' "+ours+
		" AND CONVERT(argument USING utf8mb4) NOT RLIKE '^[[:space:]]*(SELECT|SHOW|SET +(SESSION|STATEMENT|NAMES|@@session|@@SESSION|[a-z_]+ *=))'", &b)
	return all, strings.Split(strings.TrimSpace(b.String()), "\n")[1:], err
}

// DirectAddress is where clients reach a node's server under its host's own
// address.
func (l *Lab) DirectAddress(node string) string { return fmt.Sprintf("%s:%d", l.address(node), Port) }

// Starts is how often a node's server has been started.
func (l *Lab) Starts(node string) (int, error) {
	b, err := os.ReadFile(l.path(node, "mysqld.log"))
	if err != nil {
		return 0, fmt.Errorf("count the starts of the server of %s: %w", node, err)
	}
	return strings.Count(string(b), "ready for connections"), nil
}
