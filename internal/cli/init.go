package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
)

func newInitCommand(e *env) *cobra.Command {
	var p plan
	var nodes, witnesses, addresses []string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the configuration, the certificates and the SQL of a new cluster",
		Long: `Makes a directory with, for every node, what belongs into its /etc/baton: the
configuration, passwords, and a certificate of the cluster's own authority; and
beside them the SQL for the database accounts. Nothing else is touched: no
server is asked, nothing is installed.

The key of the authority (ca.key) is needed again only to add a node. Keep it
somewhere safe, and not on the nodes.`,
		Example: `  baton init --cluster shop --data db1=10.77.0.11 --data db2=10.77.0.12 \
    --witness w1=10.77.0.20 --address 10.77.0.50@eth0
  baton init --cluster shop --profile fast --data db1=10.0.0.1@paris \
    --data db2=10.0.0.2@paris --data db3=10.0.1.1@lyon`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := p.read(nodes, witnesses, addresses); err != nil {
				return err
			}
			return e.init(p)
		},
	}
	cmd.Flags().StringVar(&p.cluster, "cluster", "", "`name` of the cluster (needed)")
	cmd.Flags().StringArrayVar(&nodes, "data", nil, "a node with a database server, as `NAME=ADDRESS[@SITE]`; repeat it")
	cmd.Flags().StringArrayVar(&witnesses, "witness", nil, "a node without one, as `NAME=ADDRESS[@SITE]`")
	cmd.Flags().StringArrayVar(&addresses, "address", nil, "a virtual address for the clients, as `ADDRESS@INTERFACE`")
	cmd.Flags().StringVar(&p.profile, "profile", "balanced", "fast, balanced or wan")
	cmd.Flags().StringVar(&p.flavor, "flavor", config.MariaDB, "`flavor` of the servers")
	cmd.Flags().StringVar(&p.dir, "dir", "", "`directory` to make (default: ./baton-<cluster>)")
	return cmd
}

// plan is the cluster that is to be made.
type plan struct {
	cluster, profile, flavor, dir string
	nodes                         []planNode
	addresses                     [][2]string // address, interface
}

type planNode struct {
	name, address, site string
	role                cluster.Role
}

func (p *plan) read(nodes, witnesses, addresses []string) error {
	var wrong []error
	add := func(role cluster.Role, flag string, texts []string) {
		for _, text := range texts {
			name, rest, ok := strings.Cut(text, "=")
			address, site, _ := strings.Cut(rest, "@")
			if !ok || name == "" || address == "" {
				wrong = append(wrong, usage("--%s %s: write NAME=ADDRESS or NAME=ADDRESS@SITE, such as db1=10.77.0.11", flag, text))
				continue
			}
			p.nodes = append(p.nodes, planNode{name: name, address: address, site: site, role: role})
		}
	}
	if p.cluster == "" {
		wrong = append(wrong, usage("--cluster is missing: give the cluster a name, such as --cluster shop"))
	}
	add(cluster.Data, "data", nodes)
	add(cluster.Witness, "witness", witnesses)
	for _, text := range addresses {
		address, device, ok := strings.Cut(text, "@")
		if !ok || address == "" || device == "" {
			wrong = append(wrong, usage("--address %s: write ADDRESS@INTERFACE, such as 10.77.0.50@eth0", text))
			continue
		}
		p.addresses = append(p.addresses, [2]string{address, device})
	}
	if p.dir == "" {
		p.dir = "baton-" + p.cluster
	}
	return errors.Join(wrong...)
}

const (
	replicationUser = "baton_repl"
	probeUser       = "baton_probe"
)

// yaml is the configuration of one node. Only node: differs between nodes.
func (p plan) yaml(node string) []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Baton, cluster %s. The same on every node but for node:.", p.cluster)
	line("# `baton config show` lists every key with its default and what it does.")
	line("node: %q", node)
	line("cluster: %q", p.cluster)
	line("profile: %q", p.profile)
	line("nodes:")
	for _, n := range p.nodes {
		site := ""
		if n.site != "" {
			site = fmt.Sprintf(", site: %q", n.site)
		}
		line("  - {name: %q, role: %s, address: %q%s}", n.name, n.role, n.address, site)
	}
	if sites := p.sites(); len(sites) > 0 {
		line("sites: [%s] # nearest first", strings.Join(sites, ", "))
	}
	line("server:")
	line("  flavor: %q", p.flavor)
	line("  replication: {user: %s, password_file: repl.password}", replicationUser)
	line("  probe: {user: %s, password_file: probe.password}", probeUser)
	if len(p.addresses) > 0 {
		line("addresses:")
	}
	for _, a := range p.addresses {
		line("  - {address: %q, interface: %q}", a[0], a[1])
	}
	return []byte(b.String())
}

