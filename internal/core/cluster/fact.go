package cluster

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/baton-db/baton/internal/core/gtid"
)

// Fact is what one agent knows of its own host. It is written at once upon
// change and at a slow beat.
type Fact struct {
	Schema int      `json:"schema"`
	Node   NodeName `json:"node"`
	Agent  string   `json:"agent"` // incarnation of the agent, new at every start
	Seq    uint64   `json:"seq"`   // grows with every fact of one incarnation
	// Wall is this host's wall clock when the fact was written, in Unix seconds:
	// nodes know by it whose clock is wrong.
	Wall   int64  `json:"wall,omitempty"`
	Mode   Mode   `json:"mode"`
	Config string `json:"config"` // hash of the settings this agent runs with
	Build  string `json:"build,omitempty"`

	// Epoch and RecordRev are those of the newest record that the agent had
	// seen, and acted on, when it wrote the fact.
	Epoch     Epoch    `json:"epoch"`
	RecordRev Revision `json:"record_rev"`

	// Seen is the newest epoch that this agent, or one before it on this host,
	// has ever seen. A record of an older one is refused here.
	Seen Epoch `json:"seen,omitempty"`

	Server ServerFact `json:"server,omitzero"` // zero for a witness

	// Promise says that this node takes part in no epoch before Promise.Epoch
	// any more: its receiver is stopped and its path to the old source blocked.
	Promise *Promise `json:"promise,omitempty"`
	// Fenced is the highest epoch whose fencing this host has completed: no
	// client can write here under it or an earlier one.
	Fenced Epoch `json:"fenced,omitempty"`
	// ClientsReset is the highest epoch of which this host has reset all clients that
	// it had. It is for who takes over: no decision rests on it.
	ClientsReset Epoch `json:"clients_reset,omitempty"`
	// Drained is the final position of a primary that handed off at this epoch.
	Drained *Position `json:"drained,omitempty"`
	// Muted says that this host does not answer ARP for the cluster's
	// addresses any more, for the handover of that epoch.
	Muted Epoch `json:"muted,omitempty"`
	// Serving is the epoch under which this host serves clients: promoted,
	// lease held, gate open, writable.
	Serving Epoch `json:"serving,omitempty"`
	// Marked is the epoch whose marker transaction was acknowledged here.
	Marked Epoch `json:"marked,omitempty"`
	// Endpoints is the epoch for which all endpoints were seen to lead here.
	Endpoints Epoch `json:"endpoints,omitempty"`
	// Leads is where what this node sets beside its own addresses (names, load
	// balancers, values in other stores) leads, for people: no switch waits for it.
	Leads []Lead `json:"leads,omitempty"`
	// Network is the clients' network as this host tracks it; zero if it tracks
	// none. Suspect is after a first bad look, and down what has lasted.
	Network LayerView `json:"network,omitzero"`
	// Readers are the addresses for readers that this host has, for people.
	Readers []string `json:"readers,omitempty"`
	// Progress changes whenever a promotion gets on. Others only compare it.
	Progress string `json:"progress,omitempty"`
	// Gate is for whom the gate of this host is open (package reconcile).
	Gate string `json:"gate,omitempty"`
	// AckCut are the nodes whose replication this primary's gate cuts, and
	// CutAt is the primary's position read after the newest cut: nothing beyond
	// it was acknowledged by them.
	AckCut []NodeName `json:"ack_cut,omitempty"`
	CutAt  gtid.Set   `json:"cut_at,omitzero"`
	// Errant is what this server has and the primary does not.
	Errant gtid.Set `json:"errant,omitzero"`
	// Lost is what those transactions did, once they have been looked at.
	Lost Lost `json:"lost,omitzero"`
	// Held says why this node does not follow the primary, empty if it does.
	Held string `json:"held,omitempty"`
	// Rejoined is what came, on this host, of the newest rejoin; Rejoining is how
	// far one under way has come, for people.
	Rejoined  *RejoinResult `json:"rejoined,omitempty"`
	Rejoining string        `json:"rejoining,omitempty"`
	// Preheated is what came of the last time at which this replica's server read
	// what the primary has in memory. It is for people.
	Preheated string `json:"preheated,omitempty"`
	// Conditions are what a person should know of, by name (package health).
	Conditions []Condition `json:"conditions,omitempty"`
	// Strains are what layer 4 finds here: it degrades, and is a reason to fail
	// over only where Settings.FailOverOn names the check.
	Strains []Strain `json:"strains,omitempty"`
	// Would and Lacks are, of an agent that only observes, the steps that its host
	// would take if it acted, and what is in the way of that. For people only.
	Would []string `json:"would,omitempty"`
	Lacks []string `json:"lacks,omitempty"`

	// MACs are this host's link-layer addresses on the interfaces of virtual
	// addresses, so that others can name the owner of a duplicate.
	MACs []string `json:"macs,omitempty"`
	// Addresses are the cluster's virtual addresses that are bound here.
	Addresses []string `json:"addresses,omitempty"`
	// Realtime says that the agent runs under real-time priority.
	Realtime bool `json:"realtime,omitempty"`

	unknown map[string]json.RawMessage
}

