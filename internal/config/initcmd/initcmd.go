// Package initcmd answers what a new cluster needs on disk before its first
// start: a configuration file, certificates and password files for every node,
// and the SQL that creates the accounts.
//
// It never touches a host's own directories or a server: it makes one new
// directory with a folder per node, to be copied there. The rule that must not
// be broken: all problems are found before anything is written, nothing that
// exists is overwritten, and the directory appears whole or not at all.
package initcmd

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Options say what cluster is made.
type Options struct {
	Dir       string // is created; it may exist if it is empty
	Cluster   string
	Profile   config.Profile // empty: balanced
	Mode      cluster.Mode   // empty: active
	Flavor    string         // empty: mariadb
	Socket    string         // of the servers; empty: the default
	Nodes     []config.Node  // name, role, address, site, prefer, never
	Sites     []string       // in order of preference
	Addresses []config.Address

	// Issue makes the cluster's authority and a certificate for every node.
	Issue func(cluster string, nodes []config.Node) (Certificates, error)
	// SQL returns the statements that create the accounts with the least
	// privileges. It may be nil if no node has a server.
	SQL func(Accounts) (string, error)
}

// Certificates are PEM texts.
type Certificates struct {
	CA    []byte
	CAKey []byte // needed for further certificates only
	Nodes map[cluster.NodeName]Pair
}

// Pair is a certificate with its key.
type Pair struct{ Cert, Key []byte }

// Account is a user with its password.
type Account struct {
	User     string
	Password string
}

// Accounts are those that Baton needs on every server.
type Accounts struct {
	Flavor      string
	Nodes       []config.Node // from whose addresses they connect
	Agent       Account       // over the unix socket
	Replication Account       // from data nodes
	Probe       Account       // from every node, and locally for the write probe
}

// Bundle is what was made.
type Bundle struct {
	Dir   string
	Files []string // below Dir, sorted
	// Next is what the person does with it, step by step.
	Next []string
}

// Init makes the directory. With any error among the findings nothing was
// written.
func Init(opts Options) (Bundle, config.Findings) {
	opts.Nodes = slices.Clone(opts.Nodes)
	for i := range opts.Nodes {
		opts.Nodes[i].Role = cmp.Or(opts.Nodes[i].Role, cluster.Data)
	}
	found := judge(opts)
	p := plan{opts: opts, accounts: newAccounts(opts)}
	p.configs(&found)
	if len(found.Errors()) == 0 {
		p.secrets(&found)
	}
	if len(found.Errors()) > 0 {
		return Bundle{}, found
	}
	if err := p.write(); err != nil {
		return Bundle{}, append(found, config.Finding{What: err.Error(), Mend: "choose another directory with --dir", Severity: config.Error})
	}
	return p.bundle(), found
}

// judge finds what stands in the way besides the configuration itself.
func judge(opts Options) config.Findings {
	var found config.Findings
	add := func(what, mend string) {
		found = append(found, config.Finding{Key: "init", What: what, Mend: mend, Severity: config.Error})
	}
	switch entries, err := os.ReadDir(opts.Dir); {
	case opts.Dir == "":
		add("no directory is given", "give one with --dir")
	case errors.Is(err, fs.ErrNotExist):
		if info, err := os.Stat(filepath.Dir(filepath.Clean(opts.Dir))); err != nil || !info.IsDir() {
			add(filepath.Dir(filepath.Clean(opts.Dir))+" is no directory", "make it first, or choose another one")
		}
	case err != nil:
		add(fmt.Sprintf("read %s: %v", opts.Dir, errors.Unwrap(err)), "choose another directory")
	default:
		for _, e := range entries {
			add(filepath.Join(opts.Dir, e.Name())+" is there already and would be overwritten", "choose another directory, or move it away")
		}
	}
	return found
}

func newAccounts(opts Options) Accounts {
	if opts.Flavor == "" {
		opts.Flavor = config.MariaDB
	}
	return Accounts{
		Flavor: opts.Flavor, Nodes: opts.Nodes,
		Agent:       Account{"baton", rand.Text()},
		Replication: Account{"baton_repl", rand.Text()},
		Probe:       Account{"baton_probe", rand.Text()},
	}
}

// file is one that is to be written.
type file struct {
	path    string // below the directory
	content []byte
	mode    fs.FileMode
}

// The modes of files.
const (
	secret = 0o600
	public = 0o644
)

// plan is everything that is to be written.
type plan struct {
	opts     Options
	accounts Accounts
	files    []file
}

func (p *plan) add(mode fs.FileMode, content []byte, path ...string) {
	p.files = append(p.files, file{path: filepath.Join(path...), content: content, mode: mode})
}

