package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/baton-db/baton/internal/lab/network"
	"github.com/baton-db/baton/internal/lab/process"
)

// A Road is one more way, beside the virtual addresses, on which clients of a lab come
// to its primary: what runs for it, what the agents are told of it, and where it leads
// as a client finds out. Adding one is adding a file, and a line in Roads.
type Road struct {
	Name string
	Help string

	// instead is the road whose place it takes, if that is not in the lab; all of them
	// are those without it.
	instead string
	apart   bool // it is not among all of them: not everybody can have what it needs
	needs   []need
	witness bool // part of it is on the witness's host
	router  bool // its clients are behind the router
	uplinks bool // the nodes, the witness's too, have a second card
	// links are the commands of ip(8) with which a host comes up; nil: none.
	links func(l *Lab, host string) []string
	// sysctls are settings of a host's kernel, such as a.b=1; nil: none.
	sysctls func(host string) []string
	// daemons run for it. The first is the one that agents speak with.
	daemons func(l *Lab) []daemon
	// endpoint is its entry of the agents' endpoints:, but for the name; nil: it has none.
	endpoint func(l *Lab) section
	// files are written before any agent starts; nil: none.
	files func(l *Lab) error
	// settings adds what else the agents' configuration has to have; nil: nothing.
	settings func(l *Lab, config section)
	// leads asks, as a client of it does, where it leads.
	leads asks
	// source asks the thing itself, where others stand between it and the clients; nil:
	// none do.
	source asks
	// meddle has it lead to that node, as a person might; nil: nobody could.
	meddle func(ctx context.Context, l *Lab, to string) error
}

// asks finds out to which node a road leads.
type asks func(ctx context.Context, l *Lab) (node string, err error)

// need is something that has to be installed.
type need struct {
	file string   // a program's name, or an absolute path
	dirs []string // where else a program may be
	// beside is the flavor of the server beside which a program may be; empty: none.
	beside string
	pack   string // Debian's package
}

// Roads are all roads there are.
func Roads() []Road {
	return []Road{
		dnsRoad(), zoneRoad(),
		haproxyRoad(), checksRoad(), nginxRoad(), mysqlRouterRoad(),
		zookeeperRoad(), webhookRoad(), templateRoad(),
		frrRoad(), bgpRoad(), routeRoad(), keepalivedRoad(),
	}
}

// RoadNames are the names of all.
func RoadNames() []string {
	var names []string
	for _, r := range Roads() {
		names = append(names, r.Name)
	}
	return names
}

// EveryRoad is what stands for all of them, but for those that have to be asked for by
// name.
const EveryRoad = "all"

// ByNameOnly reports whether the road is not among all of them.
func (r Road) ByNameOnly() bool { return r.instead != "" || r.apart }

// roadsOf are the roads of that name.
func roadsOf(names []string) ([]Road, error) {
	all := Roads()
	if slices.Contains(names, EveryRoad) {
		return slices.DeleteFunc(all, Road.ByNameOnly), nil
	}
	var found []Road
	for _, name := range names {
		i := slices.IndexFunc(all, func(r Road) bool { return r.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no road is called %q; there are %s, and %s for all of them", name, strings.Join(RoadNames(), ", "), EveryRoad)
		}
		if !slices.ContainsFunc(found, func(r Road) bool { return r.Name == name }) {
			found = append(found, all[i])
		}
	}
	return found, exclusive(found)
}

// withRoads gives a lab what its roads need of it.
func (o Options) withRoads() (Options, error) {
	roads, err := roadsOf(o.Roads)
	if err != nil || len(roads) == 0 {
		return o, err
	}
	if o.Manager != "" && o.Manager != ByBaton {
		return o, fmt.Errorf("nobody but %s leads roads: leave them out with %s", ByBaton, o.Manager)
	}
	if o.ClientNet {
		return o, errors.New("roads do not go with a network of the clients' own")
	}
	o.Roads = nil
	for _, r := range roads {
		o.Roads = append(o.Roads, r.Name)
		o.Witness = o.Witness || r.witness
		o.Routed = o.Routed || r.router
	}
	return o, nil
}

// TheRoads are those that this lab has.
func (l *Lab) TheRoads() []Road {
	roads, err := roadsOf(l.Roads)
	if err != nil {
		panic(err) // refused before it was built
	}
	return roads
}

// has reports whether the lab has a road that is such.
func (l *Lab) has(such func(Road) bool) bool { return slices.ContainsFunc(l.TheRoads(), such) }

// Endpoint is what `baton status` calls it; empty if it is no entry of endpoints:.
func (r Road) Endpoint() string {
	if r.endpoint == nil {
		return ""
	}
	return r.Name
}

// CanBeMeddledWith reports whether a person could lead it elsewhere by hand.
func (r Road) CanBeMeddledWith() bool { return r.meddle != nil }

// lacks is what this machine lacks for it.
func (r Road) lacks() []error {
	var lacks []error
	for _, n := range r.needs {
		if _, err := n.find(); err != nil {
			lacks = append(lacks, fmt.Errorf("the road %s needs %s: install the package %s", r.Name, n.file, n.pack))
		}
	}
	return lacks
}

// servicesName is the host on which what belongs to no node runs.
const servicesName = "sv"

// The loopback addresses that routes lead to.
func loopbacks() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("10.99.0.50"), netip.MustParseAddr("fd99::50")}
}

