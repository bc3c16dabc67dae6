package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/baton-db/baton/internal/core/cluster"
)

// LostTransactions is where the server finds what is written down of
// transactions that only this node's server had.
type LostTransactions interface {
	// Lost lists the audits on this host, the newest first.
	Lost(ctx context.Context) ([]Lost, error)
	// LostFile opens an audit's report, or all its transactions as JSON. What a
	// person can do wrong is answered with an *Error.
	LostFile(ctx context.Context, name string, transactions bool) (io.ReadCloser, error)
	// LostCheck compares the rows of an audit with the primary's as they are now.
	LostCheck(ctx context.Context, name string) (Lost, error)
}

// Lost is one audit of transactions that a server had and its primary lacked.
type Lost struct {
	Name      string           `json:"name"` // mostly the epoch
	Directory string           `json:"directory"`
	At        string           `json:"at"` // RFC 3339
	Node      cluster.NodeName `json:"node"`
	Primary   cluster.NodeName `json:"primary"`
	Epoch     cluster.Epoch    `json:"epoch"`
	GTIDs     string           `json:"gtids"`

	Headline     string     `json:"headline"`
	Transactions int        `json:"transactions"`
	Rows         int        `json:"rows"`
	Statements   int        `json:"statements"`
	Tables       []LostRows `json:"tables,omitempty"`
	// Acknowledged is "no" if surely no client was told that any of them is
	// committed, else "possibly"; AckWhy says what that rests on.
	Acknowledged string `json:"acknowledged"`
	AckWhy       string `json:"ack_why,omitempty"`
	// Since is how the rows were on the primary when they were last compared, at
	// first soon after they were found; nil if it could not be asked yet.
	Since *LostSince `json:"since,omitempty"`
	// InTheWay is why they cannot be undone; empty if they can.
	InTheWay string   `json:"in_the_way,omitempty"`
	Findings []string `json:"findings,omitempty"`
}

// LostSince is how many of the changed rows the primary has as the transactions
// had found them, as they left them, and otherwise: in conflict.
type LostSince struct {
	At          string           `json:"at"`
	Primary     cluster.NodeName `json:"primary"`
	Unchanged   int              `json:"unchanged"`
	Same        int              `json:"same"`
	Changed     int              `json:"changed"`
	NotCompared int              `json:"not_compared,omitempty"`
	Text        string           `json:"text"`
}

// LostRows is how many rows of a table were changed.
type LostRows struct {
	Table    string `json:"table"`
	Inserted int    `json:"inserted"`
	Updated  int    `json:"updated"`
	Deleted  int    `json:"deleted"`
}

func (s *Server) listLost(w http.ResponseWriter, r *http.Request) error {
	all, err := s.lost.Lost(r.Context())
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, all)
}

func (s *Server) lostReport(w http.ResponseWriter, r *http.Request) error {
	return s.lostFile(w, r, "text/plain; charset=utf-8", false)
}

func (s *Server) lostTransactions(w http.ResponseWriter, r *http.Request) error {
	return s.lostFile(w, r, "application/json", true)
}

func (s *Server) lostCheck(w http.ResponseWriter, r *http.Request) error {
	one, err := s.lost.LostCheck(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, one)
}

// lostFile sends a file as it is: it may be bigger than memory.
func (s *Server) lostFile(w http.ResponseWriter, r *http.Request, kind string, transactions bool) error {
	f, err := s.lost.LostFile(r.Context(), r.PathValue("name"), transactions)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", kind)
	_, _ = io.Copy(w, f) // whoever asked has hung up: nobody to tell
	return nil
}

// Lost lists the audits on the daemon's host, the newest first.
func (c *Client) Lost(ctx context.Context) ([]Lost, error) {
	return get[[]Lost](ctx, c, http.MethodGet, "/v1/lost", nil)
}

// LostCheck has an audit's rows compared with the primary's as they are now.
func (c *Client) LostCheck(ctx context.Context, name string) (Lost, error) {
	return get[Lost](ctx, c, http.MethodPost, "/v1/lost/"+url.PathEscape(name)+"/check", nil)
}

// LostFile writes an audit's report, or all its transactions as JSON.
func (c *Client) LostFile(ctx context.Context, name string, transactions bool, to io.Writer) error {
	path := "/v1/lost/" + url.PathEscape(name) + "/report"
	if transactions {
		path = "/v1/lost/" + url.PathEscape(name) + "/transactions"
	}
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(to, resp.Body); err != nil {
		return fmt.Errorf("read the daemon's answer to %s: %w", path, err)
	}
	return nil
}
