package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
)

// StatusSchema is the version of the Status document. It grows when a field
// changes its meaning or goes; new fields do not change it.
const StatusSchema = 1

// Status is what GET /v1/status answers: the cluster as one node sees it.
type Status struct {
	Schema  int              `json:"schema"`
	Cluster string           `json:"cluster"`
	Node    cluster.NodeName `json:"node"`            // who says all this
	Agent   string           `json:"agent,omitempty"` // its incarnation: a restarted one is another
	Build   string           `json:"build,omitempty"`
	Mode    cluster.Mode     `json:"mode"`
	At      string           `json:"at"` // wall clock, RFC 3339

	Known   bool             `json:"known"` // there is a record
	Epoch   cluster.Epoch    `json:"epoch"`
	Phase   cluster.Phase    `json:"phase"`
	Primary cluster.NodeName `json:"primary,omitempty"`
	// Candidate is who is to take over, Previous who had the role before.
	Candidate cluster.NodeName `json:"candidate,omitempty"`
	Previous  cluster.NodeName `json:"previous,omitempty"`
	Since     string           `json:"since,omitempty"` // RFC 3339
	Reason    cluster.Reason   `json:"reason,omitempty"`
	Detail    string           `json:"detail,omitempty"`
	Paused    *cluster.Pause   `json:"paused,omitempty"`
	// Maintenance are the nodes that somebody works on.
	Maintenance []cluster.Maintenance `json:"maintenance,omitempty"`
	// Rejoin is a node's way back, with how far it has come, and Rejoined what
	// came of the one before. LeftAlone are nodes that a person wants held.
	Rejoin    *RejoinStatus      `json:"rejoin,omitempty"`
	Rejoined  *cluster.Rejoined  `json:"rejoined,omitempty"`
	LeftAlone []cluster.NodeName `json:"left_alone,omitempty"`

	Lease  LeaseStatus `json:"lease"`
	Acks   AckStatus   `json:"acks"`
	Store  Store       `json:"store"`
	Nodes  []Row       `json:"nodes"` // by name
	Online int         `json:"online"`
	// Endpoints are what clients are led through beside the primary's addresses.
	Endpoints []cluster.Lead `json:"endpoints,omitempty"`

	// Waiting is what the present phase waits for, and Verdict why nothing
	// else is done.
	Waiting    []Waiting         `json:"waiting,omitempty"`
	Verdict    *Verdict          `json:"verdict,omitempty"`
	Requests   []cluster.Request `json:"requests,omitempty"`
	Preview    *Preview          `json:"preview,omitempty"`
	LastSwitch *LastSwitch       `json:"last_switch,omitempty"`
	// Would is, in mode observe, what would be done.
	Would *Would `json:"would,omitempty"`
}

// LeaseStatus is the lease as this node sees it.
type LeaseStatus struct {
	Holder cluster.NodeName `json:"holder,omitempty"`
	// AgeMS is how long ago this node last saw it renewed.
	AgeMS    int64 `json:"age_ms"`
	LengthMS int64 `json:"length_ms"`
	Overdue  bool  `json:"overdue,omitempty"` // not renewed for its whole length
}

// AckStatus is whose acknowledgement commits wait for.
type AckStatus struct {
	Durability cluster.Durability `json:"durability"`
	K          int                `json:"k"`
	Members    []cluster.NodeName `json:"members,omitempty"`
	Joining    cluster.NodeName   `json:"joining,omitempty"`
}

// Part is what a node is in its cluster now.
type Part string

// The parts a node can play.
const (
	IsPrimary   Part = "primary"
	IsPromoting Part = "promoting" // named primary, does not serve yet
	IsCandidate Part = "candidate"
	IsReplica   Part = "replica"
	IsHeld      Part = "held"  // waits for a person
	IsAlone     Part = "alone" // follows nobody
	IsWitness   Part = "witness"
	IsSilent    Part = "silent" // its agent is not to be heard of
)

