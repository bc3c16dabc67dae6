package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/timeline"
)

// ErrUnreachable says that no daemon answered on the socket.
var ErrUnreachable = errors.New("the baton daemon does not answer")

// Client speaks to the daemon of this host.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the daemon that listens on a unix socket. It
// does not connect yet.
func NewClient(socket string) *Client {
	var d net.Dialer
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
	}}}
}

// Close gives back idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do sends a request and returns the answer if its status is a good one. An
// answer of the API with another status is returned as an *Error.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	resp, err := c.send(ctx, method, path, body, nil)
	if err != nil || resp.StatusCode < 300 {
		return resp, err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody)) // what came is shown
	said := &Error{}
	if json.Unmarshal(text, said) != nil || said.Message == "" {
		said = &Error{Message: fmt.Sprintf("the daemon answered %s: %s", resp.Status, strings.TrimSpace(string(text)))}
	}
	said.Status = resp.StatusCode
	return nil, said
}

// send sends a request and returns the answer, whatever it is.
func (c *Client) send(ctx context.Context, method, path string, body any, head http.Header) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode %T: %w", body, err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://baton"+path, in)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", path, err)
	}
	for name, values := range head {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ask for %s: %w", path, ctx.Err())
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the URL that http puts around it means nothing here
		}
		return nil, fmt.Errorf("%w on %s: %w", ErrUnreachable, c.socket, err)
	}
	return resp, nil
}

func get[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var v T
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return v, fmt.Errorf("read the daemon's answer to %s: %w", path, err)
	}
	return v, nil
}

// CheckAnswer is yes or no, and why.
type CheckAnswer struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason"`
}

// Check asks what package public answers, such as /primary.
func (c *Client) Check(ctx context.Context, path string) (CheckAnswer, error) {
	var said CheckAnswer
	resp, err := c.send(ctx, http.MethodGet, path, nil, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return said, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(text, &said)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return said, fmt.Errorf("ask for %s: %w", path, ctx.Err())
	case err != nil || said.Reason == "":
		return said, fmt.Errorf("ask for %s: the daemon answered %s: %s", path, resp.Status, strings.TrimSpace(string(text)))
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable:
		return said, &Error{Status: resp.StatusCode, Message: said.Reason}
	}
	return said, nil
}

// Status returns the cluster as the daemon sees it.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Facts returns what is in the store.
func (c *Client) Facts(ctx context.Context) (RawFacts, error) {
	return get[RawFacts](ctx, c, http.MethodGet, "/v1/facts", nil)
}

// History returns all recorded switches, oldest first.
func (c *Client) History(ctx context.Context) ([]timeline.Switch, error) {
	return get[[]timeline.Switch](ctx, c, http.MethodGet, "/v1/history", nil)
}

// Switch returns the switch that an epoch belongs to.
func (c *Client) Switch(ctx context.Context, epoch cluster.Epoch) (timeline.Switch, error) {
	return get[timeline.Switch](ctx, c, http.MethodGet, "/v1/history/"+strconv.FormatUint(uint64(epoch), 10), nil)
}

// Submit asks for something and returns as soon as it is in the store.
func (c *Client) Submit(ctx context.Context, a Ask) (RequestState, error) {
	return get[RequestState](ctx, c, http.MethodPost, "/v1/requests", a)
}

// PlanRejoin returns what a rejoin would do; nothing is asked for.
func (c *Client) PlanRejoin(ctx context.Context, a Ask) (RejoinPlan, error) {
	a.Kind = cluster.RequestRejoin
	return get[RejoinPlan](ctx, c, http.MethodPost, "/v1/rejoin/plan", a)
}

// Request returns what has become of a request, after at most wait.
func (c *Client) Request(ctx context.Context, id string, wait time.Duration) (RequestState, error) {
	return get[RequestState](ctx, c, http.MethodGet, "/v1/requests/"+url.PathEscape(id)+"?wait="+wait.String(), nil)
}

// Await returns a request's state once it is final, or with ctx's error the
// last one known.
func (c *Client) Await(ctx context.Context, id string) (RequestState, error) {
	last := RequestState{ID: id, Status: Pending}
	for {
		state, err := c.Request(ctx, id, maxWait)
		if err != nil {
			return last, err
		}
		if last = state; state.Status.Final() {
			return state, nil
		}
	}
}

// Stream is a stream of events from one daemon.
type Stream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

// Events opens a stream of what happens from now on: what happens after the
// call has returned is in it. It ends with ctx, or with Close.
func (c *Client) Events(ctx context.Context) (*Stream, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return nil, err
	}
	s := &Stream{body: resp.Body, lines: bufio.NewScanner(resp.Body)}
	s.lines.Buffer(nil, 1<<20)
	return s, nil
}

// Next waits for an event.
func (s *Stream) Next() (Event, error) {
	for s.lines.Scan() {
		data, ok := strings.CutPrefix(s.lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return Event{}, fmt.Errorf("read an event: %w", err)
		}
		return e, nil
	}
	switch err := s.lines.Err(); {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return Event{}, fmt.Errorf("read events: %w", err)
	case err != nil:
		return Event{}, fmt.Errorf("read events: %w: %w", ErrUnreachable, err)
	}
	return Event{}, fmt.Errorf("read events: %w: it hung up", ErrUnreachable)
}

// Close ends the stream.
func (s *Stream) Close() { _ = s.body.Close() } // nothing is lost: it was only read
