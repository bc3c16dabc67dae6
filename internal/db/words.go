package db

import (
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/gtid"
)

// An Account is a user of the server with its password. An empty password
// stands for authentication by the unix socket's peer, where the server allows it.
type Account struct {
	User     string
	Password string
}

// Identity is what is fixed for one life of a server.
type Identity struct {
	Flavor  string // "mariadb" or "mysql"
	Version string
	ID      uint32 // server_id
	Start   string // differs after every restart of the server
	PID     int    // of the server's process; 0 if unknown

	BinLog        bool
	LogUpdates    bool   // logs what it replicates, so that it can be a source
	RowFormat     string // of the binary log: ROW, MIXED, STATEMENT
	StrictGTID    bool   // MariaDB: gtid_strict_mode
	SemiSync      bool   // both sides of semi-synchronous replication are there
	EventsEnabled bool   // the event scheduler runs
	// LosesOnPower names settings under which a power loss loses transactions
	// that this server has acknowledged, such as sync_binlog=0.
	LosesOnPower []string
	// NoGTID: MySQL with gtid_mode or enforce_gtid_consistency not ON.
	NoGTID bool
	// NoHeartbeat: MySQL without performance_schema, which alone shows that a
	// heartbeat came in.
	NoHeartbeat bool
	// DropsUnapplied: MySQL with relay_log_recovery, which at every start throws
	// away what was received and is not applied yet.
	DropsUnapplied bool

	DataDir   string
	Port      int
	ExtraPort int // answers when all slots of Port are used up; 0: none

	// Restart is how the server would come up if somebody started it again.
	Restart Restart
}

// Restart is what a server's option files and command line say.
type Restart struct {
	Known bool   // false: it could not be found out, and Why says why
	Why   string // the command that was asked, or what went wrong

	ReadOnly        bool // it would come up read-only
	HoldReplication bool // it would not start replication by itself
	// InitRole is the role for semi-synchronous crash recovery: "SLAVE" lets a
	// crashed primary drop what nobody acknowledged.
	InitRole string
	// OwnAgain: MySQL with replicate_same_server_id, without which a server that
	// lost what it once wrote itself never gets it back.
	OwnAgain bool
}

// Observation is one look at a server.
type Observation struct {
	Server cluster.ServerFact
	// Tick changes whenever anything came in from the source, be it a
	// heartbeat. Two observations with different ticks show that this server
	// received something between them; the caller judges how long ago is long.
	Tick string
	// Problem is what keeps the received position from being complete, if
	// something does; Server.Replica.Received is then what is known.
	Problem string
}

// Held is what a server holds once its receiver stands still.
type Held struct {
	Executed gtid.Set // applied
	Received gtid.Set // applied, or received and waiting to be applied
	Marker   cluster.Epoch
}

// Source is whom to replicate from, and how.
type Source struct {
	Node    cluster.NodeName // for messages
	Host    string
	Port    int
	Account Account
	// Heartbeat is the period in which an idle source says that it lives.
	// 0 means 500 ms.
	Heartbeat time.Duration
	// Silence is how long the receiver waits for anything at all before it
	// connects again. It is rounded up to seconds and is at least two; 0 means
	// 4 s.
	Silence time.Duration
	// SemiSync says whether this server acknowledges what it receives.
	SemiSync bool
	// TLS encrypts the replication connection; CA, if set, must have signed the
	// source's certificate.
	TLS bool
	CA  string
}

// TransactionsApart is how far apart looks at the open transactions have to be.
// InnoDB makes its list anew only when nobody has read it for 100 ms: looking
// more often shows the first answer for ever.
const TransactionsApart = 110 * time.Millisecond

// Transaction is one that is open on a server.
type Transaction struct {
	ID     string // unique while it is open
	Thread uint64
	User   string
	Host   string
	Age    time.Duration // whole seconds
	Writes bool          // it changed or locked rows
	Idle   bool          // its client is not running a statement
	Query  string        // what it runs, if it does
}

// Waiter is a session whose commit waits for an acknowledgement.
type Waiter struct {
	Thread uint64
	User   string
	Host   string
	Query  string
}

// Replicas is who replicates from a server.
type Replicas struct {
	// Streams are the connections that the binary log is sent on.
	Streams []Stream
	// Registered are the replicas that gave their server id. The server keeps
	// no link between the two lists.
	Registered []Registered
}

// Stream is one connection that the binary log is sent on.
type Stream struct {
	Thread uint64
	User   string
	Peer   string // address and port
	State  string // the server's words
}

// Registered is a replica that gave its server id.
type Registered struct {
	ID   uint32
	Host string
	Port int
}

// AccountFinding is one thing wrong with an account of Baton's.
type AccountFinding struct {
	Account   string // as the server names it
	Privilege string
	// Excess says that the account must not have the privilege; otherwise it
	// lacks it.
	Excess bool
	Mend   string // the SQL that mends it
}
