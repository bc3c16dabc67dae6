package config

import (
	"fmt"
	"strings"
)

// Document writes the table of keys as Markdown, for docs/configuration.md.
func Document() string {
	var b strings.Builder
	b.WriteString(documentHead)
	for _, part := range []struct {
		title string
		keys  []Key
	}{
		{"The node and the cluster", identityKeys()},
		{"Nodes and sites", nodeKeys()},
		{"Store and certificates", storeKeys()},
		{"Server", serverKeys()},
		{"Virtual addresses", endpointKeys()},
		{"Virtual addresses for readers", readerKeys()},
		{"Other endpoints", centralKeys()},
		{"Clients' connections", connectionKeys()},
		{"Hooks", hookKeys()},
		{"Notifications", notifyKeys()},
		{"Durability", durabilityKeys()},
		{"Timing", timingKeys()},
		{"Detection", detectionKeys()},
		{"Layer 4: health", healthKeys()},
		{"Preheating of replicas", preheatKeys()},
		{"Automation, priority, log", otherKeys()},
		{"Questions over HTTP", httpKeys()},
		{"A zone of its own", dnsKeys()},
	} {
		fmt.Fprintf(&b, "\n### %s\n\n| key | what | type | default | bounds | same | HUP |\n|---|---|---|---|---|---|---|\n", part.title)
		for _, k := range part.keys {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", k.Path, cell(k.prose()), cell(k.written()), cell(k.defaultProse()), k.bounds(), mark(k.Same), mark(k.Reload))
		}
	}
	b.WriteString(documentTail())
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func mark(yes bool) string {
	if yes {
		return "yes"
	}
	return ""
}

func (k Key) prose() string {
	if k.Example == "" {
		return k.Doc
	}
	return k.Doc + " Example: `" + k.Example + "`."
}

func (k Key) written() string {
	switch {
	case k.Kind == Choice:
		return "`" + strings.Join(k.Choices, "`, `") + "`"
	case k.Unit != "":
		return string(k.Kind) + ", " + k.Unit
	}
	return string(k.Kind)
}

func (k Key) bounds() string {
	if k.Min == "" {
		return ""
	}
	return k.Min + " to " + k.Max
}

func (k Key) defaultProse() string {
	switch {
	case k.Required != "":
		return "required"
	case k.Rule != "":
		return k.Rule
	case k.Balanced == "":
		return ""
	case k.Fast == k.Balanced && k.Balanced == k.WAN:
		return "`" + k.Balanced + "`"
	}
	return fmt.Sprintf("fast `%s`, balanced `%s`, wan `%s`", k.Fast, k.Balanced, k.WAN)
}

// profileTable writes what every key that depends on the profile comes to.
func profileTable() string {
	var b strings.Builder
	b.WriteString("| key | fast | balanced | wan | rule |\n|---|---|---|---|---|\n")
	var columns []map[string]string
	for _, p := range []Profile{Fast, Balanced, WAN} {
		column := make(map[string]string)
		cfg, _ := Parse("baton.yaml", fmt.Appendf(nil, smallest, p))
		for _, r := range cfg.Rows() {
			column[r.Key] = r.Value
		}
		columns = append(columns, column)
	}
	for _, k := range Keys() {
		f, m, w := columns[0][k.Path], columns[1][k.Path], columns[2][k.Path]
		if f == m && m == w {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Path, f, m, w, k.Rule)
	}
	return b.String()
}

// smallest is the shortest configuration that is accepted, with a place for
// the profile.
const smallest = `profile: %s
node: db1
cluster: shop
nodes:
  - {name: db1, address: 10.77.0.11}
  - {name: db2, address: 10.77.0.12}
  - {name: w1, role: witness, address: 10.77.0.20}
server:
  replication: {password_file: repl.password}
  probe: {password_file: probe.password}
`

const documentHead = `# Configuration

<!-- Written by a test from the table of keys in internal/config. Do not edit:
     change the table, then run go test ./internal/config -run Documentation -update -->

One YAML file, ` + "`/etc/baton/baton.yaml`" + `, the same on every node but for ` + "`node:`" + `.
` + "`baton init`" + ` writes it, with certificates, passwords and the SQL for the accounts;
files for common situations are in [examples](examples). ` + "`baton config check`" + ` judges it together with the host and
the servers, and changes nothing; ` + "`baton config show`" + ` prints every value in force and where it comes from.

An unknown key, a value without its unit, or a combination that cannot work keeps the
agent from starting. Everything that is wrong is reported at once, with its line and the mend:

    baton.yaml:12: nodes[1].role: "withness" is no role; use data or witness

How to read the tables:

- *type*: a **duration** is a number with its unit: ` + "`750ms`, `2s`, `1m30s`" + `. A **path** that does not begin with
  a slash counts from the directory of the file. A **list** is ` + "`[a, b]`" + `.
- *same*: must be the same on every node. Nodes that differ say so (` + "`config-differs`" + `) and hold back automatic
  decisions until they agree.
- *HUP*: changes at run time with SIGHUP (` + "`systemctl reload baton`" + `). Everything else is refused by name, and
  takes effect when the agent is restarted.
- Secrets are never in this file, but in files that it names. Those must not be readable by everybody.

The smallest file that is accepted:

` + "```yaml\n" + `node: db1
cluster: shop
nodes:
  - {name: db1, address: 10.77.0.11}
  - {name: db2, address: 10.77.0.12}
  - {name: w1, role: witness, address: 10.77.0.20}
server:
  replication: {password_file: repl.password}
  probe: {password_file: probe.password}
` + "```\n" + `
## Every key
`

func documentTail() string {
	return `
## What the profiles come to

` + profileTable() + `
The rules that are kept: an election takes at least five heartbeats; a call to the store at most a quarter of the lease, the
time between renewals at most a third; lease − renew − call − margin is more than nothing; handoff is longer than drain;
promote_stall and ack_leave are no shorter than the lease; hang is at least twice detection.suspect.

Probes follow the adaptive interval: normal while all is well, suspect after the first failure, critical after the
second, until the layer is up again.

## A member of the store that was lost

With an embedded store every agent is a member, and a majority of them must be up. One whose directory
(` + "`data_dir`" + `/` + "`cluster`" + `/store) was lost, wiped or damaged does not start again as the one it was, for it has forgotten
what it voted for. ` + "`baton store member replace db3`" + ` on another node, then an agent on db3 with that directory empty:
the new member copies everything and gets its vote. ` + "`baton store member list`" + ` shows them all. If a majority is lost for
good, or the whole store: see ` + "`store-went-back`" + ` in [failures.md](failures.md).

## Changing the lease

A node that knows a shorter lease than the primary would give the primary up too early. So lease, drift and margin must
not be changed node by node while failovers are possible: ` + "`baton pause`" + `, change the file on every node, restart every
agent, see in ` + "`baton status`" + ` that no node reports ` + "`config-differs`" + `, then ` + "`baton resume`" + `.

## Passwords and certificates

| file | who needs it | mode |
|---|---|---|
| ` + "`server.password_file`" + ` | data nodes; not with unix_socket authentication | 0600 |
| ` + "`server.replication.password_file`" + ` | data nodes | 0600 |
| ` + "`server.probe.password_file`" + ` | every node | 0600 |
| ` + "`tls.ca`" + ` | every node | 0644 |
| ` + "`tls.cert`, `tls.key`" + ` | the node whose name they carry | 0644, 0600 |

A certificate must name the node's address, and be good for both ends of a connection. The authority's own key is needed for new
certificates only: keep it off the nodes.
`
}
