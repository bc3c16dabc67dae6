package api

import (
	"context"
	"net/http"
	"time"
)

// Restarts is the agent as it can be replaced in place.
type Restarts interface {
	// PrepareRestart gets the agent ready, and returns what replaces it and comes
	// back only if that fails. What keeps it from it is an *Error.
	PrepareRestart(ctx context.Context) (replace func() error, err error)
}

// prepareLimit bounds what goes before a replacement.
const prepareLimit = 20 * time.Second

// restart answers before the agent is replaced: its answer would be lost.
func (s *Server) restart(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), prepareLimit)
	defer cancel()
	replace, err := s.restarts.PrepareRestart(ctx)
	if err != nil {
		return err
	}
	peer := peerOf(r.Context())
	s.log.InfoContext(ctx, "agent to be replaced in place", "who", peer.User, "uid", peer.UID, "pid", peer.PID)
	if err := reply(w, http.StatusAccepted, struct{}{}); err != nil {
		return err
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		s.log.WarnContext(ctx, "answer before the replacement", "err", err)
	}
	if err := replace(); err != nil {
		s.log.ErrorContext(ctx, "the agent could not be replaced, and runs on", "err", err)
	}
	return nil
}

// Restart has the agent replaced in place. It returns before that is done.
func (c *Client) Restart(ctx context.Context) error {
	_, err := get[struct{}](ctx, c, http.MethodPost, "/v1/agent/restart", nil)
	return err
}
