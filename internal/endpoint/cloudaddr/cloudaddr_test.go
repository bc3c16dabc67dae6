package cloudaddr_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/endpoint"
	"github.com/baton-db/baton/internal/endpoint/cloudaddr"
	"github.com/baton-db/baton/internal/endpoint/cloudapi"
	"github.com/baton-db/baton/internal/endpoint/cloudapi/cloudtest"
	"github.com/baton-db/baton/internal/endpoint/endpointtest"
)

// kind is one kind of address with its cloud.
type kind struct {
	start func(*testing.T, *world) *cloudtest.Server
	open  func(at, secret string) cloudaddr.Address
	// db1, db2 and nobody are the IDs that are configured, and one that is not.
	db1, db2, nobody string
	parts            int
	moves            string // the action that needs its own permission
	fault            func(code string) cloudtest.Answer
	denied           string // the code of a permission that is missing
	throttled        string
}

const pause = time.Millisecond

func ec2Code(code string) cloudtest.Answer { return ec2Fault(400, code, "as documented") }

func kinds() map[string]kind {
	aws := func(at, secret string) cloudapi.AWS {
		return cloudapi.AWS{Access: access(at, secret), Region: "eu-central-1"}
	}
	ali := func(at, secret string) cloudapi.Aliyun {
		return cloudapi.Aliyun{Access: access(at, secret), Region: "cn-hangzhou"}
	}
	onAWS := kind{start: ec2, db1: db1I, db2: db2I, nobody: nobodyI, parts: 1, fault: ec2Code, denied: "UnauthorizedOperation", throttled: "RequestLimitExceeded"}
	eip, second, route := onAWS, onAWS, onAWS
	eip.moves = "ec2:AssociateAddress"
	eip.open = func(at, secret string) cloudaddr.Address {
		return &cloudaddr.ElasticIP{AWS: aws(at, secret), Allocation: allocation}
	}
	second.db1, second.db2, second.nobody, second.moves = db1E, db2E, nobodyE, "ec2:AssignPrivateIpAddresses"
	second.open = func(at, secret string) cloudaddr.Address {
		return &cloudaddr.SecondaryIP{AWS: aws(at, secret), Address: netip.MustParseAddr(private), Nodes: []string{db1E, db2E}}
	}
	route.db1, route.db2, route.nobody, route.parts, route.moves = db1E, db2E, nobodyE, 2, "ec2:ReplaceRoute"
	route.open = func(at, secret string) cloudaddr.Address {
		return &cloudaddr.Route{AWS: aws(at, secret), Destination: netip.MustParsePrefix(addressV4), Tables: tables}
	}
	onAliyun := kind{start: aliyun, db1: db1I, db2: db2I, nobody: nobodyI, parts: 1, denied: "Forbidden.RAM", throttled: "Throttling.User",
		fault: func(code string) cloudtest.Answer { return aliyunFault(400, code, "as documented") }}
	elastic, havip := onAliyun, onAliyun
	elastic.moves = "vpc:UnassociateEipAddress"
	elastic.open = func(at, secret string) cloudaddr.Address {
		return &cloudaddr.AliyunEIP{Aliyun: ali(at, secret), Allocation: "eip-1", Pause: pause}
	}
	havip.moves = "vpc:AssociateHaVip"
	havip.open = func(at, secret string) cloudaddr.Address {
		return &cloudaddr.AliyunHAVIP{Aliyun: ali(at, secret), ID: "havip-1", Pause: pause}
	}
	return map[string]kind{"aws_eip": eip, "aws_secondary_ip": second, "aws_route": route, "aliyun_eip": elastic, "aliyun_havip": havip}
}

// stage is an address in its cloud.
type stage struct {
	kind
	*cloudtest.Server
	world *world
}

func newStage(t *testing.T, k kind) *stage {
	s := &stage{kind: k, world: &world{}}
	if k.parts > 1 {
		s.world.at = make([]string, k.parts)
	}
	s.Server = k.start(t, s.world)
	return s
}

func (s *stage) endpoint() *cloudaddr.Endpoint { return s.openWith(cloudtest.Secret) }

