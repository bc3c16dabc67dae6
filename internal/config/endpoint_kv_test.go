package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each case is one endpoint in a good file, on line 12.
func TestWhatIsWrongWithAKeyInAConfigStore(t *testing.T) {
	const here = "baton.yaml:12: endpoints[0]."
	for name, tt := range map[string]struct {
		block string
		want  []string
	}{
		"a whole Consul":    {"consul: {urls: ['http://127.0.0.1:8500'], key: services/shop, token_file: t}", nil},
		"a whole ZooKeeper": {"zookeeper: {servers: ['10.0.0.1:2181'], node: /services/shop, user: baton, password_file: p, encrypted: true, tls: {ca: ca.crt}}", nil},
		"a Consul without anything": {"consul: {datacenter: dc1}", []string{
			here + "consul.urls: is missing; write where Consul's HTTP API is, such as [http://127.0.0.1:8500]",
			here + "consul.key: is missing; write the key, such as services/shop/primary",
		}},
		"a Consul's odd parts": {"consul: {urls: ['127.0.0.1:8500', 'http://me:hunter2@10.0.0.1:8500'], key: /services/shop, tls: {cert: c}}", []string{
			here + `consul.urls[0]: "127.0.0.1:8500" is no URL of a Consul; write it as http://127.0.0.1:8500`,
			here + "consul.urls[1]: a password in a URL would be shown to everybody; write it without, as http://127.0.0.1:8500; secrets are in files",
			here + "consul.key: Consul's keys do not begin with a slash; write services/shop",
			here + "consul.tls: a certificate and its key belong together; give both tls.cert and tls.key, or neither",
		}},
		"a ZooKeeper without anything": {"zookeeper: {encrypted: false}", []string{
			here + "zookeeper.servers: is missing; write its servers, such as [10.0.0.1:2181]",
			here + "zookeeper.node: is missing; write the path, such as /services/shop/primary",
		}},
		"a ZooKeeper's odd parts": {"zookeeper: {servers: ['10.0.0.1'], node: services/, user: baton, tls: {key: k}}", []string{
			here + `zookeeper.servers[0]: "10.0.0.1" is no server of a ZooKeeper; write it as 10.0.0.1:2181`,
			here + `zookeeper.node: "services/" is no path of a node; write it as /services/shop/primary`,
			here + "zookeeper.user: a user and a password belong together; give both user and password_file, or neither",
			here + "zookeeper.tls: nothing is encrypted; add encrypted: true, or remove tls",
			here + "zookeeper.tls: a certificate and its key belong together; give both tls.cert and tls.key, or neither",
		}},
		"a whole webhook": {`webhook: {url: 'https://c/x?c={{urlquery .Cluster}}', headers: ['A: {{secret}}'], secret_file: s, then: [{url: 'https://c/publish', method: PUT}], observe: {url: 'https://c/x', match: 'p=(\\S+)'}}`, nil},
		"a webhook without anything": {"webhook: {sign: false}", []string{
			here + "webhook.url: is missing; write where it is told, such as https://config.example.com/shop",
		}},
		"a webhook's odd parts": {`webhook: {url: 'ftp://c/x', method: PUSH, body: '{{.Prymary}}', expect: '(', headers: [application/json], then: [{url: 'https://{{.Cluster}}/x'}], observe: {json: data, match: 'p'}}`, []string{
			here + `webhook.url: "ftp://c/x" is no URL of a server; write it as https://config.example.com/path`,
			here + `webhook.method: "PUSH" is no method; use POST, PUT, PATCH, GET or DELETE`,
			here + `webhook.body: is no template: 1:2: executing "template" at <.Prymary>: can't evaluate field Prymary in type render.Data; mend it; docs/endpoints/configuration-centres.md says what templates know`,
			here + "webhook.expect: is no regular expression: missing closing ): `(`; mend it; the syntax is that of RE2",
			here + `webhook.headers[0]: "application/json" is no header; write it as 'Name: value', in quotes`,
			here + "webhook.then[0].url: its host is a template; write the host itself: a request goes to one host and no other",
			here + "webhook.observe.url: is missing; write what is asked, or remove observe",
			here + "webhook.observe: has both json and match; keep one of them",
			here + `webhook.observe.json: "data" is no JSON pointer; write it as /data/value`,
			here + "webhook.observe.match: p has 0 groups; put the part that names the primary, and nothing else, in parentheses",
		}},
		"a whole template": {"template: {file: /etc/x, source: x.tmpl, mode: 0600, owner: 'www-data:www-data', check: [x, -t], reload: [systemctl, reload, x]}, nodes: [db1, w1]", nil},
		"a template without anything": {"template: {mode: 0644}", []string{
			here + "template.file: is missing; name the file that is rendered, such as /etc/haproxy/primary.cfg",
			here + "template.source: is missing; name the template, such as /etc/baton/primary.cfg.tmpl",
		}},
		"a template's odd parts": {"template: {file: /etc/x, source: /etc/x, mode: rw-r--r--, check: ['x -t'], reload: ['systemctl reload x']}", []string{
			here + "template.source: is the file that is rendered; give the template a place of its own",
			here + `template.mode: "rw-r--r--" are no permissions; write them in octal, such as 0644`,
			here + `template.check: "x -t" is one word with spaces in it, and no shell takes it apart; write [x, -t]`,
			here + `template.reload: "systemctl reload x" is one word with spaces in it, and no shell takes it apart; write [systemctl, reload, x]`,
		}},
		"a webhook with a password in its URL": {"webhook: {url: 'https://me:hunter2@c/x'}", []string{
			here + "webhook.url: a password in a URL would be shown to everybody; write it without, as https://config.example.com/path; secrets are in files",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wantFindings(t, good+"endpoints:\n  - {name: app, "+tt.block+"}\n", tt.want...)
		})
	}
}

