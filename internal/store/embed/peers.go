package embed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/baton-db/baton/internal/core/cluster"
)

const (
	// askFor is how long another node has to say what it knows of the members.
	askFor = time.Second
	// membersPath is where etcd tells its peers who the members are.
	membersPath = "/members"
	// freshHeader is what a node says instead, that waits itself with an empty
	// data directory: the name of its cluster.
	freshHeader = "X-Baton-Fresh"
	// mostAnswer is the longest list of members that is read, in bytes.
	mostAnswer = 1 << 20
)

// answer is what another node says when asked for the members.
type answer struct {
	kind    answerKind
	members []memberEntry
	err     error // why it is silent
}

type answerKind int

const (
	silent answerKind = iota // no answer, or one that makes no sense
	fresh                    // it waits with an empty data directory too
	member                   // it is a running member and lists them all
)

// memberEntry is a member as etcd's peers see it.
type memberEntry struct {
	ID         uint64   `json:"id"`
	PeerURLs   []string `json:"peerURLs"`
	Learner    bool     `json:"isLearner"`
	Name       string   `json:"name"`       // empty: added, never started
	ClientURLs []string `json:"clientURLs"` // empty: never ready so far
}

// peerClient asks the members' peer listeners, by mutual TLS.
type peerClient struct {
	opts Options
	http *http.Client
	err  error // the certificates cannot be used
}

func newPeerClient(o Options) *peerClient {
	c := &peerClient{opts: o}
	t, err := transport.NewTransport(o.tls(), askFor)
	if err != nil {
		c.err = fmt.Errorf("read the certificates: %w", err)
		return c
	}
	c.http = &http.Client{Transport: t}
	return c
}

func (c *peerClient) close() {
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
}

// ask asks the node at that URL who the members are.
func (c *peerClient) ask(ctx context.Context, url string) answer {
	a, err := c.get(ctx, url+membersPath)
	if err != nil {
		return answer{kind: silent, err: err}
	}
	return a
}

func (c *peerClient) get(ctx context.Context, url string) (answer, error) {
	if c.err != nil {
		return answer{}, c.err
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return answer{}, err
	}
	if cluster := resp.Header.Get(freshHeader); cluster != "" {
		if cluster != c.opts.Cluster {
			return answer{}, fmt.Errorf("it belongs to the cluster %q", cluster)
		}
		return answer{kind: fresh}, nil
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("it says %s", resp.Status)
	}
	a := answer{kind: member}
	if err := json.Unmarshal(body, &a.members); err != nil {
		return answer{}, fmt.Errorf("its list of members makes no sense: %w", err)
	}
	if len(a.members) == 0 {
		return answer{}, errors.New("it has only just started and knows no members yet")
	}
	return a, nil
}

// removedByOthers reports whether any of the others lists members without this
// one.
func (m *Member) removedByOthers() bool {
	self := uint64(m.etcd.Server.MemberID())
	for _, a := range m.askAll(context.Background()) {
		if a.kind != member {
			continue
		}
		listed := false
		for _, e := range a.members {
			listed = listed || e.ID == self
		}
		if !listed {
			return true
		}
	}
	return false
}

// askAll asks all other nodes at the same time.
func (m *Member) askAll(ctx context.Context) map[cluster.NodeName]answer {
	type named struct {
		name cluster.NodeName
		answer
	}
	got := make(chan named)
	n := 0
	for _, p := range m.opts.nodes() {
		if p != m.opts.Self {
			n++
			go func() { got <- named{p, m.peers.ask(ctx, m.opts.peerURL(p))} }()
		}
	}
	all := map[cluster.NodeName]answer{}
	for range n {
		a := <-got
		all[a.name] = a.answer
	}
	return all
}