func (s *stage) openWith(secret string) *cloudaddr.Endpoint {
	return cloudaddr.Open("address", s.open(s.URL, secret), map[cluster.NodeName]string{"db1": s.db1, "db2": s.db2})
}

// lies has every part with one of those that have it.
func (s *stage) lies(at ...string) {
	s.Change(func() {
		if s.parts == 1 {
			s.world.at = at
			return
		}
		for i := range s.world.at {
			s.world.at[i] = at[min(i, len(at)-1)]
		}
	})
}

func to(node cluster.NodeName, epoch cluster.Epoch) endpoint.Target {
	return endpoint.Target{Epoch: epoch, Node: node}
}

func each(t *testing.T, do func(t *testing.T, s *stage)) {
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) { do(t, newStage(t, k)) })
	}
}

func TestAnAddressBehavesAsAnEndpoint(t *testing.T) {
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) {
			endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
				s := newStage(t, k)
				return endpointtest.Subject{
					Endpoint: s.endpoint(), Again: func() endpoint.Endpoint { return s.endpoint() },
					Here: to("db1", 0), There: to("db2", 0),
					Meddle:  func(context.Context) error { s.lies(s.db2); return nil },
					Silence: s.Silence,
				}
			})
		})
	}
}

// goesTo has an address go to a node.
func goesTo(t *testing.T, e *cloudaddr.Endpoint, node cluster.NodeName) {
	t.Helper()
	if err := e.Set(t.Context(), to(node, 7)); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Observe(t.Context()); err != nil || got.Node != node {
		t.Errorf("it leads to %s, %v", got, err)
	}
}

func TestAnAddressThatIsRightIsNotTouched(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		s.lies(s.db1)
		if err := s.endpoint().Set(t.Context(), to("db1", 7)); err != nil || s.world.changes != 0 {
			t.Errorf("%d changes, %v", s.world.changes, err)
		}
	})
}

func TestAnAddressThatNobodyHasLeadsNowhereAndIsGiven(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		if s.parts > 1 {
			s.lies("")
		}
		e := s.endpoint()
		got, err := e.Observe(t.Context())
		if name, second := s.open("", "").(*cloudaddr.SecondaryIP); second {
			if !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), name.Address.String()+" belongs to eni-0elsewhere in vpc-1, which is no node's") {
				t.Errorf("it leads to %s, %v", got, err)
			}
		} else if err != nil || got.Node != "" {
			t.Errorf("it leads to %s, %v", got, err)
		}
		goesTo(t, e, "db2")
	})
}

func TestAnAddressThatNoNodeHasIsTaken(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		s.lies(s.nobody)
		e := s.endpoint()
		if got, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), s.nobody) {
			t.Errorf("it leads to %s, %v", got, err)
		}
		goesTo(t, e, "db1")
	})
}

func TestANodeOfWhichNoInstanceIsNamedIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		s.lies(s.db1)
		if err := s.endpoint().Set(t.Context(), to("db3", 7)); err == nil || !strings.Contains(err.Error(), "names no instance or interface") {
			t.Errorf("got %v", err)
		}
		if asked := s.Asked(); len(asked) != 0 {
			t.Errorf("%v was asked", asked)
		}
	})
}

func TestWhatGoesWrongIsSaidInPlainWords(t *testing.T) {
	each(t, func(t *testing.T, s *stage) {
		s.lies(s.db1)
		// Looking is allowed, moving is not.
		s.Instead(func(action string) *cloudtest.Answer {
			if strings.HasPrefix(action, "Describe") {
				return nil
			}
			a := s.fault(s.denied)
			return &a
		})
		if err := s.endpoint().Set(t.Context(), to("db2", 7)); err == nil || !strings.Contains(err.Error(), "lack the permission "+s.moves) {
			t.Errorf("denied: %v", err)
		}
		for code, says := range map[string]string{s.throttled: "wants fewer requests", "InternalError": "has trouble of its own", "InvalidThing.NotFound": "has no such thing"} {
			a := s.fault(code)
			s.Instead(func(string) *cloudtest.Answer { return &a })
			_, look := s.endpoint().Observe(t.Context())
			for what, err := range map[string]error{"look": look, "set": s.endpoint().Set(t.Context(), to("db2", 7))} {
				if err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, endpoint.ErrForeign) {
					t.Errorf("%s, %s: %v", code, what, err)
				}
			}
		}
		s.Instead(nil)
		if err := s.openWith("wr0ng").Set(t.Context(), to("db2", 7)); err == nil || !strings.Contains(err.Error(), "does not know these keys") || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("a wrong secret: %v", err)
		}
		if s.world.changes != 0 {
			t.Errorf("%d changes", s.world.changes)
		}
	})
}

