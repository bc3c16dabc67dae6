package cluster

// Reason says why something was decided, or what is out of order. It goes
// unchanged from the decision into the log, the metrics, the history and the
// screen; package health explains each one to people.
type Reason string

// Reasons for which a primary is replaced.
const (
	PrimaryResigned     Reason = "primary-resigned"       // its own agent gave the role up: server gone, host shutting down
	LeaseExpired        Reason = "lease-expired"          // it did not renew for the whole lease
	PrimaryHung         Reason = "primary-hung"           // its agent and a majority say the server does not answer
	PrimaryCannotWrite  Reason = "primary-cannot-write"   // its agent says that a write does not come back
	PrimaryDiskFull     Reason = "primary-disk-full"      // the same, and its disk has no room
	PrimaryDiskReadOnly Reason = "primary-disk-read-only" // the same, and its disk takes no writes
	PrimaryDiskStuck    Reason = "primary-disk-stuck"     // the same, and its server waits for the disk
	PrimaryUnreachable  Reason = "primary-unreachable"    // a majority cannot reach it and no replica receives
	PrimaryDegraded     Reason = "primary-degraded"       // a check of layer 4 that is to fail over has been past its limit
	NetworkLost         Reason = "clients-network-lost"   // a tracked interface of the primary is dead
	SwitchoverAsked     Reason = "switchover-requested"
	FailoverForced      Reason = "failover-requested"
)

// Reasons for the other changes of the record.
const (
	Bootstrapped      Reason = "bootstrapped"        // the first record of a cluster
	PrimaryFenced     Reason = "primary-fenced"      // its agent reports it, or it cannot hold the lease any more
	PromisesIn        Reason = "promises-in"         // the election is decided
	DrainedAndApplied Reason = "drained-and-applied" // the candidate holds the old primary's final position
	HandoffTimedOut   Reason = "handoff-timed-out"   // rolled back
	HandoffAborted    Reason = "handoff-aborted"     // the candidate was lost meanwhile; rolled back
	CandidateStalled  Reason = "candidate-stalled"   // no progress of the promotion
	CandidateLost     Reason = "candidate-lost"      // the candidate's lease ran out, or its server died
	ReignBegan        Reason = "reign-began"         // serving, marker acknowledged, endpoints verified
	AckJoined         Reason = "ack-joined"          // a replica acknowledges from now on
	AckJoining        Reason = "ack-joining"         // a replica is to acknowledge, the set is still empty
	AckLeft           Reason = "ack-left"            // a silent replica was removed from the ack set
	PausedByRequest   Reason = "paused-by-request"   //
	ResumedByRequest  Reason = "resumed-by-request"  //
	MaintenanceBegan  Reason = "maintenance-began"   // somebody works on a node
	MaintenanceEnded  Reason = "maintenance-ended"   //
	RejoinBegan       Reason = "rejoin-began"        // a node is given back to the cluster
	RejoinEnded       Reason = "rejoin-ended"        // it follows
	RejoinFailed      Reason = "rejoin-failed"       // it does not
	RejoinHeld        Reason = "rejoin-held"         // a person wants it left as it is
	RequestRefused    Reason = "request-refused"     //
)

// Reasons for which nothing is done although something is wrong.
const (
	Nothing           Reason = ""                   // all is well
	IsPaused          Reason = "paused"             // maintenance
	ObserveOnly       Reason = "observe-only"       // this node is told to change nothing
	StoreSilent       Reason = "store-silent"       // no quorum of the store answers
	ObserversCutOff   Reason = "observers-cut-off"  // nodes cannot reach the primary but its replicas receive
	NoMajority        Reason = "no-majority"        // too few nodes say so
	CoolingDown       Reason = "cooling-down"       // a failover has just been
	TooManyFailovers  Reason = "too-many-failovers" // the limit per hour is reached
	NobodyToPromote   Reason = "nobody-to-promote"  // no node could take over
	AwaitingFence     Reason = "awaiting-fence"     // the old primary may still hold its lease
	AwaitingPromises  Reason = "awaiting-promises"  // an election lacks promises
	AwaitingCatchUp   Reason = "awaiting-catch-up"  // the candidate applies
	AwaitingDrain     Reason = "awaiting-drain"     // transactions are open on the primary
	AwaitingMarker    Reason = "awaiting-marker"    // nobody has acknowledged the new reign yet
	AwaitingEndpoints Reason = "awaiting-endpoints" // clients are not led there yet
	AwaitingNodes     Reason = "awaiting-nodes"     // bootstrap: not all nodes have reported
	ConfigDiffers     Reason = "config-differs"     // nodes run with different settings
	NewerSchema       Reason = "newer-schema"       // a newer version wrote this
	StoreWentBack     Reason = "store-went-back"    // the record is older than one that this node has seen
	TwoWritable       Reason = "two-writable"       // bootstrap: more than one server is writable
	NoOneHoldsAll     Reason = "no-one-holds-all"   // bootstrap or election: positions diverge
)

