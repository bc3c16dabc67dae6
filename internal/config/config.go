// Package config answers what a person wrote in baton.yaml, and whether it can
// be so.
//
// It reads files and changes nothing: neither on the host nor in a server.
// Secrets are read by Passwords alone and never become part of a Config. The
// rule that must not be broken: whatever is wrong is reported all at once, each
// with its line and with what to write instead, and a Config that Parse returns
// has no error left in it. Every key stands in one table (table*.go), from
// which the loader, `baton config show` and docs/configuration.md work.
package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/baton-db/baton/internal/core/cluster"
	"github.com/baton-db/baton/internal/core/detect"
)

// Config is one configuration file with every default filled in. Paths in one
// that Load returns are absolute. Treat it as read-only.
type Config struct {
	File string // as it was given to Load

	Node       cluster.NodeName `key:"node"`
	Cluster    string           `key:"cluster"`
	Profile    Profile          `key:"profile"`
	Mode       cluster.Mode     `key:"mode"`
	DataDir    string           `key:"data_dir"`
	RunDir     string           `key:"run_dir"`
	Nodes      []Node           `key:"nodes"`
	Store      Store            `key:"store"`
	PeerLink   PeerLink         `key:"peer"`
	TLS        TLS              `key:"tls"`
	Server     Server           `key:"server"`
	Addresses  []Address        `key:"addresses"`
	Readers    Readers          `key:"readers"`
	Endpoints  []Endpoint       `key:"endpoints"`
	Conns      Connections      `key:"connections"`
	Hooks      []Hook           `key:"hooks"`
	Notify     Notify           `key:"notify"`
	Durability Durability       `key:"durability"`
	Timing     Timing           `key:"timing"`
	Detection  Detection        `key:"detection"`
	Health     Health           `key:"health"`
	Preheat    Preheat          `key:"preheat"`
	Automation Automation       `key:"automation"`
	Rejoin     Rejoin           `key:"rejoin"`
	Sites      []string         `key:"sites"`
	Realtime   bool             `key:"realtime"`
	HTTP       HTTP             `key:"http"`
	DNS        DNS              `key:"dns"`
	Log        Log              `key:"log"`

	dir   string         // from which relative paths count
	lines map[string]int // of what the file says, by path
}

// Profile is a set of defaults for a kind of network.
type Profile string

// The profiles.
const (
	Fast     Profile = "fast"     // one quiet LAN: out for about a second
	Balanced Profile = "balanced" // one LAN
	WAN      Profile = "wan"      // nodes in several sites
)

// Node is one member as the file describes it.
type Node struct {
	Name    cluster.NodeName `key:"name"`
	Role    cluster.Role     `key:"role"`
	Address netip.Addr       `key:"address"`
	Site    string           `key:"site"`
	Prefer  int              `key:"prefer"`
	Never   bool             `key:"never"`
	// Server is the cluster's server: block with this node's own keys laid
	// over it; nil if it has none. Use Config.ServerOf.
	Server *Server `key:"server"`
}

// Store is where the record is kept: in members inside the agents, or in an
// etcd that runs already. Of an external one the first three are zero.
type Store struct {
	PeerPort  int           `key:"peer_port"`
	Heartbeat time.Duration `key:"heartbeat"`
	Election  time.Duration `key:"election"`
	Endpoints []string      `key:"endpoints"`
	TLS       TLS           `key:"tls"` // of the external store
}

// External reports whether the store is an etcd that is run by somebody else.
func (s Store) External() bool { return len(s.Endpoints) > 0 }

// PeerLink is how the agents reach each other directly.
type PeerLink struct {
	Port int `key:"port"`
}

// TLS names three files in PEM form.
type TLS struct {
	CA   string `key:"ca"`
	Cert string `key:"cert"`
	Key  string `key:"key"`
}

// The flavors of servers.
const (
	MariaDB = "mariadb"
	MySQL   = "mysql"
)

