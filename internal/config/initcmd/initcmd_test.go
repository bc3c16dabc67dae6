package initcmd

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
)

func node(name, address string, role cluster.Role) config.Node {
	return config.Node{Name: cluster.NodeName(name), Address: netip.MustParseAddr(address), Role: role}
}

func options(dir string) Options {
	return Options{
		Dir: dir, Cluster: "shop", Profile: config.Fast, Sites: []string{"a", "no"},
		Nodes: []config.Node{
			{Name: "db1", Address: netip.MustParseAddr("10.77.0.11"), Role: cluster.Data, Site: "a", Prefer: 10},
			{Name: "db2", Address: netip.MustParseAddr("fd77::12"), Role: cluster.Data, Site: "no"},
			{Name: "db3", Address: netip.MustParseAddr("10.77.0.13"), Role: cluster.Data, Site: "a", Never: true},
			node("n", "fd77::", cluster.Witness),
			node("7", "10.77.0.21", cluster.Witness),
		},
		Addresses: []config.Address{{Address: netip.MustParseAddr("10.77.0.50"), Interface: "eth0"}, {Address: netip.MustParseAddr("fd77::50"), Interface: "eth0"}},
		Issue:     issue,
		SQL:       func(a Accounts) (string, error) { return "-- " + a.Probe.User + " " + a.Probe.Password + "\n", nil },
	}
}

// issue stands in for the package of certificates, which is another edge.
func issue(_ string, nodes []config.Node) (Certificates, error) {
	c := Certificates{CA: []byte("ca"), CAKey: []byte("ca key"), Nodes: map[cluster.NodeName]Pair{}}
	for _, n := range nodes {
		c.Nodes[n.Name] = Pair{Cert: []byte("cert of " + n.Name), Key: []byte("key of " + n.Name)}
	}
	return c, nil
}