// configs plans the configuration files, judged by the loader that will read
// them. What is wrong is the same for every node and is said once.
func (p *plan) configs(found *config.Findings) {
	if len(p.opts.Nodes) == 0 {
		*found = append(*found, config.Finding{Key: "nodes", What: "is missing", Mend: "name every node with its address, such as --node db1=10.77.0.11; three are the least, one of them may be a witness", Severity: config.Error})
		return
	}
	for i, n := range p.opts.Nodes {
		text, problems := Configuration(p.opts, n.Name)
		if i == 0 {
			*found = append(*found, problems...)
		}
		p.add(public, text, string(n.Name), "baton.yaml")
	}
}

// secrets plans certificates, password files and the SQL.
func (p *plan) secrets(found *config.Findings) {
	fail := func(err error, mend string) {
		*found = append(*found, config.Finding{Key: "init", What: err.Error(), Mend: mend, Severity: config.Error})
	}
	certs, err := p.opts.Issue(p.opts.Cluster, p.opts.Nodes)
	if err != nil {
		fail(fmt.Errorf("make certificates: %w", err), "see the cause")
		return
	}
	for _, n := range p.opts.Nodes {
		pair, ok := certs.Nodes[n.Name]
		if !ok {
			fail(fmt.Errorf("make certificates: there is none for %s", n.Name), "report this: it is a mistake in Baton")
			return
		}
		name := string(n.Name)
		p.add(public, certs.CA, name, "tls", "ca.crt")
		p.add(public, pair.Cert, name, "tls", name+".crt")
		p.add(secret, pair.Key, name, "tls", name+".key")
		p.add(secret, line(p.accounts.Probe), name, "probe.password")
		if n.Role == cluster.Data {
			p.add(secret, line(p.accounts.Agent), name, "agent.password")
			p.add(secret, line(p.accounts.Replication), name, "repl.password")
		}
	}
	p.add(public, certs.CA, "ca", "ca.crt")
	p.add(secret, certs.CAKey, "ca", "ca.key")
	sql, err := p.opts.SQL(p.accounts)
	if err != nil {
		fail(fmt.Errorf("write the SQL for the accounts: %w", err), "see the cause")
		return
	}
	p.add(secret, []byte(sql), "accounts.sql")
}

func line(a Account) []byte { return []byte(a.Password + "\n") }

// write makes everything under another name beside the directory, and gives it
// its name last.
func (p *plan) write() error {
	dir := filepath.Clean(p.opts.Dir)
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".new-")
	if err != nil {
		return fmt.Errorf("make a directory beside %s: %w", dir, err)
	}
	defer os.RemoveAll(temp) // gone by then, if all went well
	for _, f := range p.files {
		path := filepath.Join(temp, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
		if err := writeFile(path, f.content, f.mode); err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	// rename(2) replaces an empty directory and refuses one that is not;
	// os.Rename refuses both.
	if err := syscall.Rename(temp, dir); err != nil {
		return fmt.Errorf("name the finished directory %s: %w", dir, err)
	}
	return nil
}

// writeFile makes a new file with exactly that mode, whatever the umask.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

func (p *plan) bundle() Bundle {
	b := Bundle{Dir: filepath.Clean(p.opts.Dir)}
	for _, f := range p.files {
		b.Files = append(b.Files, f.path)
	}
	slices.Sort(b.Files)
	var data []string
	for _, n := range p.opts.Nodes {
		if n.Role == cluster.Data {
			data = append(data, string(n.Name))
		}
	}
	b.Next = []string{
		fmt.Sprintf("On the server that clients write to now, run the statements of %s; replicas receive them.", filepath.Join(b.Dir, "accounts.sql")),
		fmt.Sprintf("Copy the folder of every node to /etc/baton on it, owned by root: %s.", strings.Join(folders(b.Dir, p.opts.Nodes), ", ")),
		fmt.Sprintf("On %s, write into the server's option file: %s.", strings.Join(data, ", "), optionsOf(p.accounts.Flavor)),
		"On every node, run `baton config check` and mend what it says.",
		"On every node, start the agent: systemctl enable --now baton. With mode: observe it only watches; look at `baton status` first.",
		fmt.Sprintf("Put %s away: it is needed for the certificates of further nodes only (docs/rejoin.md).", filepath.Join(b.Dir, "ca", "ca.key")),
	}
	return b
}

func folders(dir string, nodes []config.Node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, filepath.Join(dir, string(n.Name)))
	}
	return all
}

// optionsOf is what a server's option file must say, in the words of its flavor.
func optionsOf(flavor string) string {
	if flavor == config.MySQL {
		return "super_read_only = ON, skip_replica_start = ON (no restart is needed for these), gtid_mode = ON, enforce_gtid_consistency = ON, " +
			"replicate_same_server_id = ON, relay_log_recovery = OFF, plugin_load_add = semisync_source.so, plugin_load_add = semisync_replica.so"
	}
	return "read_only = ON, skip_slave_start = ON (no restart is needed)"
}
