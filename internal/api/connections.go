package api

import (
	"context"
	"net/http"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// Connections is where the server finds the ledger of the clients' connections.
type Connections interface {
	// Ledger returns it as this node knows it, in the order of the clients.
	Ledger(ctx context.Context) (Ledger, error)
}

// Ledger is which clients are connected to the primary, as one node knows it.
type Ledger struct {
	// Node is the one on which they were seen; empty: this node knows of none.
	Node cluster.NodeName `json:"node,omitempty"`
	// Age is how long ago they were seen.
	Age    timeline.Millis `json:"age_ms"`
	Limit  int             `json:"limit"`            // how many are kept in mind
	Beyond int             `json:"beyond,omitempty"` // how many are not, because there are more
	// Why says why it is not what the primary has now; empty: it is.
	Why         string       `json:"why,omitempty"`
	Connections []Connection `json:"connections"`
}

// Connection is one of a client's.
type Connection struct {
	Client  string          `json:"client"`   // address and port
	Address string          `json:"address"`  // that it has connected to
	Known   timeline.Millis `json:"known_ms"` // for how long it has been known
}

func (s *Server) listConnections(w http.ResponseWriter, r *http.Request) error {
	l, err := s.conns.Ledger(r.Context())
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, l)
}

// Ledger returns which clients are connected, as the daemon's node knows it.
func (c *Client) Ledger(ctx context.Context) (Ledger, error) {
	return get[Ledger](ctx, c, http.MethodGet, "/v1/connections", nil)
}
