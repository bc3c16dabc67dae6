package db

import "time"

// Verdict says how a server answered a probe.
type Verdict string

// The verdicts of probes.
const (
	// Done: it did what was asked.
	Done Verdict = "done"
	// AckWait: the commit waits for an acknowledgement of a replica. The server
	// itself works.
	AckWait Verdict = "waits-for-acknowledgement"
	// LockWait: somebody holds a lock, such as a backup. The server works.
	LockWait Verdict = "locked"
	// ReadOnly: the server takes no writes.
	ReadOnly Verdict = "read-only"
	// NoSchema: Baton's schema is not there yet.
	NoSchema Verdict = "no-schema"
	// TooManyConnections: all slots are used up.
	TooManyConnections Verdict = "too-many-connections"
	// DiskFull: there is no room for the write.
	DiskFull Verdict = "disk-full"
	// DiskReadOnly: the disk takes no writes.
	DiskReadOnly Verdict = "disk-read-only"
	// Denied: the account may not do this.
	Denied Verdict = "denied"
	// Killed: somebody ended the probe's session; the next one is new.
	Killed Verdict = "killed"
	// Lost: there is no server to connect to, or it closed the connection.
	Lost Verdict = "connection-lost"
	// NoAnswer: the deadline passed.
	NoAnswer Verdict = "no-answer"
	// Failed: it answered with an error that is none of the above.
	Failed Verdict = "failed"
)

// Answer is what came of a probe.
type Answer struct {
	Verdict Verdict
	Took    time.Duration
	Detail  string // the server's words, or where the statement was stuck
}

// Works reports whether the answer shows a server that does its work, be it
// that it waits for somebody else or refuses as it was told to.
func (a Answer) Works() bool {
	switch a.Verdict {
	case Done, AckWait, LockWait, ReadOnly, NoSchema, Killed:
		return true
	}
	return false
}

// Answered reports whether the server said anything at all, be it a refusal.
// A frozen server, and one that is not there, did not.
func (a Answer) Answered() bool {
	switch a.Verdict {
	case NoAnswer, Lost:
		return false
	}
	return a.Verdict != ""
}