func mustInit(t *testing.T, opts Options) Bundle {
	t.Helper()
	b, found := Init(opts)
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryNodeGetsWhatItNeedsAndNothingElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	b := mustInit(t, options(dir))
	var got []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if strings.HasPrefix(rel, "db2") || strings.HasPrefix(rel, "db3") || strings.HasPrefix(rel, "7") {
			return nil // as db1 and n
		}
		got = append(got, fmt.Sprintf("%s %s", info.Mode(), rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"drwx------ .",
		"-rw------- accounts.sql",
		"drwx------ ca", "-rw-r--r-- ca/ca.crt", "-rw------- ca/ca.key",
		"drwx------ db1", "-rw------- db1/agent.password", "-rw-r--r-- db1/baton.yaml", "-rw------- db1/probe.password", "-rw------- db1/repl.password",
		"drwx------ db1/tls", "-rw-r--r-- db1/tls/ca.crt", "-rw-r--r-- db1/tls/db1.crt", "-rw------- db1/tls/db1.key",
		"drwx------ n", "-rw-r--r-- n/baton.yaml", "-rw------- n/probe.password",
		"drwx------ n/tls", "-rw-r--r-- n/tls/ca.crt", "-rw-r--r-- n/tls/n.crt", "-rw------- n/tls/n.key",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(b.Files) != 2+1+3*7+2*5 || !slices.IsSorted(b.Files) {
		t.Errorf("the bundle lists %d files: %v", len(b.Files), b.Files)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWhatIsWrittenIsAcceptedAndEqualOnEveryNode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	opts := options(dir)
	mustInit(t, opts)
	hashes := map[string]bool{}
	for _, n := range opts.Nodes {
		cfg, found := config.Load(filepath.Join(dir, string(n.Name), "baton.yaml"))
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		hashes[cfg.Hash()] = true
		if cfg.Node != n.Name || cfg.Cluster != "shop" || cfg.Profile != config.Fast {
			t.Errorf("%s: node %q, cluster %q, profile %q", n.Name, cfg.Node, cfg.Cluster, cfg.Profile)
		}
		if diff := cmp.Diff(opts.Nodes, cfg.Nodes, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: nodes: %s", n.Name, diff)
		}
		if !slices.Equal(opts.Addresses, cfg.Addresses) || !slices.Equal(opts.Sites, cfg.Sites) {
			t.Errorf("%s: addresses %v, sites %v", n.Name, cfg.Addresses, cfg.Sites)
		}
		passwords, found := cfg.Passwords()
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		if passwords.Probe.Reveal() == "" || (passwords.Agent.Reveal() == "") != (n.Role == cluster.Witness) {
			t.Errorf("%s: it does not have the passwords that it needs", n.Name)
		}
		if want := filepath.Join(dir, string(n.Name), "tls", string(n.Name)+".key"); cfg.TLS.Key != want {
			t.Errorf("%s: key %s, want %s", n.Name, cfg.TLS.Key, want)
		}
	}
	if len(hashes) != 1 {
		t.Errorf("the nodes' settings have %d hashes", len(hashes))
	}
}

func TestPasswordsAreRandomAndTheSameOnEveryNode(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		dir := filepath.Join(t.TempDir(), "shop")
		mustInit(t, options(dir))
		for _, name := range []string{"agent.password", "repl.password", "probe.password"} {
			one, err := os.ReadFile(filepath.Join(dir, "db1", name))
			if err != nil {
				t.Fatal(err)
			}
			two, err := os.ReadFile(filepath.Join(dir, "db2", name))
			if err != nil || string(one) != string(two) {
				t.Errorf("%s differs between nodes (%v)", name, err)
			}
			if len(one) < 20 || seen[string(one)] {
				t.Errorf("%s is short or was used before", name)
			}
			seen[string(one)] = true
		}
	}
}

// Every default that is shown must be one: with all of them uncommented the
// file says the same.
func TestUncommentingEveryDefaultChangesNothing(t *testing.T) {
	for _, profile := range []config.Profile{config.Fast, config.Balanced, config.WAN} {
		opts := options("")
		opts.Profile = profile
		text, found := Configuration(opts, "db1")
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		plain, found := config.Parse("/etc/baton/baton.yaml", text)
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		shown := regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`).ReplaceAll(text, []byte("$1$2"))
		if string(shown) == string(text) {
			t.Fatal("no default is shown")
		}
		full, found := config.Parse("/etc/baton/baton.yaml", shown)
		if err := found.Err(); err != nil {
			t.Fatalf("%v in:\n%s", err, shown)
		}
		if changed := config.Diff(plain, full); len(changed) > 0 {
			t.Errorf("profile %s: %v", profile, changed)
		}
	}
}

func TestEveryKeyIsInTheFile(t *testing.T) {
	text, _ := Configuration(options(""), "db1")
	for _, k := range config.Keys() {
		if k.Doc == "" {
			t.Errorf("%s is not documented", k.Path)
		}
		list := slices.ContainsFunc(config.Keys(), func(in config.Key) bool { return strings.HasPrefix(in.Path, k.Path+"[].") })
		if strings.Contains(k.Path, "[]") || list && k.Path != "nodes" && k.Path != "addresses" {
			continue // which has nothing in it unless somebody wants it
		}
		flat := strings.Join(strings.Fields(strings.ReplaceAll(string(text), "#", "")), " ")
		if !strings.Contains(flat, k.Doc) {
			t.Errorf("the file says nothing of %s", k.Path)
		}
	}
}

func TestInitRefuses(t *testing.T) {
	full := t.TempDir()
	for _, name := range []string{"accounts.sql", "db1"} {
		if err := os.WriteFile(filepath.Join(full, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		change func(*Options)
		want   []string
	}{
		"everything that is there already, and every mistake, at once": {
			func(o *Options) {
				o.Dir = full
				o.Nodes = o.Nodes[:2]
				o.Nodes[1].Name = "DB2"
				o.Addresses[0].Interface = ""
			},
			[]string{
				"init: " + full + "/accounts.sql is there already and would be overwritten; choose another directory, or move it away",
				"init: " + full + "/db1 is there already and would be overwritten; choose another directory, or move it away",
				`addresses[0].interface: is missing; name the interface that binds it, such as interface: eth0`,
				`nodes[1].name: "DB2" is no name for a node; use lower-case letters, digits and dashes, at most 32`,
				`nodes: two voters have no majority when one is lost; add a third node, which may be a witness: - {name: w1, role: witness, address: …}`,
			},
		},
		"no nodes": {
			func(o *Options) { o.Nodes = nil },
			[]string{"nodes: is missing; name every node with its address, such as --node db1=10.77.0.11; three are the least, one of them may be a witness"},
		},
		"a name that would leave the directory": {
			func(o *Options) { o.Nodes[0].Name = "../etc" },
			[]string{`nodes[0].name: "../etc" is no name for a node; use lower-case letters, digits and dashes, at most 32`},
		},
		"certificates that cannot be made": {
			func(o *Options) {
				o.Issue = func(string, []config.Node) (Certificates, error) {
					return Certificates{}, errors.New("no entropy")
				}
			},
			[]string{"init: make certificates: no entropy; see the cause"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := options(filepath.Join(t.TempDir(), "shop"))
			tt.change(&opts)
			before := tree(t, filepath.Dir(opts.Dir))
			_, found := Init(opts)
			var got []string
			for _, f := range found.Errors() {
				got = append(got, f.String())
			}
			slices.Sort(got)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, tree(t, filepath.Dir(opts.Dir))); diff != "" {
				t.Errorf("something was written: %s", diff)
			}
		})
	}
}

func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAnEmptyDirectoryIsUsed(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, options(dir))
	if _, err := os.Stat(filepath.Join(dir, "db1", "baton.yaml")); err != nil {
		t.Error(err)
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"db1", "no", "0x1f", "1e3", "fd77::", "a b", "~", "-", `"`, "2024-01-01", "a: b", "é", "#x", "null"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, site string) {
		if strings.ContainsFunc(site, func(r rune) bool { return r < ' ' || r > '~' }) || site == "" {
			t.Skip("not what anybody calls a site")
		}
		opts := options("")
		for i := range opts.Nodes {
			opts.Nodes[i].Site = site
		}
		opts.Sites = []string{site}
		text, found := Configuration(opts, "db1")
		if err := found.Err(); err != nil {
			t.Fatalf("%q: %v", site, err)
		}
		cfg, _ := config.Parse("baton.yaml", text)
		if cfg == nil || cfg.Nodes[4].Site != site || cfg.Sites[0] != site {
			t.Errorf("%q is read back as something else from:\n%s", site, text)
		}
	})
}