// Lost says what transactions did that only one server has.
type Lost struct {
	What string `json:"what"`          // in words
	See  string `json:"see,omitempty"` // where it is written down, on that node
	// Unacknowledged says that surely no client was told that one of them is
	// committed.
	Unacknowledged bool `json:"unacknowledged,omitempty"`
	// Undoable says that they can be undone, and InTheWay why not.
	Undoable bool   `json:"undoable,omitempty"`
	InTheWay string `json:"in_the_way,omitempty"`
}

func (l Lost) String() string {
	switch {
	case l.See == "":
		return l.What
	case l.Unacknowledged:
		return l.What + ", of which no client was told that it is committed; see " + l.See
	}
	return l.What + ", of which clients may have been told that they are committed; see " + l.See
}

// Lead is where one endpoint leads clients, as the node that keeps it there has
// seen it: the primary, or, where hosts have it each for themselves, that host's.
type Lead struct {
	// On is the host whose own it is; empty if there is one of it.
	On       NodeName `json:"on,omitempty"`
	Endpoint string   `json:"endpoint"`
	Kind     string   `json:"kind"`
	Wanted   NodeName `json:"wanted"`       // empty: it stands by, and is not ready for it
	To       NodeName `json:"to,omitempty"` // as it was seen last; empty: nowhere, or not seen yet
	Settled  bool     `json:"settled"`      // it was seen to lead where it should
	// Told says that it has accepted what is wanted, and cannot be asked where it leads.
	Told bool `json:"told,omitempty"`
	// Unseen says that nobody knows yet where it leads.
	Unseen   bool   `json:"unseen,omitempty"`
	Because  string `json:"because,omitempty"`
	Repaired int    `json:"repaired,omitempty"` // how often somebody else has led it astray in this reign
}

func (l Lead) String() string {
	name := l.Endpoint
	if l.On != "" {
		name += " on " + string(l.On)
	}
	if l.Told {
		return fmt.Sprintf("%s was told %s, and cannot be asked", name, l.Wanted)
	}
	if l.Wanted == "" {
		return fmt.Sprintf("%s is not ready to lead there, because %s", name, l.Because)
	}
	text := fmt.Sprintf("%s leads to %s", name, orNowhere(l.To))
	if l.Unseen {
		text = fmt.Sprintf("where %s leads is not known", name)
	}
	if l.To != l.Wanted || !l.Settled {
		text += ", wanted " + string(l.Wanted)
	}
	switch {
	case l.Because != "" && l.Settled && l.To == l.Wanted:
		text += ", and not all is well: " + l.Because
	case l.Because != "":
		text += ", because " + l.Because
	}
	return text
}

func orNowhere(n NodeName) string {
	if n == "" {
		return "nowhere"
	}
	return string(n)
}

// Strain is a check of layer 4 (detect.Gauge) that has been past its limit for
// its time.
type Strain struct {
	Check  string `json:"check"`
	Detail string `json:"detail,omitempty"`
}

// Strained returns what a check finds on the host; nil if nothing is wrong.
func (f Fact) Strained(check string) *Strain {
	i := slices.IndexFunc(f.Strains, func(s Strain) bool { return s.Check == check })
	if i < 0 {
		return nil
	}
	return &f.Strains[i]
}

// Condition is one thing out of order on a host.
type Condition struct {
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"`
	Since  string `json:"since,omitempty"` // wall clock, RFC 3339, for people
}

// ServerState says what a host's database server is doing.
type ServerState string

// The states of a server.
const (
	ServerUnknown  ServerState = ""         // not looked at yet
	ServerStopped  ServerState = "stopped"  // there is no process
	ServerExiting  ServerState = "exiting"  // the process is dying: memory being freed, core being dumped
	ServerStarting ServerState = "starting" // a process that does not take connections yet
	ServerUp       ServerState = "up"       // answers
	ServerHung     ServerState = "hung"     // accepts, or did, but answered nothing for the hang limit
)

// ServerFact is what an agent sees of its own database server.
type ServerFact struct {
	State   ServerState `json:"state,omitempty"`
	Start   string      `json:"start,omitempty"` // start identity: differs after every restart of the server
	Flavor  string      `json:"flavor,omitempty"`
	Version string      `json:"version,omitempty"`
	ID      uint32      `json:"id,omitempty"` // server_id
	// ReadOnly is true only if it was read back from the running server.
	ReadOnly bool `json:"read_only,omitempty"`
	// CannotWrite says that the write probe failed for the hang limit, in a way
	// that is no wait for an acknowledgement; the text says how.
	CannotWrite string `json:"cannot_write,omitempty"`
	// CannotWriteWhy is the reason that follows from it: PrimaryDiskFull,
	// PrimaryDiskReadOnly, PrimaryDiskStuck, or PrimaryCannotWrite. Agents of
	// earlier versions do not say it.
	CannotWriteWhy Reason `json:"cannot_write_why,omitempty"`
	// BinLog and LogUpdates say whether this server could be a source.
	BinLog     bool `json:"bin_log,omitempty"`
	LogUpdates bool `json:"log_updates,omitempty"`

	// Reading counts the times that this agent read the server's position.
	Reading  uint64   `json:"reading,omitempty"`
	Executed gtid.Set `json:"executed,omitzero"` // applied and in the binary log
	Marker   Epoch    `json:"marker,omitempty"`  // newest epoch marker in the data

	Replica ReplicaFact  `json:"replica,omitzero"`
	SemiSrc SemiSyncFact `json:"semi_source,omitzero"`
}