// Server is a database server as the agent beside it, and the others, reach it.
type Server struct {
	Flavor       string      `key:"flavor"`
	Version      string      `key:"version"`
	Port         int         `key:"port"`
	ExtraPort    int         `key:"extra_port"`
	Socket       string      `key:"socket"`
	User         string      `key:"user"`
	PasswordFile string      `key:"password_file"`
	Replication  Replication `key:"replication"`
	Probe        Account     `key:"probe"`
	Writer       Account     `key:"writer"`
	Start        []string    `key:"start"`
	Program      []string    `key:"program"`
	Binlog       string      `key:"binlog_program"`
	Stop         []string    `key:"stop"`
	DataDir      string      `key:"datadir"`
	KillHung     bool        `key:"kill_hung"`
	Business     Business    `key:"business"`
}

// Account is a database account whose password is in a file.
type Account struct {
	User         string `key:"user"`
	PasswordFile string `key:"password_file"`
}

// Replication is how replicas connect.
type Replication struct {
	User         string `key:"user"`
	PasswordFile string `key:"password_file"`
	TLS          bool   `key:"tls"`
	CA           string `key:"ca"`
}

// Business are the user's own statements, by which a server is judged.
type Business struct {
	Read  string `key:"read"`
	Write string `key:"write"`
}

// Address is a virtual address that leads clients to the primary, or readers to a replica.
type Address struct {
	Address   netip.Addr `key:"address"`
	Interface string     `key:"interface"`
	MAC       string     `key:"mac"` // empty, AutoMAC, or as it is written
}

// AutoMAC has Baton derive a link-layer address from the cluster's name and the address.
const AutoMAC = "auto"

// Durability says when a commit is answered.
type Durability struct {
	Mode  cluster.Durability  `key:"mode"`
	Acks  int                 `key:"acks"`
	Alone cluster.AlonePolicy `key:"alone"`

	BackFill time.Duration `key:"back_fill"`
}

// Timing are the numbers of the protocol.
type Timing struct {
	Lease        time.Duration `key:"lease"`
	Renew        time.Duration `key:"renew"`
	Call         time.Duration `key:"call"`
	Drift        float64       `key:"drift"`
	Margin       time.Duration `key:"margin"`
	Beat         time.Duration `key:"beat"`
	Hang         time.Duration `key:"hang"`
	Drain        time.Duration `key:"drain"`
	Handoff      time.Duration `key:"handoff"`
	PromoteStall time.Duration `key:"promote_stall"`
	AckLeave     time.Duration `key:"ack_leave"`
	PromiseWait  time.Duration `key:"promise_wait"`
}

// Detection says how often and how patiently nodes look at each other.
type Detection struct {
	Normal   time.Duration `key:"normal"`
	Suspect  time.Duration `key:"suspect"`
	Critical time.Duration `key:"critical"`
	Failures int           `key:"failures"`
	Recover  int           `key:"recover"`
	Timeout  Timeouts      `key:"timeout"`
	Track    []Track       `key:"track"`
}

// Timeouts are the deadlines of one probe, by layer.
type Timeouts struct {
	Host     time.Duration `key:"host"`
	Port     time.Duration `key:"port"`
	Server   time.Duration `key:"server"`
	Business time.Duration `key:"business"`
}

// Track is a network of the clients: a primary that loses it hands over.
type Track struct {
	Interface string     `key:"interface"`
	Gateway   netip.Addr `key:"gateway"`
}

// Automation bounds what happens without a person.
type Automation struct {
	CoolDown   time.Duration `key:"cool_down"`
	MaxPerHour int           `key:"max_per_hour"`
}