func TestWhatIsNotThereIsNamed(t *testing.T) {
	s := newStage(t, kinds()["aws_route"])
	for name, tt := range map[string]struct {
		address cloudaddr.Address
		says    string
	}{
		"an elastic IP of AWS":  {&cloudaddr.ElasticIP{AWS: cloudapi.AWS{Access: access(s.URL, cloudtest.Secret), Region: "eu-central-1"}, Allocation: "eipalloc-9"}, "'eipalloc-9' does not exist"},
		"a route table":         {&cloudaddr.Route{AWS: cloudapi.AWS{Access: access(s.URL, cloudtest.Secret), Region: "eu-central-1"}, Destination: netip.MustParsePrefix(addressV4), Tables: []string{"rtb-1", "rtb-9"}}, "there is no route table rtb-9"},
		"an elastic IP of ours": {&cloudaddr.AliyunEIP{Aliyun: cloudapi.Aliyun{Access: access(aliyun(t, &world{}).URL, cloudtest.Secret), Region: "cn-hangzhou"}, Allocation: "eip-9"}, "there is no elastic IP eip-9"},
		"a HAVIP":               {&cloudaddr.AliyunHAVIP{Aliyun: cloudapi.Aliyun{Access: access(aliyun(t, &world{}).URL, cloudtest.Secret), Region: "cn-hangzhou"}, ID: "havip-9"}, "there is no HAVIP havip-9"},
		"a HAVIP of Tencent's":  {&cloudaddr.TencentHAVIP{Tencent: cloudapi.Tencent{Access: access(tencent(t, &world{}).URL, cloudtest.Secret), Region: "ap-guangzhou"}, ID: "havip-9"}, "Tencent Cloud has no such thing"},
	} {
		if _, err := tt.address.Holders(t.Context()); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTablesThatDifferAreSeenAndAllPutRight(t *testing.T) {
	s := newStage(t, kinds()["aws_route"])
	s.lies(db1E, "")
	e := s.endpoint()
	if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) ||
		!strings.Contains(err.Error(), "the route 10.99.0.1/32 in rtb-1 leads to db1, the route 10.99.0.1/32 in rtb-2 leads to nowhere") {
		t.Errorf("got %v", err)
	}
	if err := e.Set(t.Context(), to("db1", 7)); err != nil || !slices.Equal(s.world.at, []string{db1E, db1E}) || s.world.changes != 1 {
		t.Errorf("the tables lead to %v after %d changes, %v", s.world.at, s.world.changes, err)
	}
	s.Change(func() { s.world.black = true })
	if got, err := e.Observe(t.Context()); err == nil || errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "is a black hole") {
		t.Errorf("it leads to %s, %v", got, err)
	}
}

// A table that refuses does not keep the other from being set.
func TestOneTableThatRefusesDoesNotKeepTheOther(t *testing.T) {
	s := newStage(t, kinds()["aws_route"])
	s.lies(db1E)
	first := true
	s.Instead(func(action string) *cloudtest.Answer {
		if action == "ReplaceRoute" && first {
			first = false
			a := s.fault("InternalError")
			return &a
		}
		return nil
	})
	e := s.endpoint()
	if err := e.Set(t.Context(), to("db2", 7)); err == nil || !strings.Contains(err.Error(), "rtb-1: ec2:ReplaceRoute: AWS has trouble of its own") || strings.Contains(err.Error(), "rtb-2") {
		t.Errorf("got %v", err)
	}
	if err := e.Set(t.Context(), to("db2", 7)); err != nil || !slices.Equal(s.world.at, []string{db2E, db2E}) {
		t.Errorf("the tables lead to %v, %v", s.world.at, err)
	}
}