// sites are those of the nodes, in the order in which they were named.
func (p plan) sites() []string {
	var sites []string
	seen := map[string]bool{"": true}
	for _, n := range p.nodes {
		if !seen[n.site] {
			seen[n.site] = true
			sites = append(sites, fmt.Sprintf("%q", n.site))
		}
	}
	return sites
}

// judge refuses what no daemon would start with, before anything is written.
func (p plan) judge() (*config.Config, error) {
	if len(p.nodes) == 0 {
		return nil, usage("no node: name them with --data and --witness")
	}
	cfg, found := config.Parse("baton.yaml", p.yaml(p.nodes[0].name))
	if cfg != nil {
		return cfg, nil
	}
	var wrong []error
	for _, f := range found.Errors() {
		f.File, f.Line = "", 0 // of a file that was never written
		wrong = append(wrong, usage("%s", f))
	}
	return nil, errors.Join(wrong...)
}

func (e *env) init(p plan) error {
	if e.wiring.NewAuthority == nil || e.wiring.AccountsSQL == nil {
		return fail(exitFailed, "make a cluster: this build has no part that makes certificates and accounts")
	}
	cfg, err := p.judge()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(p.dir); !errors.Is(err, os.ErrNotExist) {
		return usage("%s is there already: move it away, or name another --dir", p.dir)
	}
	// Made beside it and moved into place, so that there is all of it or nothing.
	parts, err := os.MkdirTemp(filepath.Dir(p.dir), ".baton-init")
	if err != nil {
		return fmt.Errorf("make the cluster's directory: %w", err)
	}
	defer os.RemoveAll(parts)
	made, err := e.makeCluster(p, cfg, parts)
	if err != nil {
		return err
	}
	if err := os.Rename(parts, p.dir); err != nil {
		return fmt.Errorf("make the cluster's directory: %w", err)
	}
	return e.afterInit(p, made)
}

// makeCluster writes everything below dir and returns the files' names.
func (e *env) makeCluster(p plan, cfg *config.Config, dir string) ([]string, error) {
	authority, err := e.wiring.NewAuthority(p.cluster)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's certificate authority: %w", err)
	}
	accounts := Accounts{
		Agent:       cfg.Server.User,
		Replication: Login{replicationUser, rand.Text()}, Probe: Login{probeUser, rand.Text()},
	}
	for _, n := range cfg.Nodes {
		accounts.From = append(accounts.From, n.Address)
	}
	w := writer{dir: dir}
	w.write("ca.crt", 0o644, authority.Certificate())
	w.write("ca.key", 0o600, authority.Key())
	w.write("accounts.sql", 0o600, []byte(strings.Join(e.wiring.AccountsSQL(accounts), ";\n")+";\n"))
	for _, n := range cfg.Nodes {
		cert, key, err := authority.Issue(n.Name, n.Address)
		if err != nil {
			return nil, fmt.Errorf("make the certificate of %s: %w", n.Name, err)
		}
		own := string(n.Name)
		w.write(own+"/baton.yaml", 0o644, p.yaml(own))
		w.write(own+"/probe.password", 0o600, []byte(accounts.Probe.Password+"\n"))
		if n.Role == cluster.Data {
			w.write(own+"/repl.password", 0o600, []byte(accounts.Replication.Password+"\n"))
		}
		w.write(own+"/tls/ca.crt", 0o644, authority.Certificate())
		w.write(own+"/tls/"+own+".crt", 0o644, cert)
		w.write(own+"/tls/"+own+".key", 0o600, key)
	}
	return w.names, w.err
}

// writer writes files below a directory until one cannot be written.
type writer struct {
	dir   string
	names []string
	err   error
}

func (w *writer) write(name string, mode os.FileMode, content []byte) {
	if w.err != nil {
		return
	}
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.err = fmt.Errorf("make the cluster's files: %w", err)
		return
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		w.err = fmt.Errorf("make the cluster's files: %w", err)
		return
	}
	w.names = append(w.names, name)
}

func (e *env) afterInit(p plan, files []string) error {
	if e.json() {
		return e.printJSON(struct {
			Cluster string   `json:"cluster"`
			Dir     string   `json:"dir"`
			Files   []string `json:"files"`
		}{p.cluster, p.dir, files})
	}
	_, err := fmt.Fprintf(e.out, `Made %s. What is next:

  1. Run %s/accounts.sql on the primary, as an administrator of the database.
  2. Copy the content of %s/<node> to /etc/baton on each node.
  3. On each node: baton config check, and then baton run.
  4. Put %s/ca.key somewhere safe, and delete %s here.
`, p.dir, p.dir, p.dir, p.dir, p.dir)
	return err
}
