package public

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/baton-db/baton/internal/api"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/reach"
	"github.com/baton-db/baton/internal/health"
)

// A metric is one of those that a node tells Prometheus.
type metric struct {
	name   string
	kind   prometheus.ValueType
	help   string
	labels []string
}

// catalogue is every metric of Baton's own. What is said of the cluster is what the
// node that is asked knows: ask all of them.
func catalogue() []metric {
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return []metric{
		{"baton_build_info", gauge, "1; which build runs here, as which node of which cluster.", []string{"version", "cluster", "node", "mode"}},
		{"baton_primary", gauge, "1 if clients that write may be led here now, as /primary answers; 0 if not.", nil},
		{"baton_lease_remaining_seconds", gauge, "What is left of the lease that this node holds; 0 if it holds none.", nil},
		{"baton_lease_length_seconds", gauge, "Length of the lease (timing.lease).", nil},
		{"baton_lease_late_renewals_total", counter, "Renewals by this agent that came later than half a lease after the one before.", nil},
		{"baton_loop_age_seconds", gauge, "Since this agent last looked at its host and at the cluster.", nil},
		{"baton_replica_lag_seconds", gauge, "By how much this server is behind the primary at most, no finer than timing.beat. Missing on the primary, and where it is not known.", nil},
		{"baton_cluster_epoch", gauge, "Number of the reign.", nil},
		{"baton_cluster_phase", gauge, "1 for the phase that the cluster is in, 0 for the others.", []string{"phase"}},
		{"baton_cluster_primary", gauge, "1; the label is the primary of the record. Missing while there is none.", []string{"primary"}},
		{"baton_cluster_paused", gauge, "1 while automatic failover is paused.", nil},
		{"baton_cluster_acknowledging_replicas", gauge, "Replicas whose acknowledgement commits wait for.", nil},
		{"baton_cluster_nodes_online", gauge, "Nodes whose agent is heard of.", nil},
		{"baton_store_silent", gauge, "1 while no majority of the store answers this node.", nil},
		{"baton_store_members", gauge, "Members of the embedded store, as far as this node knows.", nil},
		{"baton_store_members_healthy", gauge, "Those of them that answer.", nil},
		{"baton_last_switch_timestamp_seconds", gauge, "When the newest switch began, in Unix time.", []string{"kind"}},
		{"baton_last_switch_duration_seconds", gauge, "How long it took, from its first sign to its end.", []string{"kind"}},
		{"baton_node_agent_age_seconds", gauge, "Since this node last heard of that one's agent.", []string{"node"}},
		{"baton_node_server_up", gauge, "1 if that node's server answers its agent.", []string{"node"}},
		{"baton_node_server_read_only", gauge, "1 if that server takes no writes.", []string{"node"}},
		{"baton_node_receiving", gauge, "1 if that server receives from its source.", []string{"node"}},
		{"baton_node_behind_transactions", gauge, "Transactions of the primary that that server has not applied.", []string{"node"}},
		{"baton_node_unreachable_observers", gauge, "Nodes that cannot reach that node's server.", []string{"node"}},
		{"baton_node_maintenance", gauge, "1 while somebody works on that node.", []string{"node"}},
		{"baton_condition", gauge, "1 for each condition that a node is in (docs/failures.md).", []string{"node", "reason", "severity"}},
		{"baton_endpoint_settled", gauge, "1 if that endpoint was seen to lead to the primary; host is whose own it is, if it is one of several.", []string{"endpoint", "kind", "host"}},
		{"baton_endpoint_repaired", gauge, "How often it was led astray by somebody else in this reign.", []string{"endpoint", "kind", "host"}},
		{"baton_endpoint_call_seconds", gauge, "How long this agent's calls of an endpoint took since it started: call is set or observe; quantile is 0.5 (within 10 %) or 1, the longest.", []string{"endpoint", "kind", "call", "quantile"}},
		{"baton_endpoint_calls_total", counter, "Those calls; result is ok or failed.", []string{"endpoint", "kind", "call", "result"}},
		{"baton_endpoint_calls_seconds_total", counter, "What they took together.", []string{"endpoint", "kind", "call"}},
	}
}

// phases are those that a cluster can be in.
func phases() []cluster.Phase {
	return []cluster.Phase{cluster.PhaseSteady, cluster.PhaseHandoff, cluster.PhaseFencing, cluster.PhaseElecting, cluster.PhasePromoting}
}

// Describe lists the metrics, as Markdown.
func Describe() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range catalogue() {
		kind := "gauge"
		if m.kind == prometheus.CounterValue {
			kind = "counter"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, kind, strings.Join(m.labels, ", "), m.help)
	}
	return b.String()
}

// metricsHandler has a registry of its own: that of the process is full of the
// store's.
func metricsHandler(source Source, now func() cluster.Instant, log *slog.Logger) http.Handler {
	c := &collector{source: source, now: now, known: map[string]known{}}
	for _, m := range catalogue() {
		c.known[m.name] = known{m.kind, prometheus.NewDesc(m.name, m.help, m.labels, nil)}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), DisableCompression: true, ErrorHandling: promhttp.ContinueOnError,
	})
}

