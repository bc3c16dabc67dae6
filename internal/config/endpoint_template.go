package config

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/render"
)

// TemplateFile is a file on a host that names the primary.
type TemplateFile struct {
	File   string   `key:"file"`
	Source string   `key:"source"`
	Mode   string   `key:"mode"`
	Owner  string   `key:"owner"`
	Check  []string `key:"check"`
	Reload []string `key:"reload"`
}

// Permissions are the file's; 0644 if there are none, or none that make sense.
func (t TemplateFile) Permissions() fs.FileMode {
	n, err := strconv.ParseUint(t.Mode, 8, 32)
	if err != nil || n > 0o777 {
		return 0o644
	}
	return fs.FileMode(n)
}

// Owners are the numbers of the file's user and group, -1 for those that are not said.
func (t TemplateFile) Owners() (uid, gid int, err error) {
	uid, gid = -1, -1
	name, group, _ := strings.Cut(t.Owner, ":")
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return -1, -1, err
		}
		if uid, err = strconv.Atoi(u.Uid); err != nil {
			return -1, -1, fmt.Errorf("the number of user %s: %w", name, err)
		}
	}
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return -1, -1, err
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return -1, -1, fmt.Errorf("the number of group %s: %w", group, err)
		}
	}
	return uid, gid, nil
}

func templateKeys() []Key {
	return []Key{
		key("endpoints[].template.file", File).like("/etc/haproxy/primary.cfg").
			doc("A file that every host of nodes: has for itself: it is rendered from source, replaced in one step, checked, and reloaded."),
		key("endpoints[].template.source", File).like("/etc/baton/primary.cfg.tmpl").
			doc("The template, as that of a webhook's body; it is read when the agent starts."),
		key("endpoints[].template.mode", Text).byDefault("0644").
			doc("The file's permissions, in octal."),
		key("endpoints[].template.owner", Text).like("haproxy:haproxy").
			doc("The file's owner, a user, or a user and a group. Empty: that of the agent."),
		key("endpoints[].template.check", Words).like("[haproxy, -c, -f, /etc/haproxy]").
			doc("A command that is run once the file is in place. If it fails, what was there before comes back. No shell; the environment names BATON_FILE, BATON_PRIMARY, BATON_EPOCH, BATON_CLUSTER."),
		key("endpoints[].template.reload", Words).like("[systemctl, reload, haproxy]").
			doc("A command that is run after the check. If it fails, what was there before comes back and is reloaded. Each command has timeout to end; then it is killed."),
	}
}

func (l *loader) judgeTemplateFile(block string, endpoint Endpoint) {
	t := endpoint.Template
	if t.File == "" {
		l.report(block+".file", "is missing", "name the file that is rendered, such as /etc/haproxy/primary.cfg")
	}
	if t.Source == "" {
		l.report(block+".source", "is missing", "name the template, such as /etc/baton/primary.cfg.tmpl")
	}
	if t.File != "" && t.File == t.Source {
		l.report(block+".source", "is the file that is rendered", "give the template a place of its own")
	}
	if n, err := strconv.ParseUint(t.Mode, 8, 32); err != nil || n > 0o777 {
		l.report(block+".mode", fmt.Sprintf("%q are no permissions", t.Mode), "write them in octal, such as 0644")
	}
	l.judgeWords(block+".check", t.Check)
	l.judgeWords(block+".reload", t.Reload)
}

// judgeWords: a command is a list of words.
func (l *loader) judgeWords(path string, words []string) {
	if len(words) == 1 && strings.ContainsAny(words[0], " \t") {
		l.report(path, fmt.Sprintf("%q is one word with spaces in it, and no shell takes it apart", words[0]), "write ["+strings.Join(strings.Fields(words[0]), ", ")+"]")
	}
}

// checkTemplates judges what the templates of this node name on this host.
func (c *Config) checkTemplates() Findings {
	var found Findings
	for i, e := range c.Endpoints {
		if c.KindOf(i) != "template" || !c.LeadsEndpoint(i) {
			continue
		}
		t, block := e.Template, at("endpoints", i, "template")
		if text, err := os.ReadFile(t.Source); err != nil {
			found = append(found, c.finding(block+".source", fmt.Sprintf("read %s: %s", t.Source, cause(err)), "write the template there"))
		} else if _, err := render.Parse(string(text), ""); err != nil {
			found = append(found, c.finding(block+".source", fmt.Sprintf("%s is no template: %s", t.Source, err), "mend it; docs/endpoints/configuration-centres.md says what templates know"))
		}
		if _, _, err := t.Owners(); err != nil {
			found = append(found, c.finding(block+".owner", err.Error(), "name a user and a group that this host has"))
		}
		found = append(found, c.checkCommand(block+".check", t.Check)...)
		found = append(found, c.checkCommand(block+".reload", t.Reload)...)
	}
	return found
}
