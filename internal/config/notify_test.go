package config

import (
	"os"
	"strings"
	"testing"
)

// Each case is one target in a good file, on line 13.
func TestWhatIsWrongWithWhoIsTold(t *testing.T) {
	const here = "baton.yaml:13: notify.targets[0]"
	for name, tt := range map[string]struct {
		target string
		want   []string
	}{
		"a whole chat":        {"name: chat, kind: dingtalk, url_file: u, secret_file: s, least: warning", nil},
		"a whole webhook":     {"name: hook, kind: webhook, url: 'https://a.example.com/x', secret_file: s", nil},
		"a whole mail":        {"name: mail, kind: mail, server: 'smtp.example.com:587', from: b@example.com, to: [a@example.com], user: u, password_file: p", nil},
		"a mail by this host": {"name: mail, kind: mail, server: '127.0.0.1:25', security: none, from: b@example.com, to: [a@example.com]", nil},
		"nothing": {"least: notice", []string{
			here + ".name: is missing; give the target a name",
			here + ".kind: is missing; write webhook, slack, dingtalk, feishu, wecom or mail",
		}},
		"an unknown kind": {"name: a, kind: pager", []string{
			here + `.kind: "pager" is no kind of target; use webhook, slack, dingtalk, feishu, wecom or mail`,
		}},
		"a chat's odd parts": {"name: Chat, kind: slack, url: 'https://hooks.slack.com/services/T0/B0/hunter2', secret_file: s, to: [a@example.com]", []string{
			here + `.name: "Chat" is no name for a target; use lower-case letters, digits and dashes, at most 32`,
			here + ".url: whoever knows the address of a slack robot can write there; write it into a file that only root may read, and name that in url_file",
			here + ".secret_file: slack knows no signature; remove it: its address is the secret",
			here + ".to: a slack is no mail; remove it",
		}},
		"a webhook nowhere": {"name: a, kind: webhook", []string{
			here + ".url_file: is missing; write the address into a file that only root may read, and name it",
		}},
		"a mail's odd parts": {"name: a, kind: mail, server: smtp, from: 'Baton <b@example.com>', to: [dba], user: u, url: 'http://x'", []string{
			here + ".url: mail has no URL; remove it",
			here + `.server: "smtp" is no mail server; write it with its port, as smtp.example.com:587`,
			here + `.from: "Baton <b@example.com>" is no address of a mail; write it as baton@example.com`,
			here + `.to[0]: "dba" is no address of a mail; write it as dba@example.com`,
			here + ".user: a user and a password belong together; give both user and password_file, or neither",
		}},
		"a password in the open": {"name: a, kind: mail, server: 'smtp.example.com:25', from: b@example.com, to: [a@example.com], user: u, password_file: p, security: none", []string{
			here + ".security: a password would go over the network as it is; write security: starttls or implicit",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			wantFindings(t, good+"notify:\n  targets:\n    - {"+tt.target+"}\n", tt.want...)
		})
	}
}

func TestSecretsOfWhoIsToldAreReadFromFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"url": "https://hooks.slack.com/services/T0/B0/hunter2\n", "odd": "hunter2\n", "secret": "hunter2\n"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := mustParse(t, good+`notify:
  targets:
    - {name: a, kind: slack, url_file: `+dir+`/url}
    - {name: b, kind: dingtalk, url_file: `+dir+`/odd, secret_file: `+dir+`/secret}
    - {name: c, kind: wecom, url_file: `+dir+`/none}
`)
	secrets, found := cfg.NotifySecrets()
	const want = `baton.yaml:14: notify.targets[1].url_file: DIR/odd holds no URL; write the address there as the chat gives it, on one line
baton.yaml:15: notify.targets[2].url_file: read DIR/none: no such file or directory; write the password into it, on one line, with mode 0600`
	if got := strings.ReplaceAll(found.String(), dir, "DIR"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if secrets[0].URL.Reveal() != "https://hooks.slack.com/services/T0/B0/hunter2" || secrets[1].Secret.Reveal() != "hunter2" {
		t.Error("the files' content is lost")
	}
	if hidden := (Passwords{Notify: secrets}).Hidden(); len(hidden) != 3 {
		t.Errorf("%d texts are hidden from what hooks print", len(hidden))
	}
}
