package embed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	etcd "go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"

	"github.com/baton-db/baton/internal/core/cluster"
)

// askAgain is the pause between two rounds of asking the other nodes.
const askAgain = 100 * time.Millisecond

// founding is how etcd is to start where it finds no data. Where it finds some,
// it does not look at it.
type founding struct {
	state   string // etcd's word: new or existing
	initial string // the members, name=URL
}

// howToStart says how the member may start. With data it just may; without, that
// takes the other nodes' word.
func (m *Member) howToStart(ctx context.Context) (founding, error) {
	marked, err := readMarker(m.opts)
	if err != nil {
		return founding{}, err
	}
	if wal.Exist(filepath.Join(m.opts.DataDir, "member", "wal")) {
		return m.foundAnew(), nil
	}
	if left, err := os.ReadDir(filepath.Join(m.opts.DataDir, "member", "snap")); err == nil && len(left) > 0 {
		return founding{}, fmt.Errorf("%w: %s has a database and no log. %s", ErrWiped, m.opts.DataDir, m.howToReplace())
	}
	if len(m.opts.Peers) == 1 {
		if marked != nil {
			return founding{}, fmt.Errorf("%w: %s says that there was a member here, and %s is empty. Put the data back, or remove that file to begin with an empty store", ErrWiped, m.opts.Marker, m.opts.DataDir)
		}
		return m.foundAnew(), nil
	}
	return m.askHowToStart(ctx, marked)
}

// askHowToStart asks the others until they agree, and says meanwhile that this
// node is new too.
func (m *Member) askHowToStart(ctx context.Context, marked *marker) (founding, error) {
	hush, err := m.sayFresh(marked)
	if err != nil {
		return founding{}, err
	}
	defer hush()
	said := ""
	for {
		answers := m.askAll(ctx)
		f, missing, err := m.conclude(marked, answers)
		if err != nil || f != (founding{}) {
			return f, err
		}
		waits := describe(missing, answers)
		if waits != said {
			m.log.Warn("the store is empty here and may be founded only when all other nodes say that they are new too", "node", m.opts.Self, "waiting", waits)
			said = waits
		}
		again := time.NewTimer(askAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return founding{}, fmt.Errorf("%w: no answer yet from %s (%w). Start baton there; if such a node is gone for good, put another one into the configuration in its place", ErrUncertain, waits, ctx.Err())
		}
	}
}

// conclude says what the answers allow. With neither a result nor an error, the
// missing nodes have to answer first.
func (m *Member) conclude(marked *marker, answers map[cluster.NodeName]answer) (f founding, missing []cluster.NodeName, err error) {
	started, absent := false, cluster.NodeName("")
	for name, a := range answers {
		switch a.kind {
		case silent:
			missing = append(missing, name)
		case member:
			e, listed := m.own(a.members)
			switch {
			case !listed:
				absent = name
			case e.Name == "" && (marked == nil || marked.Member != memberID(e.ID)):
				return m.joinAs(a.members, e), nil, nil
			case e.Name == "" || len(e.ClientURLs) > 0:
				started = true
			}
		}
	}
	slices.Sort(missing)
	switch {
	case started || marked != nil:
		return founding{}, nil, fmt.Errorf("%w: %s is empty, although this node was a member of the store. It must not start as the one it was. %s", ErrWiped, m.opts.DataDir, m.howToReplace())
	case absent != "":
		return founding{}, nil, fmt.Errorf("%w: %s does not list it. %s", ErrNotMember, absent, m.howToReplace())
	case len(missing) > 0:
		return founding{}, missing, nil
	}
	return m.foundAnew(), nil, nil
}

func (m *Member) howToReplace() string {
	return fmt.Sprintf("On another node, run `baton store member replace %s`, and start baton here: it joins as a new member and copies everything", m.opts.Self)
}

// own finds this node among the members.
func (m *Member) own(members []memberEntry) (memberEntry, bool) {
	i := slices.IndexFunc(members, func(e memberEntry) bool {
		return e.Name == string(m.opts.Self) || slices.Contains(e.PeerURLs, m.opts.peerURL(m.opts.Self))
	})
	if i < 0 {
		return memberEntry{}, false
	}
	return members[i], true
}

// foundAnew is the founding of a new store by all nodes of the configuration.
func (m *Member) foundAnew() founding {
	var all []string
	for _, n := range m.opts.nodes() {
		all = append(all, string(n)+"="+m.opts.peerURL(n))
	}
	return founding{etcd.ClusterStateFlagNew, strings.Join(all, ",")}
}

// joinAs is the entry into a running store that has invited this node. etcd
// wants the members exactly as they are.
func (m *Member) joinAs(members []memberEntry, self memberEntry) founding {
	var all []string
	for _, e := range members {
		name := e.Name
		switch {
		case e.ID == self.ID:
			name = string(m.opts.Self)
		case name == "":
			name = "unstarted-" + memberID(e.ID)
		}
		for _, u := range e.PeerURLs {
			all = append(all, name+"="+u)
		}
	}
	return founding{etcd.ClusterStateFlagExisting, strings.Join(all, ",")}
}

// sayFresh answers other nodes that ask while this one waits. One that was a
// member once says nothing: it is not new.
func (m *Member) sayFresh(marked *marker) (hush func(), err error) {
	if marked != nil {
		return func() {}, nil
	}
	info := m.opts.tls()
	l, err := transport.NewListenerWithOpts(m.opts.Peers[m.opts.Self].String(), "https", transport.WithTLSInfo(&info))
	if err != nil {
		return nil, fmt.Errorf("listen to the other nodes: %w", err)
	}
	srv := &http.Server{
		ReadHeaderTimeout: askFor,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(freshHeader, m.opts.Cluster)
			w.WriteHeader(http.StatusNotFound)
		}),
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			m.log.Warn("answer other nodes that ask whether this one is new", "node", m.opts.Self, "err", err)
		}
	}()
	return func() {
		_ = srv.Close()
		<-over
	}, nil
}

func describe(names []cluster.NodeName, answers map[cluster.NodeName]answer) string {
	var all []string
	for _, n := range names {
		all = append(all, fmt.Sprintf("%s (%v)", n, answers[n].err))
	}
	return strings.Join(all, ", ")
}
