package api

import "github.com/baton-db/baton/internal/core/cluster"

// Would is what would be done if no node only observed. A node in mode observe
// says it; nothing of it is carried out.
type Would struct {
	// Supposed says that there is no record, and that what the servers show was
	// taken for one: Primary takes writes and Followers replicate from it.
	Supposed  bool               `json:"supposed,omitempty"`
	Primary   cluster.NodeName   `json:"primary,omitempty"`
	Followers []cluster.NodeName `json:"followers,omitempty"`
	// Begin is, without a record, how active agents would begin; nil if there is
	// a record.
	Begin *Begin `json:"begin,omitempty"`
	// Changes says that the record would be changed now; Reason and Detail are
	// why, or why not although something is wrong.
	Changes bool           `json:"changes"`
	Reason  cluster.Reason `json:"reason,omitempty"`
	Detail  string         `json:"detail,omitempty"`
	// Failover is what the election would lead to that would begin now; nil if
	// none would.
	Failover *Plan `json:"failover,omitempty"`
	// IfLost is the same, should the primary be lost at this moment.
	IfLost *Plan `json:"if_lost,omitempty"`
	// Lossy says why such a failover could lose acknowledged writes as things
	// are; empty if it could not.
	Lossy string `json:"lossy,omitempty"`
}

// Begin is how active agents would take the servers over.
type Begin struct {
	// Primary is who would be adopted as it is; empty if nobody would.
	Primary cluster.NodeName `json:"primary,omitempty"`
	// Elects says that no server takes writes, so one would be elected.
	Elects bool           `json:"elects,omitempty"`
	Reason cluster.Reason `json:"reason"`
	Detail string         `json:"detail,omitempty"`
}
