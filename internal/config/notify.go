package config

import (
	"fmt"
	"net"
	"net/mail"
	"strings"
	"time"
)

// Notify is who is told what is out of order and when the primary changes.
type Notify struct {
	Hold    time.Duration  `key:"hold"`
	Targets []NotifyTarget `key:"targets"`
}

// NotifyTarget is one who is told.
type NotifyTarget struct {
	Name         string   `key:"name"`
	Kind         string   `key:"kind"`
	Least        string   `key:"least"`
	URL          string   `key:"url"`
	URLFile      string   `key:"url_file"`
	SecretFile   string   `key:"secret_file"`
	Server       string   `key:"server"`
	Security     string   `key:"security"`
	From         string   `key:"from"`
	To           []string `key:"to"`
	User         string   `key:"user"`
	PasswordFile string   `key:"password_file"`
	TLS          TLS      `key:"tls"`
}

// mailKind is the one kind that is no HTTP request.
const mailKind = "mail"

// NotifySecrets are what one target's files hold.
type NotifySecrets struct{ URL, Secret, Password Secret }

func notifyKeys() []Key {
	return append([]Key{
		key("notify.hold", Duration).byDefault("5s").between("0s", "10m").
			doc("How long something has to be out of order, or in order again, before that is told: what comes and goes within a switch is not. Switches are told at once."),
		key("notify.targets", Block).
			doc("Who is told when something is out of order on a node or in the cluster, when it is in order again, and when a switch begins and ends (docs/notifications.md). One node tells; nothing waits for it."),
		key("notify.targets[].name", Text).required("give the target a name").like("dba-chat").
			doc("Its name in the log and for `baton notify test`."),
		choice("notify.targets[].kind", "kind of target", "webhook", "slack", "dingtalk", "feishu", "wecom", mailKind).required("write webhook, slack, dingtalk, feishu, wecom or mail").
			doc("What it is: a webhook that gets JSON, the robot of a chat, or mail."),
		choice("notify.targets[].least", "severity", "notice", "warning", "critical").byDefault("notice").
			doc("What is less grave is not told there. A failover's begin is critical, its end a warning; a planned switch is a notice."),
		key("notify.targets[].url", Text).like("https://alerts.example.com/baton").
			doc("Where a webhook is. For a chat, whose address is a secret, use url_file."),
		key("notify.targets[].url_file", File).like("/etc/baton/dingtalk.url").
			doc("The file that holds the address, on one line, as the chat gives it."),
		key("notify.targets[].secret_file", File).
			doc("The file that holds the secret of the signature: of dingtalk (加签), feishu (签名校验) or a webhook (X-Baton-Signature). The others have none."),
		key("notify.targets[].server", Text).like("smtp.example.com:587").
			doc("The mail server, with its port."),
		choice("notify.targets[].security", "way to a mail server", "starttls", "implicit", "none").byDefault("starttls").
			doc("starttls (mostly port 587 or 25), implicit TLS (mostly 465), or none, for a server on this host."),
		key("notify.targets[].from", Text).like("baton@example.com").
			doc("The sender's address."),
		key("notify.targets[].to", Words).like("[dba@example.com]").
			doc("Who gets the mail."),
		key("notify.targets[].user", Text).like("baton").
			doc("Name for the mail server; empty: no login."),
		key("notify.targets[].password_file", File).
			doc("The file that holds that user's password."),
	}, tlsKeys("notify.targets[]")...)
}

func (l *loader) judgeNotify() {
	names := map[string]int{}
	for i, t := range l.cfg.Notify.Targets {
		block := at("notify.targets", i, "")
		l.once(names, block+".name", t.Name, "give every target its own name")
		if t.Name != "" && !nameShape.MatchString(t.Name) {
			l.report(block+".name", fmt.Sprintf("%q is no name for a target", t.Name), nameMend)
		}
		switch t.Kind {
		case "":
		case mailKind:
			l.judgeMail(block, t)
		default:
			l.judgeHook(block, t)
		}
		l.judgeTLS(block, t.TLS)
	}
}

func (l *loader) judgeHook(block string, t NotifyTarget) {
	l.without(block, "a "+t.Kind+" is no mail", []string{"server", "security", "from", "to", "user", "password_file"})
	switch {
	case t.URL == "" && t.URLFile == "":
		l.report(block+".url_file", "is missing", "write the address into a file that only root may read, and name it")
	case t.URL != "" && t.URLFile != "":
		l.report(block+".url", "there is url_file, too", "keep one of them")
	case t.URL != "" && t.Kind != "webhook":
		l.report(block+".url", fmt.Sprintf("whoever knows the address of a %s robot can write there", t.Kind), "write it into a file that only root may read, and name that in url_file")
	case t.URL != "":
		l.judgeURL(block+".url", t.URL, "a webhook", "https://alerts.example.com/baton")
	}
	if t.SecretFile != "" && (t.Kind == "slack" || t.Kind == "wecom") {
		l.report(block+".secret_file", t.Kind+" knows no signature", "remove it: its address is the secret")
	}
}

func (l *loader) judgeMail(block string, t NotifyTarget) {
	l.without(block, "mail has no URL", []string{"url", "url_file", "secret_file"})
	if host, port, err := net.SplitHostPort(t.Server); err != nil || host == "" || port == "" {
		l.report(block+".server", fmt.Sprintf("%q is no mail server", t.Server), "write it with its port, as smtp.example.com:587")
	}
	if a, err := mail.ParseAddress(t.From); err != nil || a.Name != "" {
		l.report(block+".from", fmt.Sprintf("%q is no address of a mail", t.From), "write it as baton@example.com")
	}
	if len(t.To) == 0 {
		l.report(block+".to", "is missing", "write who gets the mail, such as [dba@example.com]")
	}
	for i, to := range t.To {
		if a, err := mail.ParseAddress(to); err != nil || a.Name != "" {
			l.report(at(block+".to", i, ""), fmt.Sprintf("%q is no address of a mail", to), "write it as dba@example.com")
		}
	}
	if (t.User == "") != (t.PasswordFile == "") {
		l.report(block+".user", "a user and a password belong together", "give both user and password_file, or neither")
	}
	host, _, _ := net.SplitHostPort(t.Server)
	if local := host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"; t.Security == "none" && !local {
		if t.User != "" {
			l.report(block+".security", "a password would go over the network as it is", "write security: starttls or implicit")
		} else {
			l.warn(block+".security", "what goes to "+host+" can be read on the way", "write security: starttls or implicit, or use a server on this host")
		}
	}
}

// without reports keys that have no meaning here.
func (l *loader) without(block, why string, keys []string) {
	for _, k := range keys {
		if l.said(block + "." + k) {
			l.report(block+"."+k, why, "remove it")
		}
	}
}
