// Package lab answers whether the real thing holds: it builds hosts from
// network namespaces, starts a real database server and a real agent on each,
// drives real clients, breaks things by name, and judges what the clients saw.
//
// It never touches the machine's own network, nor a process that it did not
// start. The one rule: whatever a lab has made is found again by another
// invocation and taken away by Down, also after a failure or a kill in the
// middle of Up.
package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/db/flavor"
	"github.com/baton-db/baton/internal/lab/network"
)

// Who moves the primary in a lab.
const (
	ByBaton      = "baton"
	ByKeepalived = "keepalived" // the yardstick
	ByNobody     = "nobody"     // servers and hosts only
)

// Options describe a lab. Zero values mean the defaults given.
type Options struct {
	Name    string `json:"name"`    // "lab"; part of the names of its namespaces
	Dir     string `json:"dir"`     // /var/lib/baton-lab/<name>
	Binary  string `json:"binary"`  // the baton to run; this process's own executable
	Profile string `json:"profile"` // "fast"
	Flavor  string `json:"flavor"`  // of the servers; "mariadb"
	Program string `json:"program"` // the servers'; found on this machine
	Manager string `json:"manager"` // ByBaton
	Servers int    `json:"servers"` // data nodes, 2 or 3; 3, with a witness 2
	Witness bool   `json:"witness"` // with w1
	Store   string `json:"store"`   // StoreEmbedded
	Routed  bool   `json:"routed"`  // with a client rc behind a router rt
	// ClientNet gives the clients a network of their own, which neither the store
	// nor replication uses, behind eth1 of the nodes. They track it.
	ClientNet bool `json:"client_net"`
	// Disks gives every server a disk of its own, a file system on a loop device.
	Disks bool `json:"disks"`
	Async bool `json:"async"` // commits wait for nobody (durability.mode: async)
	// BackFill is durability.back_fill, where commits wait for nobody; empty: as it is
	// by default.
	BackFill string `json:"back_fill"`
	// Roads are the names of more ways to the primary, beside the virtual addresses.
	Roads []string `json:"roads,omitempty"`
	// Readers gives the lab virtual addresses for readers, which are on replicas.
	Readers bool `json:"readers,omitempty"`
	// VirtualMAC gives the virtual addresses link-layer addresses that move with them.
	VirtualMAC bool `json:"virtual_mac,omitempty"`
	// Endpoints are more entries of the agents' endpoints:, for servers that whoever
	// builds the lab brings.
	Endpoints []map[string]any `json:"endpoints,omitempty"`

	Rewind  bool `json:"rewind"`  // a diverged server is rewound if no client was told (rejoin.unacknowledged: rewind)
	Adopt   bool `json:"adopt"`   // set replication up by hand first, and let Baton take it over
	Observe bool `json:"observe"` // the same, with agents that only observe
}

// Where the record of a lab is kept.
const (
	StoreEmbedded = "embedded" // in the agents
	StoreExternal = "external" // by etcd's own server, on three hosts of its own
)

// BaseDir is where labs live unless they are told otherwise.
const BaseDir = "/var/lib/baton-lab"

var nameForm = regexp.MustCompile(`^[a-z0-9]{1,12}$`)