// Reasons for which a node is passed over as candidate.
const (
	PassedNever       Reason = "never"          // the configuration says so
	PassedObserving   Reason = "only-observes"  // its agent would promote nothing
	PassedMaintenance Reason = "in-maintenance" // somebody works on it
	PassedNoPromise   Reason = "no-promise"     // it has not promised
	PassedDiverged    Reason = "diverged"       // errant transactions
	PassedNoBinLog    Reason = "no-binary-log"  // could not be anybody's source
	PassedOldEpoch    Reason = "older-epoch"    // its data is of an earlier reign
	PassedNewerServer Reason = "newer-server"   // others could not replicate from it
	PassedNetwork     Reason = "network-lost"   // it has lost the clients' network itself
	PassedStrained    Reason = "strained"       // it would be replaced for that itself
	PassedFailed      Reason = "failed-before"  // failed already in this switch
	PassedServerDown  Reason = "server-down"    // its server does not answer
	PassedIncomplete  Reason = "lacks-transactions"
	PassedMove        Reason = "no-need-to-move" // the primary before is well and not to blame
	PassedSite        Reason = "farther-site"
	PassedPreference  Reason = "less-preferred"
	PassedBehind      Reason = "more-to-apply"
	PassedName        Reason = "name"            // equal otherwise
	PassedRestarted   Reason = "restarted-since" // the server restarted after the promise
	PassedHeld        Reason = "held"            // waits for a person
	PassedNotAsked    Reason = "other-asked-for" // a person asked for another one
)

// Reasons for which a candidate was chosen, where no comparison decided.
const (
	OnlyCandidate Reason = "only-candidate" // nobody else could be chosen
	AskedFor      Reason = "asked-for"      // a person named it
)

// What is told of a back-fill from the binary log of a dead primary.
const (
	BackFilled         Reason = "back-filled"          // all that it held is on the new primary
	BackFillIncomplete Reason = "back-fill-incomplete" // something may be lost
	BackFillDiverged   Reason = "back-fill-diverged"   // its log does not continue what the new primary has
)

// Conditions: what a person should know of.
const (
	ServerDown        Reason = "server-down"          //
	ReplicaBroken     Reason = "replication-broken"   //
	Diverged          Reason = "errant-transactions"  //
	RecoveryDropped   Reason = "recovery-dropped"     // crash recovery took transactions off a dead primary's log
	SemiSyncOff       Reason = "semi-sync-off"        // lossless is configured but commits do not wait
	SemiSyncStranger  Reason = "semi-sync-stranger"   // somebody who is not in the ack set acknowledges
	AckSetEmpty       Reason = "ack-set-empty"        // nobody is left to acknowledge
	AddressDuplicate  Reason = "address-duplicate"    // another host answers for the virtual address
	AddressForeign    Reason = "address-foreign"      // a host that is not of the cluster has it
	AddressUnseen     Reason = "address-unseen"       // another node does not find the virtual address at the primary
	AddressStray      Reason = "address-stray"        // this host had the virtual address although another is primary
	AddressLost       Reason = "address-lost"         // somebody took the virtual address from the primary
	ReadersNowhere    Reason = "readers-nowhere"      // no host has an address for readers
	GateFlushed       Reason = "gate-flushed"         // something removed Baton's firewall table
	GateMissing       Reason = "gate-unavailable"     // no nftables here: weaker guarantee
	RenewalLate       Reason = "renewal-late"         //
	NotRealtime       Reason = "not-realtime"         //
	MisconfiguredNode Reason = "server-misconfigured" // could start writable, no binary log …
	BusinessWrong     Reason = "business-write-wrong" // the user's own statement has never succeeded in this reign
	EndpointWrong     Reason = "endpoint-wrong"       //
	NotListening      Reason = "http-not-listening"   // an address of http.listen cannot be used
	DNSNotListening   Reason = "dns-not-listening"    // an address of dns.listen cannot be used
	StoreDegraded     Reason = "store-degraded"       // a member of the store is missing
	StoreSlow         Reason = "store-disk-slow"      // the disk of this node's member does not keep up
	DiskUnfit         Reason = "disk-unfit"           // the disk of the server's data is full or read-only
	Degraded          Reason = "degraded"             // a check of layer 4 has been past its limit
	CheckUnknown      Reason = "check-unknown"        // a check of layer 4 cannot be measured
	WritesLocked      Reason = "writes-locked"        // somebody holds a lock that keeps everybody from writing
	ServingOnPromises Reason = "serving-on-promises"  // no store; every other data node has promised to wait
	PromiseWithheld   Reason = "promise-withheld"     // no store, and not every data node has promised
	LedgerStale       Reason = "ledger-stale"         // the primary's connections are not told to this node
	LedgerFull        Reason = "ledger-full"          // there are more of them than the ledger holds
	HookFailed        Reason = "hook-failed"          // a hook of this node has failed, or was killed, at its last run
	EventsUnknown     Reason = "events-unknown"       // scheduled events of which nobody knows whether they ran
)