// ReplicaFact is the receiving side of a server. The zero value follows nobody.
type ReplicaFact struct {
	Source    NodeName `json:"source,omitempty"` // empty: none, or none of ours
	Foreign   string   `json:"foreign,omitempty"`
	Receiver  bool     `json:"receiver,omitempty"`  // the receiver is connected and running
	Started   bool     `json:"started,omitempty"`   // the receiver was started: it is connected or tries to connect
	Applier   bool     `json:"applier,omitempty"`   // the applier is running
	Receiving bool     `json:"receiving,omitempty"` // something came in within the last few heartbeats
	SemiSync  bool     `json:"semi_sync,omitempty"` // acknowledges
	Received  gtid.Set `json:"received,omitzero"`   // applied or in the relay log
	Error     string   `json:"error,omitempty"`
}

// SemiSyncFact is the acknowledged side of a server.
type SemiSyncFact struct {
	Enabled bool `json:"enabled,omitempty"`
	Active  bool `json:"active,omitempty"` // commits really wait
	// Weak is which setting lets a commit be answered without an acknowledgement
	// although it is enabled: somebody changed it.
	Weak    string `json:"weak,omitempty"`
	Clients int    `json:"clients,omitempty"`
	Waiting int    `json:"waiting,omitempty"` // sessions waiting for an acknowledgement
	// Stuck says that some have been waiting for a while although nothing was
	// committed: an acknowledgement may have been lost on its way.
	Stuck bool `json:"stuck,omitempty"`
}

// Waits reports whether commits wait, and go on waiting.
func (s SemiSyncFact) Waits() bool { return s.Enabled && s.Weak == "" }

// Held returns everything that the server has: applied or received.
func (s ServerFact) Held() gtid.Set { return s.Executed.Union(s.Replica.Received) }

// OwnLost returns what this server once wrote itself and has not got any more,
// although primary has it: a crashed MariaDB primary drops the end of its log
// that it believes nobody received. A replica skips transactions that bear its
// own id, and would lack them for ever without a word; it takes them only if it
// acknowledges (MariaDB, MDEV-21117).
func (s ServerFact) OwnLost(primary gtid.Set) gtid.Set {
	if s.ID == 0 {
		return gtid.Set{}
	}
	return primary.Subtract(s.Held()).OfServer(s.ID)
}

// Promise is a replica's word that it receives nothing of an older epoch any
// more, with what it holds.
type Promise struct {
	Epoch    Epoch    `json:"epoch"`
	Start    string   `json:"start"` // the server's start identity at that time
	Received gtid.Set `json:"received,omitzero"`
	Executed gtid.Set `json:"executed,omitzero"`
	Marker   Epoch    `json:"marker,omitempty"`
}

// Held returns everything that the promising server has.
func (p Promise) Held() gtid.Set { return p.Executed.Union(p.Received) }

// Position is a GTID set at the end of a reign.
type Position struct {
	Epoch Epoch    `json:"epoch"`
	At    gtid.Set `json:"at,omitzero"`
}

// View is what one node's observer sees of the data nodes.
type View struct {
	Schema   int                   `json:"schema"`
	Observer NodeName              `json:"observer"`
	Agent    string                `json:"agent"`
	Seq      uint64                `json:"seq"`
	Of       map[NodeName]NodeView `json:"of"`

	unknown map[string]json.RawMessage
}

// LayerState is one layer of one node as an observer judges it.
type LayerState string

// The states of a layer.
const (
	Unknown LayerState = ""
	Up      LayerState = "up"
	Suspect LayerState = "suspect"
	Down    LayerState = "down"
)

// NodeView is one observer's verdict on one data node, layer by layer.
type NodeView struct {
	Host     LayerView `json:"host,omitzero"`     // ICMP
	Port     LayerView `json:"port,omitzero"`     // TCP
	Server   LayerView `json:"server,omitzero"`   // handshake and SELECT 1, with a deadline
	Business LayerView `json:"business,omitzero"` // the user's own statement
}

// LayerView is one layer's state with its evidence.
type LayerView struct {
	State    LayerState `json:"state,omitempty"`
	Evidence string     `json:"evidence,omitempty"` // the last error
	Micros   int64      `json:"us,omitempty"`       // latency of the last answer, in microseconds
}