// roadHosts are the hosts that roads add.
func (l *Lab) roadHosts() []network.Host {
	if len(l.Roads) == 0 {
		return nil
	}
	return []network.Host{{Name: servicesName, Number: 40}}
}

// uplinks reports whether nodes have a second card for a road's sake.
func (l *Lab) uplinks() bool { return l.has(func(r Road) bool { return r.uplinks }) }

// addHost makes a host and gives it what roads need of it.
func (l *Lab) addHost(ctx context.Context, h network.Host) error {
	if err := l.net.AddHost(ctx, h); err != nil {
		return err
	}
	for _, r := range l.TheRoads() {
		var err error
		if r.links != nil {
			err = l.net.IP(ctx, h.Name, r.links(l, h.Name)...)
		}
		if r.sysctls != nil && err == nil {
			err = l.net.Sysctl(ctx, h.Name, r.sysctls(h.Name)...)
		}
		if err != nil {
			return fmt.Errorf("the road %s: %w", r.Name, err)
		}
	}
	return nil
}

// configureRoads adds what the agents have to know to their configuration.
func (l *Lab) configureRoads(config section) {
	all, _ := config["endpoints"].([]section)
	addresses, _ := config["addresses"].([]section)
	if l.has(func(r Road) bool { return r.router || r.uplinks }) {
		for _, a := range loopbacks() {
			addresses = append(addresses, section{"address": a.String(), "interface": "lo"})
		}
	}
	for _, r := range l.TheRoads() {
		if r.endpoint != nil {
			e := r.endpoint(l)
			e["name"], e["check"] = r.Name, "1s"
			all = append(all, e)
		}
		if r.settings != nil {
			r.settings(l, config)
		}
	}
	config["endpoints"], config["addresses"] = all, addresses
}

// writeRoadFiles writes what agents read that have roads.
func (l *Lab) writeRoadFiles() error {
	for _, r := range l.TheRoads() {
		if r.files == nil {
			continue
		}
		if err := r.files(l); err != nil {
			return fmt.Errorf("the road %s: %w", r.Name, err)
		}
	}
	return nil
}

// askRoad is how long a client waits for what it wants to know.
const askRoad = 2 * time.Second

// Leads asks where a road leads, as a client of it does.
func (l *Lab) Leads(ctx context.Context, r Road) (node string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askRoad)
	defer cancel()
	return r.leads(ctx, l)
}

// WaitRoads waits until clients on every one of these roads are led to a node.
func (l *Lab) WaitRoads(ctx context.Context, roads []Road, to string) error {
	ctx, cancel := context.WithTimeout(ctx, steadyLimit)
	defer cancel()
	var g errgroup.Group
	for _, r := range roads {
		g.Go(func() error {
			return until(ctx, fmt.Sprintf("the road %s leads to %s", r.Name, to), func(ctx context.Context) error {
				node, err := l.Leads(ctx, r)
				if err == nil && node != to {
					err = fmt.Errorf("it leads to %s", node)
				}
				return err
			})
		})
	}
	return g.Wait()
}

// Meddle leads a road to a node by hand, behind the agents' backs.
func (l *Lab) Meddle(ctx context.Context, r Road, to string) error {
	if r.meddle == nil {
		return fmt.Errorf("nobody can lead the road %s elsewhere by hand", r.Name)
	}
	if err := r.meddle(ctx, l, to); err != nil {
		return fmt.Errorf("meddle with the road %s: %w", r.Name, err)
	}
	return nil
}

// RoadServer is the process that the agents speak with.
func (l *Lab) RoadServer(r Road) (process.Process, error) {
	if r.daemons == nil || len(r.daemons(l)) == 0 {
		return process.Process{}, fmt.Errorf("nothing runs for the road %s", r.Name)
	}
	name := r.daemons(l)[0].recorded()
	p, ok := process.Recorded(l.Dir, name)
	if !ok || !p.Alive() {
		return p, fmt.Errorf("%s does not run", name)
	}
	return p, nil
}

// nodeAt is the data node that has an address.
func (l *Lab) nodeAt(a netip.Addr) (string, error) {
	for _, n := range l.DataNodes() {
		h, err := l.host(n)
		if err != nil {
			return "", err
		}
		if a == h.IPv4() || a == h.IPv6() {
			return n, nil
		}
	}
	return "", fmt.Errorf("%s is no data node's address", a)
}
