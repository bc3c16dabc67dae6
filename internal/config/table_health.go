package config

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/baton-db/baton/internal/core/detect"
)

// The actions of a check of layer 4.
const (
	AlertOnly = "alert"
	FailOver  = "failover"
)

// Health is layer 4: how a server and its host are doing.
type Health struct {
	Every       time.Duration `key:"every"`
	Connections Gauged        `key:"connections"`
	Locks       Gauged        `key:"locks"`
	Latency     Gauged        `key:"latency"`
	Errors      Gauged        `key:"errors"`
	CPU         Gauged        `key:"cpu"`
	Memory      Gauged        `key:"memory"`
	Disk        Gauged        `key:"disk"`
	DiskLatency Gauged        `key:"disk_latency"`
	Prometheus  []Query       `key:"prometheus"`
}

// Gauged is one thing that is measured, with its limit.
type Gauged struct {
	Above  int           `key:"above"`
	For    time.Duration `key:"for"`
	Action string        `key:"action"`
}

// Query is a check that a Prometheus server answers.
type Query struct {
	Name   string        `key:"name"`
	URL    string        `key:"url"`
	Query  string        `key:"query"`
	Above  string        `key:"above"`
	Below  string        `key:"below"`
	For    time.Duration `key:"for"`
	Action string        `key:"action"`
}

// A checkRow is one of the checks that are always there.
type checkRow struct {
	name, unit, doc string
	above, time     string // defaults
	what            string // is measured, after the value
	of              func(*Health) *Gauged
}

func checkRows() []checkRow {
	return []checkRow{
		{"connections", "percent of max_connections", "Connections that are in use on the primary. Whoever comes when they are used up is refused.", "95", "30s",
			" % of the connections are in use", func(h *Health) *Gauged { return &h.Connections }},
		{"locks", "sessions", "Sessions of the primary that wait for a lock of metadata or of all tables: a pile-up behind a forgotten transaction, a change of a table, a backup.", "50", "30s",
			" sessions wait for locks of tables", func(h *Health) *Gauged { return &h.Locks }},
		{"latency", "milliseconds", "How long the agent's own small write takes on the primary, its acknowledgement included.", "1000", "1m",
			" ms for a small write", func(h *Health) *Gauged { return &h.Latency }},
		{"errors", "a minute", "Connections to the primary that were refused, that failed or broke.", "0", "1m",
			" connections a minute fail", func(h *Health) *Gauged { return &h.Errors }},
		{"cpu", "percent", "How busy the processors of a data node are, all together.", "95", "5m",
			" % of the processors' time is used", func(h *Health) *Gauged { return &h.CPU }},
		{"memory", "percent", "How much of a data node's memory is in use and could not be freed.", "95", "1m",
			" % of the memory is in use", func(h *Health) *Gauged { return &h.Memory }},
		{"disk", "percent", "How full the file system of the server's data is.", "90", "1m",
			" % of the disk are used", func(h *Health) *Gauged { return &h.Disk }},
		{"disk_latency", "milliseconds", "How long the disk of the server's data takes for a request, on average and with its time in the queue, as the kernel counts it.", "500", "1m",
			" ms for a request to the disk", func(h *Health) *Gauged { return &h.DiskLatency }},
	}
}

func healthKeys() []Key {
	keys := []Key{key("health.every", Duration).byProfile("1s", "5s", "5s").between("100ms", "10m").reload().
		doc("Layer 4: time between two measurements. Every check of it degrades and alerts, and fails over only where its action says so.")}
	for _, r := range checkRows() {
		path := "health." + r.name
		keys = append(keys,
			key(path+".above", Integer).byDefault(r.above).between("0", "1000000").of(r.unit).reload().
				doc(r.doc+" More than this is a strain. 0: it is not judged. It is over at a tenth less."),
			key(path+".for", Duration).byDefault(r.time).between("0s", "24h").reload().
				doc("For so long without a break."),
			choice(path+".action", "action", AlertOnly, FailOver).byDefault(AlertOnly).same().reload().
				doc("alert: tell people. failover: replace a primary, if another node could take over to which the same check finds nothing wrong; automation.cool_down and max_per_hour apply."))
	}
	return append(keys,
		key("health.prometheus", Block).
			doc("Checks that a Prometheus server answers. The node's own name stands for $node in a query."),
		key("health.prometheus[].name", Text).required("give the check a name").like("replication-lag").
			doc("Name of the check, unlike those above."),
		key("health.prometheus[].url", Text).required("write where Prometheus is").like("http://10.0.0.9:9090").
			doc("Where Prometheus is; /api/v1/query is added."),
		key("health.prometheus[].query", Text).required("write the query").like(`node_load1{instance="$node:9100"}`).
			doc("A query whose answer is a number, or a list of which the worst counts. An empty one says nothing."),
		key("health.prometheus[].above", Text).like("8").doc("More than this is a strain."),
		key("health.prometheus[].below", Text).like("0.5").doc("Less than this is one. Write one of both."),
		key("health.prometheus[].for", Duration).byDefault("1m").between("0s", "24h").doc("For so long without a break."),
		choice("health.prometheus[].action", "action", AlertOnly, FailOver).byDefault(AlertOnly).same().
			doc("As above."),
	)
}

// Threshold returns what a check that is always there is judged by.
func (h Health) Threshold(name string) detect.Threshold {
	rows := checkRows()
	r := rows[slices.IndexFunc(rows, func(r checkRow) bool { return r.name == name })]
	c := r.of(&h)
	return detect.Threshold{Name: name, What: r.what, Limit: float64(c.Above), For: c.For}
}

// failOverOn names the checks upon which a primary is replaced.
func (h Health) failOverOn() []string {
	var names []string
	for _, r := range checkRows() {
		if r.of(&h).Action == FailOver {
			names = append(names, r.name)
		}
	}
	for _, q := range h.Prometheus {
		if q.Action == FailOver {
			names = append(names, q.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Threshold returns what a query is judged by.
func (q Query) Threshold() detect.Threshold {
	t := detect.Threshold{Name: q.Name, For: q.For}
	text := q.Above
	if q.Below != "" {
		text, t.Below = q.Below, true
	}
	t.Limit, _ = strconv.ParseFloat(text, 64) // judged when the file was read
	return t
}

func (l *loader) judgeHealth() {
	taken := map[string]bool{}
	for _, r := range checkRows() {
		taken[r.name] = true
	}
	for i, q := range l.cfg.Health.Prometheus {
		if taken[q.Name] {
			l.report(at("health.prometheus", i, "name"), fmt.Sprintf("another check is called %s", q.Name), "give it another name")
		}
		taken[q.Name] = true
		if u, err := url.Parse(q.URL); q.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			l.report(at("health.prometheus", i, "url"), fmt.Sprintf("%q is no address of a server", q.URL), "write it as http://10.0.0.9:9090")
		}
		if (q.Above == "") == (q.Below == "") {
			l.report(at("health.prometheus", i, ""), fmt.Sprintf("%s has to have one limit", q.Name), "write above or below")
			continue
		}
		which, text := "above", q.Above
		if q.Below != "" {
			which, text = "below", q.Below
		}
		if n, err := strconv.ParseFloat(text, 64); err != nil || n == 0 {
			l.report(at("health.prometheus", i, which), fmt.Sprintf("%q is no number that a limit could be", text), "write a number other than 0, such as 0.5")
		}
	}
}