// Rejoin says how a node comes back whose server has transactions that the
// primary does not have.
type Rejoin struct {
	Acknowledged   cluster.RejoinMethod `key:"acknowledged"`
	Unacknowledged cluster.RejoinMethod `key:"unacknowledged"`
	Rate           Speed                `key:"rate"`
	KeepLog        Bytes                `key:"keep_log"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `key:"level"`
	Format string `key:"format"`
}

// Slog returns the level for package slog.
func (l Log) Slog() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// Self returns the node that this file is for.
func (c *Config) Self() Node {
	n, _ := c.NodeNamed(c.Node)
	return n
}

// NodeNamed returns the node of that name.
func (c *Config) NodeNamed(name cluster.NodeName) (Node, bool) {
	i := slices.IndexFunc(c.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return c.Nodes[i], true
}

// ServerOf returns the server of a node: the common block with the node's own
// keys laid over it. A witness has none; for it the result is the common block.
func (c *Config) ServerOf(name cluster.NodeName) Server {
	if n, ok := c.NodeNamed(name); ok && n.Server != nil {
		return *n.Server
	}
	return c.Server
}

// Socket is the unix socket on which the agent is administered.
func (c *Config) Socket() string { return filepath.Join(c.RunDir, c.Cluster+".sock") }

// StoreDir is where an embedded member of the store keeps its data.
func (c *Config) StoreDir() string { return filepath.Join(c.DataDir, c.Cluster, "store") }

// StateDir is where the agent keeps what it must remember over a restart.
func (c *Config) StateDir() string { return filepath.Join(c.DataDir, c.Cluster, "state") }

// LostDir is where transactions are written down that only this node's server has.
func (c *Config) LostDir() string { return filepath.Join(c.DataDir, "lost", c.Cluster) }

// Peer is the address of a node's embedded member of the store.
func (c *Config) Peer(n Node) netip.AddrPort {
	return netip.AddrPortFrom(n.Address, uint16(c.Store.PeerPort))
}

// Link is the address on which a node's agent answers the other agents.
func (c *Config) Link(n Node) netip.AddrPort {
	return netip.AddrPortFrom(n.Address, uint16(c.PeerLink.Port))
}

// HasLink reports whether the agents can reach each other directly: they need
// the cluster's own certificates for it, which an external store does without.
func (c *Config) HasLink() bool {
	_, said := c.lines["tls"]
	return said || !c.Store.External()
}

// Settings returns what the protocol runs with.
func (c *Config) Settings() cluster.Settings {
	s := cluster.Settings{
		Cluster: c.Cluster,
		Lease:   c.Timing.Lease, Renew: c.Timing.Renew, Call: c.Timing.Call, Drift: c.Timing.Drift, Margin: c.Timing.Margin,
		Beat: c.Timing.Beat, Hang: c.Timing.Hang, Drain: c.Timing.Drain, Handoff: c.Timing.Handoff,
		PromoteStall: c.Timing.PromoteStall, AckLeave: c.Timing.AckLeave, PromiseWait: c.Timing.PromiseWait,
		Durability: c.Durability.Mode, Acks: c.Durability.Acks, Alone: c.Durability.Alone, BackFill: c.Durability.BackFill,
		FailOverOn: c.Health.failOverOn(),
		CoolDown:   c.Automation.CoolDown, MaxPerHour: c.Automation.MaxPerHour,
		Rejoin: cluster.RejoinPolicy{Acknowledged: c.Rejoin.Acknowledged, Unacknowledged: c.Rejoin.Unacknowledged},
	}
	for _, n := range c.Nodes {
		s.Nodes = append(s.Nodes, cluster.Node{Name: n.Name, Role: n.Role, Site: n.Site, Prefer: n.Prefer, Never: n.Never})
	}
	cluster.SortNodes(s.Nodes)
	return s
}

// Limits returns the numbers that probes of servers are judged by.
func (c *Config) Limits() detect.Limits {
	d := c.Detection
	return detect.Limits{Normal: d.Normal, Suspect: d.Suspect, Critical: d.Critical, Failures: d.Failures, Recover: d.Recover, Hang: c.Timing.Hang}
}

// where is the line of path, or of the nearest block around it that the file
// has; 0 if there is none.
func (c *Config) where(path string) int {
	for path != "" {
		if line, ok := c.lines[path]; ok {
			return line
		}
		path = parent(path)
	}
	return 0
}

// parent of "nodes[1].server.port" is "nodes[1].server", and so on up to "".
func parent(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}

func at(list string, i int, key string) string {
	if key == "" {
		return fmt.Sprintf("%s[%d]", list, i)
	}
	return fmt.Sprintf("%s[%d].%s", list, i, key)
}