// withDefaults fills in what is not given and refuses what cannot be.
func (o Options) withDefaults() (Options, error) {
	or := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	or(&o.Name, "lab")
	or(&o.Profile, "fast")
	or(&o.Manager, ByBaton)
	or(&o.Flavor, config.MariaDB)
	or(&o.Store, StoreEmbedded)
	var err error
	if o, err = o.withRoads(); err != nil {
		return o, err
	}
	if o.Servers == 0 {
		o.Servers = len(dataNodes)
		if o.Witness {
			o.Servers = 2
		}
	}
	or(&o.Dir, filepath.Join(BaseDir, o.Name))
	if o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find this program's own file: %w", err)
		}
		o.Binary = self
	}
	if !nameForm.MatchString(o.Name) {
		return o, fmt.Errorf("lab name %q: use one to twelve of a-z and 0-9, it becomes part of namespace names", o.Name)
	}
	if _, err := flavor.Of(o.Flavor); err != nil {
		return o, err
	}
	if !slices.Contains([]string{ByBaton, ByKeepalived, ByNobody}, o.Manager) {
		return o, fmt.Errorf("manager %q: use %s, %s or %s", o.Manager, ByBaton, ByKeepalived, ByNobody)
	}
	if !slices.Contains([]string{"fast", "balanced", "wan"}, o.Profile) {
		return o, fmt.Errorf("profile %q: use fast, balanced or wan", o.Profile)
	}
	if o.Servers < 2 || o.Servers > len(dataNodes) {
		return o, fmt.Errorf("%d servers: use 2 or %d", o.Servers, len(dataNodes))
	}
	if !slices.Contains([]string{StoreEmbedded, StoreExternal}, o.Store) {
		return o, fmt.Errorf("store %q: use %s or %s", o.Store, StoreEmbedded, StoreExternal)
	}
	if o.Manager == ByBaton && o.Servers == 2 && !o.Witness {
		return o, errors.New("two nodes have no majority when one is lost: add the witness")
	}
	if o.Manager != ByBaton && (o.Readers || o.VirtualMAC) {
		return o, fmt.Errorf("nobody but %s moves addresses for readers, or with a link-layer address of their own: leave them out with %s", ByBaton, o.Manager)
	}
	if o.ClientNet && (o.Routed || o.Manager == ByKeepalived) {
		return o, errors.New("a network of the clients' own goes neither with a router nor with keepalived")
	}
	if o.Manager == ByKeepalived && o.Flavor != config.MariaDB {
		return o, fmt.Errorf("keepalived, the yardstick, moves servers of flavor %s only, not %s", config.MariaDB, o.Flavor)
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return o, fmt.Errorf("lab directory %s: %w", o.Dir, err)
	}
	if o.Binary, err = filepath.Abs(o.Binary); err != nil {
		return o, fmt.Errorf("baton binary %s: %w", o.Binary, err)
	}
	// sun_path holds 107 bytes, and the sockets lie below this.
	if len(o.Dir) > 60 {
		return o, fmt.Errorf("lab directory %s: unix sockets below it would have too long a path; use one of at most 60 bytes", o.Dir)
	}
	return o, nil
}

// A Lab is one set of hosts, up or on its way.
type Lab struct {
	Options
	Secrets Secrets `json:"secrets"`
	// Modes are those of nodes whose agent was given another one since Up.
	Modes map[string]cluster.Mode `json:"modes,omitempty"`

	net network.Network
}

// Secrets are the passwords of a lab's accounts, made anew for each.
type Secrets struct {
	Agent       string `json:"agent"`
	Replication string `json:"replication"`
	Probe       string `json:"probe"`
	App         string `json:"app"`
}

// dataNodes are as many as a lab can have.
var dataNodes = [...]string{"db1", "db2", "db3"}

// gatewayName is the host that is the gateway of the clients' own network.
const gatewayName = "gw"

// witnessName is the host of the witness, if there is one.
const witnessName = "w1"

// The names that the lab's cluster, accounts and port have.
const (
	clusterName = "shop"
	appUser     = "app"
	Port        = 3306
	PeerPort    = 7480
	LinkPort    = 7481
	HTTPPort    = 7482 // where the agents answer load balancers
)

// Addresses are the virtual addresses that clients connect to.
func (l *Lab) Addresses() []netip.Addr {
	if l.ClientNet {
		return []netip.Addr{netip.MustParseAddr("10.77.2.50"), netip.MustParseAddr("fd77:2::50")}
	}
	return []netip.Addr{netip.MustParseAddr("10.77.0.50"), netip.MustParseAddr("fd77::50")}
}

// clientAddresses are host:port of every virtual address.
func (l *Lab) clientAddresses() []string {
	var all []string
	for _, a := range l.Addresses() {
		all = append(all, net.JoinHostPort(a.String(), strconv.Itoa(Port)))
	}
	return all
}

