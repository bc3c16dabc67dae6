package initcmd

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/baton-db/baton/internal/config"
	"github.com/baton-db/baton/internal/core/cluster"
)

// Configuration returns the text of a node's baton.yaml: what was chosen, and
// every other key with its default and what it means, commented out. The
// findings are those of the loader.
func Configuration(opts Options, node cluster.NodeName) ([]byte, config.Findings) {
	chosen := chosenText(opts, node)
	cfg, found := config.Parse("baton.yaml", []byte(chosen))
	for i := range found {
		found[i].File, found[i].Line = "", 0 // of a file that the person has not written
	}
	if cfg == nil {
		return nil, found
	}
	w := writer{said: map[string]string{}}
	for path, text := range chosenKeys(opts, node) {
		w.said[path] = text
	}
	fmt.Fprintf(&w.b, head, node, opts.Cluster)
	lists := map[string]string{"nodes": nodesText(opts), "addresses": addressesText(opts)}
	for _, r := range cfg.Rows() {
		list, _, isList := strings.Cut(r.Key, "[")
		if isList {
			w.list(list, lists[list])
			continue
		}
		w.row(r)
	}
	if len(opts.Addresses) == 0 {
		w.list("addresses", addressesText(opts))
	}
	return []byte(w.b.String()), found
}

const head = `# Node %s of cluster %s. The file is the same on every node but for node:.
#
# Every key is here. One that is commented out without a space (#key:) shows its
# default; docs/configuration.md says more. After a change, run baton config check.
`

// chosenText is the shortest file that says what was chosen.
func chosenText(opts Options, node cluster.NodeName) string {
	k := chosenKeys(opts, node)
	text := nodesText(opts)
	if len(opts.Addresses) > 0 {
		text += addressesText(opts)
	}
	for _, path := range []string{"node", "cluster", "profile", "mode", "sites"} {
		if v, ok := k[path]; ok {
			text += path + ": " + v + "\n"
		}
	}
	text += "server:\n"
	for _, path := range []string{"flavor", "socket", "user", "password_file"} {
		if v, ok := k["server."+path]; ok {
			text += "  " + path + ": " + v + "\n"
		}
	}
	for _, block := range []string{"replication", "probe"} {
		text += fmt.Sprintf("  %s: {user: %s, password_file: %s}\n", block, k["server."+block+".user"], k["server."+block+".password_file"])
	}
	return text
}

// chosenKeys are the single values that are written out, as they are written.
func chosenKeys(opts Options, node cluster.NodeName) map[string]string {
	keys := map[string]string{
		"node": quote(string(node)), "cluster": quote(opts.Cluster),
		"profile": quote(string(cmp.Or(opts.Profile, config.Balanced))),
		"mode":    quote(string(cmp.Or(opts.Mode, cluster.Active))),

		"server.flavor": quote(cmp.Or(opts.Flavor, config.MariaDB)),
		"server.user":   "baton", "server.password_file": "agent.password",
		"server.replication.user": "baton_repl", "server.replication.password_file": "repl.password",
		"server.probe.user": "baton_probe", "server.probe.password_file": "probe.password",
	}
	if opts.Socket != "" {
		keys["server.socket"] = quote(opts.Socket)
	}
	if len(opts.Sites) > 0 {
		sites := make([]string, len(opts.Sites))
		for i, s := range opts.Sites {
			sites[i] = quote(s)
		}
		keys["sites"] = "[" + strings.Join(sites, ", ") + "]"
	}
	return keys
}

func nodesText(opts Options) string {
	var b strings.Builder
	b.WriteString("nodes:\n")
	for _, n := range opts.Nodes {
		fmt.Fprintf(&b, "  - {name: %s, role: %s, address: %s", quote(string(n.Name)), quote(string(cmp.Or(n.Role, cluster.Data))), ip(n.Address))
		if n.Site != "" {
			fmt.Fprintf(&b, ", site: %s", quote(n.Site))
		}
		if n.Prefer != 0 {
			fmt.Fprintf(&b, ", prefer: %d", n.Prefer)
		}
		if n.Never {
			b.WriteString(", never: true")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func addressesText(opts Options) string {
	var b strings.Builder
	if len(opts.Addresses) == 0 {
		return "# Example:\n# addresses:\n#   - {address: 10.77.0.50, interface: eth0}\n"
	}
	b.WriteString("addresses:\n")
	for _, a := range opts.Addresses {
		fmt.Fprintf(&b, "  - {address: %s, interface: %s}\n", ip(a.Address), quote(a.Interface))
	}
	return b.String()
}

func ip(a netip.Addr) string {
	if !a.IsValid() {
		return `""`
	}
	return quote(a.String())
}

// quote writes a text so that YAML reads it as that text, in a list in braces
// too.
func quote(s string) string {
	b, err := yaml.Marshal(s)
	text := strings.TrimSuffix(string(b), "\n")
	if err != nil || strings.ContainsAny(s, ":,[]{}#'\"\\\n") {
		return strconv.Quote(s)
	}
	return text
}

// writer writes keys in the order of the rows, opening a block when the first
// key in it comes.
type writer struct {
	b     strings.Builder
	said  map[string]string
	open  []string // blocks that are open
	lists []string // lists that were written
}

// list writes a whole list of blocks once, when its first row comes.
func (w *writer) list(name, text string) {
	for _, done := range w.lists {
		if done == name {
			return
		}
	}
	w.lists = append(w.lists, name)
	w.open = nil
	w.b.WriteString("\n" + comment("", docOf(name)) + text)
}

func (w *writer) row(r config.Row) {
	k := keyOf(r.Key)
	parts := strings.Split(r.Key, ".")
	w.enter(parts[:len(parts)-1])
	indent := strings.Repeat("  ", len(parts)-1)
	name := parts[len(parts)-1]
	w.b.WriteString(comment(indent, k.Doc))
	text, said := w.said[r.Key]
	switch {
	case said:
		fmt.Fprintf(&w.b, "%s%s: %s\n", indent, name, text)
	case k.Kind == config.File && k.Rule != "":
		fmt.Fprintf(&w.b, "%s# Default: %s.\n", indent, k.Rule)
	case r.Value == "" || r.Value == "[]":
		if k.Example != "" {
			fmt.Fprintf(&w.b, "%s# Example: %s: %s\n", indent, name, k.Example)
		}
	default:
		fmt.Fprintf(&w.b, "%s#%s: %s\n", indent, name, r.Value)
	}
}

// enter opens the blocks on the way to a key. A block with nothing chosen in it
// is commented out itself.
func (w *writer) enter(blocks []string) {
	common := 0
	for common < len(blocks) && common < len(w.open) && blocks[common] == w.open[common] {
		common++
	}
	if common == 0 {
		w.b.WriteString("\n")
	}
	for i := common; i < len(blocks); i++ {
		mark := "#"
		prefix := strings.Join(blocks[:i+1], ".") + "."
		for path := range w.said {
			if strings.HasPrefix(path, prefix) {
				mark = ""
			}
		}
		fmt.Fprintf(&w.b, "%s%s%s:\n", strings.Repeat("  ", i), mark, blocks[i])
	}
	w.open = blocks
}

// comment wraps prose into comment lines.
func comment(indent, text string) string {
	const width = 96
	var b strings.Builder
	line := indent + "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	if line != indent+"#" {
		b.WriteString(line + "\n")
	}
	return b.String()
}

func keyOf(path string) config.Key {
	for _, k := range config.Keys() {
		if k.Path == path {
			return k
		}
	}
	return config.Key{}
}

func docOf(path string) string { return keyOf(path).Doc }