// Row is one node.
type Row struct {
	Name   cluster.NodeName    `json:"name"`
	Role   cluster.Role        `json:"role"`
	Site   string              `json:"site,omitempty"`
	Part   Part                `json:"part"`
	Server cluster.ServerState `json:"server,omitempty"`
	// ServerVersion and Flavor are what the server says of itself.
	ServerVersion string `json:"server_version,omitempty"`
	Flavor        string `json:"flavor,omitempty"`
	ReadOnly      bool   `json:"read_only"`

	Follows   string `json:"follows,omitempty"` // node, or host:port of a stranger
	Receiving bool   `json:"receiving,omitempty"`
	ReplError string `json:"replication_error,omitempty"`
	// Behind is how many of the primary's transactions it has not applied;
	// nil if one of the two positions is not known.
	Behind *uint64 `json:"behind,omitempty"`

	Acks      bool          `json:"acks,omitempty"` // in the ack set
	Gate      string        `json:"gate,omitempty"`
	Serving   cluster.Epoch `json:"serving,omitempty"`
	Fenced    cluster.Epoch `json:"fenced,omitempty"`
	Addresses []string      `json:"addresses,omitempty"`
	Readers   []string      `json:"readers,omitempty"` // addresses that lead readers here

	// AgentAgeMS is how long ago its agent was last heard of; nil if never.
	AgentAgeMS *int64              `json:"agent_age_ms,omitempty"`
	Build      string              `json:"build,omitempty"`
	Mode       cluster.Mode        `json:"mode,omitempty"`
	Differs    bool                `json:"config_differs,omitempty"` // runs with other settings than this node
	Held       string              `json:"held,omitempty"`
	Errant     string              `json:"errant,omitempty"`
	Lost       string              `json:"lost,omitempty"` // what those did, and where that is written down
	Preheated  string              `json:"preheated,omitempty"`
	Conditions []cluster.Condition `json:"conditions,omitempty"`
	// Would and Lacks are, of a node that only observes, what its host would do
	// if it acted, and what is in the way of that.
	Would []string `json:"would,omitempty"`
	Lacks []string `json:"lacks,omitempty"`
	// Unreachable are the observers that say this node's server is down.
	Unreachable []cluster.NodeName `json:"unreachable_from,omitempty"`
}

// StatusOf makes the document of a snapshot.
func StatusOf(s Snapshot) Status {
	r := s.Record
	st := Status{
		Schema: StatusSchema, Cluster: s.Settings.Cluster, Node: s.Node, Agent: s.Agent, Build: s.Build, Mode: s.Mode,
		At: s.Wall.UTC().Format(time.RFC3339), Known: s.Rev != 0,
		Epoch: r.Epoch, Phase: r.Phase, Primary: r.Primary, Candidate: r.Candidate, Previous: r.Previous,
		Since: r.Since, Reason: r.Reason, Detail: r.Detail, Paused: r.Paused, Maintenance: r.Maintenance,
		Rejoin: rejoinStatus(s), Rejoined: r.Rejoined, LeftAlone: r.Held,
		Lease: leaseStatus(s), Store: s.Store,
		Acks:      AckStatus{Durability: s.Settings.Durability, K: r.Acks().K, Members: r.Acks().Members, Joining: r.Joining},
		Endpoints: leads(s),
		Waiting:   s.Waiting, Requests: s.Requests, Preview: s.Preview, LastSwitch: s.LastSwitch, Would: s.Would,
	}
	if s.Verdict.Reason != cluster.Nothing {
		st.Verdict = &s.Verdict
	}
	for _, n := range s.Settings.Nodes {
		row := rowOf(s, n)
		if row.Part != IsSilent {
			st.Online++
		}
		st.Nodes = append(st.Nodes, row)
	}
	slices.SortFunc(st.Nodes, func(a, b Row) int { return cmp.Compare(a.Name, b.Name) })
	return st
}