type known struct {
	kind prometheus.ValueType
	desc *prometheus.Desc
}

// collector makes the metrics when they are asked for.
type collector struct {
	source Source
	now    func() cluster.Instant
	known  map[string]known
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, k := range c.known {
		out <- k.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	say := func(name string, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(c.known[name].desc, c.known[name].kind, v, labels...)
	}
	c.ofThisNode(say)
	if s, ok := c.source.Snapshot(); ok {
		ofCluster(say, s)
		st := api.StatusOf(s)
		ofStatus(say, st)
		for _, row := range st.Nodes {
			ofNode(say, st, row)
		}
	}
}

type say func(name string, v float64, labels ...string)

func bit(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (c *collector) ofThisNode(say say) {
	h := handler{source: c.source, now: c.now}
	say("baton_primary", bit(h.primary().yes))
	say("baton_lease_remaining_seconds", max(0, c.source.Serving().Until.Sub(c.now()).Seconds()))
	say("baton_lease_late_renewals_total", float64(c.source.LateRenewals()))
	look := c.source.Look()
	if look == nil {
		return
	}
	say("baton_loop_age_seconds", c.now().Sub(look.At).Seconds())
	if look.NotPrimary != "" && look.AppliedAt != 0 {
		say("baton_replica_lag_seconds", c.now().Sub(look.AppliedAt).Seconds())
	}
}

func ofCluster(say say, s api.Snapshot) {
	say("baton_build_info", 1, s.Build, s.Settings.Cluster, string(s.Node), string(s.Mode))
	say("baton_lease_length_seconds", s.Settings.Lease.Seconds())
	say("baton_store_silent", bit(s.Store.Silent))
	if s.Store.Members > 0 {
		say("baton_store_members", float64(s.Store.Members))
		say("baton_store_members_healthy", float64(s.Store.Healthy))
	}
	for _, c := range s.Calls {
		ofCalls(say, c, "set", c.Set)
		ofCalls(say, c, "observe", c.Observe)
	}
	if last := s.LastSwitch; last != nil {
		say("baton_last_switch_duration_seconds", last.Took.D().Seconds(), string(last.Kind))
		if at, err := time.Parse(time.RFC3339, last.At); err == nil {
			say("baton_last_switch_timestamp_seconds", float64(at.Unix()), string(last.Kind))
		}
	}
}

func ofCalls(say say, c reach.Calls, call string, d reach.Distribution) {
	seconds := func(micros int64) float64 { return float64(micros) / 1e6 }
	say("baton_endpoint_calls_total", float64(d.Count-d.Failed), c.Endpoint, c.Kind, call, "ok")
	say("baton_endpoint_calls_total", float64(d.Failed), c.Endpoint, c.Kind, call, "failed")
	say("baton_endpoint_calls_seconds_total", seconds(d.Sum), c.Endpoint, c.Kind, call)
	if d.Count > 0 {
		say("baton_endpoint_call_seconds", seconds(d.Median), c.Endpoint, c.Kind, call, "0.5")
		say("baton_endpoint_call_seconds", seconds(d.Worst), c.Endpoint, c.Kind, call, "1")
	}
}

func ofStatus(say say, st api.Status) {
	say("baton_cluster_epoch", float64(st.Epoch))
	for _, p := range phases() {
		say("baton_cluster_phase", bit(p == st.Phase), string(p))
	}
	if st.Primary != "" {
		say("baton_cluster_primary", 1, string(st.Primary))
	}
	say("baton_cluster_paused", bit(st.Paused != nil))
	say("baton_cluster_acknowledging_replicas", float64(len(st.Acks.Members)))
	say("baton_cluster_nodes_online", float64(st.Online))
	for _, l := range st.Endpoints {
		say("baton_endpoint_settled", bit(l.Settled), l.Endpoint, l.Kind, string(l.On))
		say("baton_endpoint_repaired", float64(l.Repaired), l.Endpoint, l.Kind, string(l.On))
	}
}

func ofNode(say say, st api.Status, row api.Row) {
	node := string(row.Name)
	say("baton_node_maintenance", bit(slices.ContainsFunc(st.Maintenance, func(m cluster.Maintenance) bool { return m.Node == row.Name })), node)
	if row.AgentAgeMS != nil {
		say("baton_node_agent_age_seconds", float64(*row.AgentAgeMS)/1000, node)
	}
	for _, c := range row.Conditions {
		known, _ := health.Explain(c.Reason)
		say("baton_condition", 1, node, string(c.Reason), string(known.Severity))
	}
	if row.Role != cluster.Data {
		return
	}
	say("baton_node_server_up", bit(row.Server == cluster.ServerUp), node)
	say("baton_node_server_read_only", bit(row.ReadOnly), node)
	say("baton_node_receiving", bit(row.Receiving), node)
	say("baton_node_unreachable_observers", float64(len(row.Unreachable)), node)
	if row.Behind != nil {
		say("baton_node_behind_transactions", float64(*row.Behind), node)
	}
}
