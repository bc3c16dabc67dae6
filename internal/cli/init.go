package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/config/initcmd"
	"github.com/baton-db/baton/internal/core/cluster"
)

// newCluster are the flags of init.
type newCluster struct {
	cluster, profile, flavor, mode, socket, dir string
	data, witnesses, addresses                  []string
}

func newInitCommand(e *env) *cobra.Command {
	var n newCluster
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the configuration, the certificates and the SQL of a new cluster",
		Long: `Makes a directory with, for every node, what belongs into its /etc/baton: the
configuration, passwords, and a certificate of the cluster's own authority; and
beside them the SQL for the database accounts. Nothing else is touched: no
server is asked, nothing is installed.

The key of the authority (ca/ca.key) is needed again only to add a node
(docs/rejoin.md). Keep it somewhere safe, and not on the nodes.`,
		Example: `  baton init --cluster shop --data db1=10.77.0.11 --data db2=10.77.0.12 \
    --witness w1=10.77.0.20 --address 10.77.0.50@eth0
  baton init --cluster shop --profile fast --data db1=10.0.0.1@paris \
    --data db2=10.0.0.2@paris --data db3=10.0.1.1@lyon`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return e.init(n) },
	}
	cmd.Flags().StringVar(&n.cluster, "cluster", "", "`name` of the cluster (needed)")
	cmd.Flags().StringArrayVar(&n.data, "data", nil, "a node with a database server, as `NAME=ADDRESS[@SITE]`; repeat it")
	cmd.Flags().StringArrayVar(&n.witnesses, "witness", nil, "a node without one, as `NAME=ADDRESS[@SITE]`")
	cmd.Flags().StringArrayVar(&n.addresses, "address", nil, "a virtual address for the clients, as `ADDRESS@INTERFACE`")
	cmd.Flags().StringVar(&n.profile, "profile", string(config.Balanced), "fast, balanced or wan")
	cmd.Flags().StringVar(&n.mode, "mode", string(cluster.Active), "active, or observe to watch and do nothing")
	cmd.Flags().StringVar(&n.flavor, "flavor", config.MariaDB, "`flavor` of the servers")
	cmd.Flags().StringVar(&n.socket, "server-socket", "", "unix `socket` of the servers (default: where the distributions put it)")
	cmd.Flags().StringVar(&n.dir, "dir", "", "`directory` to make (default: ./baton-<cluster>)")
	return cmd
}

// options reads the flags. What is wrong is reported all at once.
func (n newCluster) options() (initcmd.Options, error) {
	o := initcmd.Options{
		Dir: cmp.Or(n.dir, "baton-"+n.cluster), Cluster: n.cluster,
		Profile: config.Profile(n.profile), Mode: cluster.Mode(n.mode), Flavor: n.flavor, Socket: n.socket,
	}
	var wrong []error
	refuse := func(format string, args ...any) { wrong = append(wrong, usage(format, args...)) }
	if n.cluster == "" {
		refuse("--cluster is missing: give the cluster a name, such as --cluster shop")
	}
	add := func(role cluster.Role, flag string, texts []string) {
		for _, text := range texts {
			name, rest, ok := strings.Cut(text, "=")
			address, site, _ := strings.Cut(rest, "@")
			if !ok || name == "" || address == "" {
				refuse("--%s %s: write NAME=ADDRESS or NAME=ADDRESS@SITE, such as db1=10.77.0.11", flag, text)
				continue
			}
			ip, err := netip.ParseAddr(address)
			if err != nil {
				refuse("--%s %s: %q is no IP address; write one, such as %s=10.77.0.11", flag, text, address, name)
				continue
			}
			o.Nodes = append(o.Nodes, config.Node{Name: cluster.NodeName(name), Role: role, Address: ip, Site: site})
			if site != "" && !slices.Contains(o.Sites, site) {
				o.Sites = append(o.Sites, site)
			}
		}
	}
	add(cluster.Data, "data", n.data)
	add(cluster.Witness, "witness", n.witnesses)
	for _, text := range n.addresses {
		address, device, ok := strings.Cut(text, "@")
		if !ok || address == "" || device == "" {
			refuse("--address %s: write ADDRESS@INTERFACE, such as 10.77.0.50@eth0", text)
			continue
		}
		ip, err := netip.ParseAddr(address)
		if err != nil {
			refuse("--address %s: %q is no IP address; write one, such as 10.77.0.50@%s", text, address, device)
			continue
		}
		o.Addresses = append(o.Addresses, config.Address{Address: ip, Interface: device})
	}
	return o, errors.Join(wrong...)
}

func (e *env) init(n newCluster) error {
	if e.wiring.Issue == nil || e.wiring.AccountsSQL == nil {
		return fail(exitFailed, "make a cluster: this build has no part that makes certificates and accounts")
	}
	o, err := n.options()
	if err != nil {
		return err
	}
	o.Issue, o.SQL = e.wiring.Issue, e.wiring.AccountsSQL
	made, found := initcmd.Init(o)
	var wrong []error
	for _, f := range found.Errors() {
		wrong = append(wrong, usage("%s", f))
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	for _, f := range found {
		fmt.Fprintln(e.err, e.paint(yellow, printable(f.String())))
	}
	return e.afterInit(o.Cluster, made)
}

func (e *env) afterInit(name string, made initcmd.Bundle) error {
	if e.json() {
		return e.printJSON(struct {
			Cluster string   `json:"cluster"`
			Dir     string   `json:"dir"`
			Files   []string `json:"files"`
			Next    []string `json:"next"`
		}{name, made.Dir, made.Files, made.Next})
	}
	fmt.Fprintf(e.out, "Made %s. What is next:\n\n", made.Dir)
	for i, step := range made.Next {
		if _, err := fmt.Fprintf(e.out, "  %d. %s\n", i+1, step); err != nil {
			return err
		}
	}
	return nil
}