// DataNodes are the hosts with a database server, in order.
func (l *Lab) DataNodes() []string { return slices.Clone(dataNodes[:l.Servers]) }

// Nodes are all hosts with an agent, in order.
func (l *Lab) Nodes() []string {
	if l.Witness {
		return append(l.DataNodes(), witnessName)
	}
	return l.DataNodes()
}

// Clients are the hosts that clients run on.
func (l *Lab) Clients() []string {
	if l.Routed {
		return []string{"cl", "cl2", "rc"}
	}
	return []string{"cl", "cl2"}
}

// hosts are all machines in the order in which they are plugged in.
func (l *Lab) hosts() []network.Host {
	clients := 0
	if l.ClientNet {
		clients = network.ClientNet
	}
	hosts := []network.Host{{Name: "cl", Number: 100, Network: clients}, {Name: "cl2", Number: 101, Network: clients}}
	if l.ClientNet {
		hosts = append(hosts, network.Host{Name: gatewayName, Number: 1, Network: clients})
	}
	for i, n := range l.DataNodes() {
		hosts = append(hosts, network.Host{Name: n, Number: 11 + i, Second: l.ClientNet || l.uplinks()})
	}
	for i, n := range l.StoreHosts() {
		hosts = append(hosts, network.Host{Name: n, Number: 31 + i})
	}
	if l.Witness {
		hosts = append(hosts, network.Host{Name: witnessName, Number: 20, Router: l.uplinks(), Second: l.uplinks()})
	}
	if l.Routed {
		hosts = append(hosts, network.Host{Name: routerName, Number: 1, Router: true}, network.Host{Name: "rc", Number: 100, Network: 1})
	}
	return append(hosts, l.roadHosts()...)
}

// host returns a machine by name.
func (l *Lab) host(name string) (network.Host, error) {
	hosts := l.hosts()
	i := slices.IndexFunc(hosts, func(h network.Host) bool { return h.Name == name })
	if i < 0 {
		var names []string
		for _, h := range hosts {
			names = append(names, h.Name)
		}
		return network.Host{}, fmt.Errorf("this lab has no host %q; it has %v", name, names)
	}
	return hosts[i], nil
}

// address is a host's own IPv4 address.
func (l *Lab) address(name string) string {
	h, err := l.host(name)
	if err != nil {
		panic(err) // names come from this package
	}
	return h.IPv4().String()
}

// nodeOf returns the data node that has a server_id.
func (l *Lab) nodeOf(serverID uint32) string {
	for _, n := range l.DataNodes() {
		if l.serverID(n) == serverID {
			return n
		}
	}
	return fmt.Sprintf("server %d", serverID)
}

// path is a file or directory of the lab, or of one of its hosts.
func (l *Lab) path(elements ...string) string {
	return filepath.Join(append([]string{l.Dir}, elements...)...)
}

// stateFile is what makes a directory a lab's.
const stateFile = "lab.json"

// save writes the state, so that other invocations find the lab.
func (l *Lab) save() error {
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("save the lab's state: %w", err)
	}
	return writeFile(l.path(stateFile), b, 0o600)
}

// ErrNoLab says that there is no lab at that place.
var ErrNoLab = errors.New("no lab is up")

// Open finds a lab that another invocation has built. Of the options, only the
// name and the directory matter.
func Open(o Options) (*Lab, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(o.Dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s; `baton lab up` makes one", ErrNoLab, o.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the lab's state: %w", err)
	}
	l := new(Lab)
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("read the lab's state in %s: %w", o.Dir, err)
	}
	l.net = network.Network{Prefix: "baton-" + l.Name + "-"}
	return l, nil
}

// lock keeps other invocations from changing the lab meanwhile.
func (l *Lab) lock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(l.path(name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the lab: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the lab: %w", err)
	}
	return func() { f.Close() }, nil
}

// writeFile replaces a file in one step.
func writeFile(path string, b []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
