package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Status is how the store itself fares.
type Status struct {
	Leader  string   // name of the member that leads; empty: none
	Members []Member // by name
	Alarms  []Alarm
}

// Healthy returns how many voting members answer.
func (s Status) Healthy() int {
	n := 0
	for _, m := range s.Members {
		if m.Err == nil && !m.Learner {
			n++
		}
	}
	return n
}

// Member is one member of the store.
type Member struct {
	ID       uint64
	Name     string // empty: it has been added and never started
	PeerURLs []string
	Learner  bool  // it receives the log and has no vote
	DBBytes  int64 // size of its database file; 0: not known
	Err      error // it does not answer

	clientURLs []string
}

// Alarm is a state in which the store refuses writes until a person has cleared
// it.
type Alarm struct {
	Member string // name, or the ID if it has none
	Kind   string // NOSPACE or CORRUPT
}

// Status asks the members how they fare. Those that do not answer by ctx's
// deadline have an Err; an error is returned only if nobody could be asked.
func (e *Etcd) Status(ctx context.Context) (Status, error) {
	var list *clientv3.MemberListResponse
	err := e.do(ctx, looking, func(ctx context.Context, c *clientv3.Client) (err error) {
		// Not linearizable: it is wanted most when there is no majority.
		list, err = c.MemberList(ctx, clientv3.WithSerializable())
		return err
	})
	if err != nil {
		return Status{}, fmt.Errorf("list the members of the store: %w", err)
	}
	var s Status
	for _, m := range list.Members {
		s.Members = append(s.Members, Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, Learner: m.IsLearner, clientURLs: m.ClientURLs})
	}
	slices.SortFunc(s.Members, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	leader := e.ask(ctx, s.Members, list.Header.MemberId)
	s.Leader = s.nameOf(leader)
	if leader == 0 {
		return s, nil // alarms are read through a majority
	}
	s.Alarms, err = e.alarms(ctx, s)
	return s, err
}

func (s Status) nameOf(id uint64) string {
	for _, m := range s.Members {
		if m.ID == id && m.Name != "" {
			return m.Name
		}
	}
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("%x", id)
}

// ask has all members asked at the same time and returns the ID of the leader.
func (e *Etcd) ask(ctx context.Context, members []Member, self uint64) (leader uint64) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range members {
		all.Go(func() {
			m := &members[i]
			var resp *clientv3.StatusResponse
			switch {
			case !e.local:
				resp, m.Err = e.askAt(ctx, *m)
			case m.ID == self:
				resp, m.Err = e.ends[0].client.Status(ctx, "")
			case e.probe == nil:
				m.Err = errors.New("there is no way to ask it")
			default:
				m.Err = e.probe(ctx, *m)
			}
			if resp == nil || m.Err != nil {
				return
			}
			m.DBBytes = resp.DbSize
			mu.Lock()
			defer mu.Unlock()
			leader = cmp.Or(leader, resp.Leader)
		})
	}
	all.Wait()
	return leader
}

// askAt asks a member of an external etcd through one of our endpoints.
func (e *Etcd) askAt(ctx context.Context, m Member) (*clientv3.StatusResponse, error) {
	if m.Name == "" {
		return nil, errors.New("it has been added and never started")
	}
	for _, end := range e.ends {
		if slices.Contains(m.clientURLs, end.url) {
			return end.client.Status(ctx, end.url)
		}
	}
	return nil, fmt.Errorf("none of its client URLs %q is among the endpoints", m.clientURLs)
}

func (e *Etcd) alarms(ctx context.Context, s Status) ([]Alarm, error) {
	var resp *clientv3.AlarmResponse
	err := e.do(ctx, looking, func(ctx context.Context, c *clientv3.Client) (err error) {
		resp, err = c.AlarmList(ctx)
		return err
	})
	switch {
	case errors.Is(err, ErrNoQuorum):
		return nil, nil // the list is read through a majority; its lack is seen in Members
	case err != nil:
		return nil, fmt.Errorf("list the alarms of the store: %w", err)
	}
	var alarms []Alarm
	for _, a := range resp.Alarms {
		if a.Alarm != pb.AlarmType_NONE {
			alarms = append(alarms, Alarm{Member: s.nameOf(a.MemberID), Kind: a.Alarm.String()})
		}
	}
	return alarms, nil
}

// MoveLeader makes the member of that name the leader. It returns once the old
// leader has handed over; nothing is to be done if that one leads already.
func (e *Etcd) MoveLeader(ctx context.Context, to string) error {
	s, err := e.Status(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Name == to && !m.Learner })
	if i < 0 {
		return fmt.Errorf("make %s lead the store: no voting member is called so", to)
	}
	if s.Leader == to {
		return nil
	}
	from := slices.IndexFunc(s.Members, func(m Member) bool { return m.Name == s.Leader })
	if from < 0 {
		return fmt.Errorf("make %s lead the store: %w: nobody leads", to, ErrNoQuorum)
	}
	for _, end := range e.ends {
		if e.local || slices.Contains(s.Members[from].clientURLs, end.url) {
			if _, err := end.client.MoveLeader(ctx, s.Members[i].ID); err != nil {
				return fmt.Errorf("make %s lead the store instead of %s: %w", to, s.Leader, err)
			}
			return nil
		}
	}
	return fmt.Errorf("make %s lead the store: the present leader %s is none of the endpoints", to, s.Leader)
}