func TestTheExamplesInTheGuideToEndpointsAreAccepted(t *testing.T) {
	pages, err := filepath.Glob("../../docs/endpoints/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var guide string
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		guide += string(text)
	}
	seen := 0
	for _, part := range strings.Split(guide, "```yaml\n")[1:] {
		example, _, _ := strings.Cut(part, "```")
		if strings.HasPrefix(example, "  - name:") {
			example = "endpoints:\n" + example
		}
		seen++
		wantFindings(t, good+example)
	}
	if seen < 18 {
		t.Errorf("only %d examples were found", seen)
	}
}

func TestWhatATemplateNamesIsLookedForOnThisHost(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"good.tmpl": "{{.Primary.HostPort}}", "bad.tmpl": "{{.Primary"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := mustParse(t, good+`endpoints:
  - {name: a, template: {file: /x/a, source: `+dir+`/good.tmpl, owner: root, check: ["true"], reload: [sh, -c, x]}}
  - {name: b, template: {file: /x/b, source: `+dir+`/bad.tmpl, owner: "root:no-such-group", check: [no-such-check], reload: [no-such-reload]}}
  - {name: c, template: {file: /x/c, source: `+dir+`/none.tmpl}}
  - {name: d, template: {file: /x/d, source: `+dir+`/none.tmpl}, nodes: [db2]}
`)
	const want = `baton.yaml:13: endpoints[1].template.source: DIR/bad.tmpl is no template: 1: unclosed action; mend it; docs/endpoints/configuration-centres.md says what templates know
baton.yaml:13: endpoints[1].template.owner: group: unknown group no-such-group; name a user and a group that this host has
baton.yaml:13: endpoints[1].template.check: there is no command no-such-check; install it, or give its path
baton.yaml:13: endpoints[1].template.reload: there is no command no-such-reload; install it, or give its path
baton.yaml:14: endpoints[2].template.source: read DIR/none.tmpl: no such file or directory; write the template there`
	if got := strings.ReplaceAll(cfg.checkTemplates().String(), dir, "DIR"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestAHostWithoutFRRCannotAnnounce(t *testing.T) {
	const text = good + "addresses: [{address: 10.99.0.50, interface: lo}]\nendpoints: [{name: bgp, frr: {vtysh: [no-such-vtysh]}}]\n"
	const want = "baton.yaml:12: endpoints[0].frr.vtysh: there is no command no-such-vtysh; install it, or give its path"
	if got := mustParse(t, text).checkFRR().String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