// leads are the endpoints that the primary sets, and those that hosts have each
// for themselves.
func leads(s Snapshot) []cluster.Lead {
	all := slices.Clone(s.Facts[s.Record.Primary].Value.Leads)
	for _, n := range slices.Sorted(maps.Keys(s.Facts)) {
		for _, l := range s.Facts[n].Value.Leads {
			if n != s.Record.Primary && l.On != "" {
				all = append(all, l)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b cluster.Lead) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return all
}

func leaseStatus(s Snapshot) LeaseStatus {
	return LeaseStatus{
		Holder: s.Lease.Value.Holder, AgeMS: s.Lease.Age.Milliseconds(), LengthMS: s.Settings.Lease.Milliseconds(),
		Overdue: s.Record.HasPrimary() && s.Lease.Age > s.Settings.Lease,
	}
}

func rowOf(s Snapshot, n cluster.Node) Row {
	row := Row{Name: n.Name, Role: n.Role, Site: n.Site, Part: IsSilent}
	seen, ok := s.Facts[n.Name]
	if !ok {
		return row
	}
	f := seen.Value
	age := seen.Age.Milliseconds()
	row.AgentAgeMS, row.Build, row.Mode = &age, f.Build, f.Mode
	row.Differs = f.Config != s.Facts[s.Node].Value.Config
	row.Server, row.ServerVersion, row.Flavor, row.ReadOnly = f.Server.State, f.Server.Version, f.Server.Flavor, f.Server.ReadOnly
	row.Follows = cmp.Or(string(f.Server.Replica.Source), f.Server.Replica.Foreign)
	row.Receiving, row.ReplError = f.Server.Replica.Receiving, f.Server.Replica.Error
	row.Acks = slices.Contains(s.Record.Acks().Members, n.Name)
	row.Gate, row.Serving, row.Fenced, row.Addresses = f.Gate, f.Serving, f.Fenced, f.Addresses
	row.Readers = f.Readers
	row.Held, row.Errant, row.Lost, row.Conditions = f.Held, f.Errant.String(), f.Lost.String(), f.Conditions
	row.Would, row.Lacks, row.Preheated = f.Would, f.Lacks, f.Preheated
	row.Behind = behind(s, f)
	row.Part = partOf(s, n, seen)
	for _, o := range slices.Sorted(maps.Keys(s.Views)) {
		if s.Views[o].Value.Of[n.Name].Server.State == cluster.Down {
			row.Unreachable = append(row.Unreachable, o)
		}
	}
	return row
}

// silentAfter is how long an agent may be quiet before it counts as silent:
// three of the beats at which it rewrites its fact.
func silentAfter(s cluster.Settings) time.Duration { return max(3*s.Beat, s.AckLeave) }

func partOf(s Snapshot, n cluster.Node, seen Aged[cluster.Fact]) Part {
	f, r := seen.Value, s.Record
	switch {
	case seen.Age > silentAfter(s.Settings):
		return IsSilent
	case n.Role == cluster.Witness:
		return IsWitness
	case n.Name == r.Primary && (r.Phase != cluster.PhasePromoting || f.Serving == r.Epoch):
		return IsPrimary
	case n.Name == r.Primary:
		return IsPromoting
	case n.Name == r.Candidate:
		return IsCandidate
	case f.Held != "":
		return IsHeld
	case f.Server.Replica.Source == "" && f.Server.Replica.Foreign == "":
		return IsAlone
	}
	return IsReplica
}

// behind counts what the primary has executed and this server has not.
func behind(s Snapshot, f cluster.Fact) *uint64 {
	p, ok := s.Facts[s.Record.Primary]
	if !ok || f.Node == s.Record.Primary || p.Value.Server.Executed.IsZero() || f.Server.State == "" {
		return nil
	}
	n := p.Value.Server.Executed.Subtract(f.Server.Executed).Count()
	return &n
}

// RawFacts is what GET /v1/facts answers: facts and views as they are in the
// store, for those who look into Baton itself.
type RawFacts struct {
	Record cluster.Record                        `json:"record"`
	Rev    cluster.Revision                      `json:"rev"`
	Lease  cluster.Lease                         `json:"lease"`
	Facts  map[cluster.NodeName]cluster.Fact     `json:"facts"`
	Views  map[cluster.NodeName]cluster.View     `json:"views"`
	AgesMS map[string]map[cluster.NodeName]int64 `json:"ages_ms"`
}

func rawFacts(s Snapshot) RawFacts {
	raw := RawFacts{
		Record: s.Record, Rev: s.Rev, Lease: s.Lease.Value,
		Facts: map[cluster.NodeName]cluster.Fact{}, Views: map[cluster.NodeName]cluster.View{},
		AgesMS: map[string]map[cluster.NodeName]int64{"facts": {}, "views": {}},
	}
	for n, f := range s.Facts {
		raw.Facts[n], raw.AgesMS["facts"][n] = f.Value, f.Age.Milliseconds()
	}
	for n, v := range s.Views {
		raw.Views[n], raw.AgesMS["views"][n] = v.Value, v.Age.Milliseconds()
	}
	return raw
}

// Headline is the state of the cluster in a few words.
func (st Status) Headline() string {
	switch {
	case !st.Known:
		return "no record yet"
	case st.Primary == "":
		return fmt.Sprintf("%s, no primary", st.Phase)
	case st.Phase == cluster.PhaseHandoff:
		return fmt.Sprintf("%s from %s to %s", st.Phase, st.Primary, st.Candidate)
	case st.Phase == cluster.PhasePromoting:
		return fmt.Sprintf("%s %s", st.Phase, st.Primary)
	}
	return fmt.Sprintf("%s, primary %s", st.Phase, st.Primary)
}