func TestAnOrderThatIsUnderWayIsWaitedFor(t *testing.T) {
	for _, name := range []string{"aliyun_eip", "aliyun_havip"} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, kinds()[name])
			s.lies(db1I)
			s.Change(func() { s.world.begin("Unassociating", func() { s.world.at = nil }) })
			e := s.endpoint()
			if got, err := e.Observe(t.Context()); err == nil || errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "is Unassociating") {
				t.Errorf("it leads to %s, %v", got, err)
			}
			goesTo(t, e, "db2")
		})
	}
}

func TestAHAVIPIsThePrimarysAlone(t *testing.T) {
	for name, at := range map[string][]string{"both nodes": {db1I, db2I}, "two others": {nobodyI, db1I}} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, kinds()["aliyun_havip"])
			s.lies(at...)
			e := s.endpoint()
			if _, err := e.Observe(t.Context()); !errors.Is(err, endpoint.ErrForeign) || !strings.Contains(err.Error(), "whoever announces it gets the packets") {
				t.Errorf("got %v", err)
			}
			if err := e.Set(t.Context(), to("db2", 7)); err != nil || !slices.Equal(s.world.at, []string{db2I}) {
				t.Errorf("it is associated with %v, %v", s.world.at, err)
			}
		})
	}
}

// onTencent is a HAVIP of Tencent's together with the virtual address that announces
// it: who is led there by the agent announces it, as package vip does.
type onTencent struct {
	*cloudaddr.Endpoint
	s *stage
}

func (o onTencent) Set(ctx context.Context, target endpoint.Target) error {
	if ctx.Err() == nil && target.Epoch != 6 { // the old reign of the suite announces nothing any more
		o.s.Change(func() {
			id := map[cluster.NodeName]string{"db1": db1I, "db2": db2I}[target.Node]
			o.s.world.waiting, o.s.world.order = 2, func() {
				if !o.s.world.checks || slices.Contains(o.s.world.member, id) {
					o.s.world.at = []string{id}
				}
			}
		})
	}
	return o.Endpoint.Set(ctx, target)
}

func tencentStage(t *testing.T) *stage {
	return newStage(t, kind{start: tencent, db1: db1I, db2: db2I, nobody: nobodyI, parts: 1, open: func(at, secret string) cloudaddr.Address {
		return &cloudaddr.TencentHAVIP{Tencent: cloudapi.Tencent{Access: access(at, secret), Region: "ap-guangzhou"}, ID: "havip-1", Pause: pause}
	}})
}

func TestAnAnnouncedHAVIPBehavesAsAnEndpoint(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) endpointtest.Subject {
		s := tencentStage(t)
		again := func() endpoint.Endpoint { return onTencent{s.endpoint(), s} }
		return endpointtest.Subject{Endpoint: again(), Again: again, Here: to("db1", 0), There: to("db2", 0),
			Meddle: func(context.Context) error { s.lies(db2I); return nil }, Silence: s.Silence}
	})
}

func TestAPrimaryMayHaveTheHAVIPBeforeItIsWaitedFor(t *testing.T) {
	s := tencentStage(t)
	s.lies(db1I)
	s.Change(func() { s.world.checks, s.world.member = true, []string{db1I} })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Instead(func(action string) *cloudtest.Answer {
		if action == "DescribeHaVips" && len(s.world.member) > 1 {
			cancel() // it looks again, and nobody announces
		}
		return nil
	})
	if err := s.endpoint().Set(ctx, to("db2", 7)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.Change(func() {
		if !slices.Equal(s.world.member, []string{db1I, db2I}) || !slices.Equal(s.world.at, []string{db1I}) {
			t.Errorf("it may be at %v and is at %v", s.world.member, s.world.at)
		}
	})
}
