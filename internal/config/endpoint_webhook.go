package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/baton-db/baton/internal/render"
)

// Webhook is something that is told by HTTP requests who is primary.
type Webhook struct {
	URL        string           `key:"url"`
	Method     string           `key:"method"`
	Body       string           `key:"body"`
	Expect     string           `key:"expect"`
	Headers    []string         `key:"headers"`
	SecretFile string           `key:"secret_file"`
	Sign       bool             `key:"sign"`
	Then       []WebhookRequest `key:"then"`
	Observe    WebhookLook      `key:"observe"`
	TLS        TLS              `key:"tls"`
}

// WebhookRequest is one request of several.
type WebhookRequest struct {
	URL    string `key:"url"`
	Method string `key:"method"`
	Body   string `key:"body"`
	Expect string `key:"expect"`
}

// WebhookLook says where it is asked who is primary there.
type WebhookLook struct {
	URL   string `key:"url"`
	JSON  string `key:"json"`
	Match string `key:"match"`
}

func webhookKeys() []Key {
	keys := append(requestKeys("endpoints[].webhook.",
		"Anything that takes HTTP requests: where it is told who is primary. A template, as body is."),
		key("endpoints[].webhook.headers", Words).same().like("['Content-Type: application/json', 'Authorization: Bearer {{secret}}']").
			doc("Headers of every request; their values are templates."),
		key("endpoints[].webhook.secret_file", File).same().
			doc("The file that holds the secret of signatures, and what `{{secret}}` stands for."),
		key("endpoints[].webhook.sign", YesNo).byDefault("true").same().
			doc("Whether requests carry X-Baton-Timestamp and X-Baton-Signature, HMAC-SHA256 of the time, a dot and the body. Without a secret they do not."),
		key("endpoints[].webhook.then", Block).same().
			doc("Further requests, each after the success of the one before: what publishes what was written."),
	)
	keys = append(keys, requestKeys("endpoints[].webhook.then[].", "Where it goes.")...)
	keys = append(keys,
		key("endpoints[].webhook.observe.url", Text).same().like("https://nacos.example.com/nacos/v2/cs/config?dataId=shop-primary&group=DB").
			doc("What is asked (GET) who is primary there: a node's name, its address with or without the port, or Baton's value. 404 is nobody. Without it nobody can see where it leads: it is told again every check, and status says so."),
		key("endpoints[].webhook.observe.json", Text).same().like("/data").
			doc("Where in its answer that stands: a JSON pointer (RFC 6901)."),
		key("endpoints[].webhook.observe.match", Text).same().like(`'primary=(\S+)'`).
			doc("Or a regular expression with one group. Without either the whole answer is it."),
	)
	return append(keys, tlsKeys("endpoints[].webhook")...)
}

func requestKeys(path, what string) []Key {
	return []Key{
		key(path+"url", Text).same().like("https://nacos.example.com/nacos/v2/cs/config").doc(what),
		choice(path+"method", "method", "POST", "PUT", "PATCH", "GET", "DELETE").byDefault("POST").same().
			doc("Its method."),
		key(path+"body", Text).byDefault("{{.Value}}").same().like("'dataId=shop-primary&group=DB&content={{urlquery .Value}}'").
			doc("Its body, a template of Go's text/template with .Cluster, .Epoch, .Planned, .Primary and .Replicas (each with .Node, .Address, .Port and .HostPort), .Value, and the functions json, urlquery and secret."),
		key(path+"expect", Text).same().like(`'"code":\s*0'`).
			doc("A regular expression that the answer has to match, for what refuses with status 200. Empty: any 2xx will do."),
	}
}

func (l *loader) judgeWebhook(block string, endpoint Endpoint) {
	e := endpoint.Webhook
	first := WebhookRequest{URL: e.URL, Method: e.Method, Body: e.Body, Expect: e.Expect}
	l.judgeRequest(block, first)
	for i, r := range e.Then {
		l.judgeRequest(at(block+".then", i, ""), r)
	}
	for i, h := range e.Headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			l.report(at(block+".headers", i, ""), fmt.Sprintf("%q is no header", h), "write it as 'Name: value', in quotes")
			continue
		}
		l.judgeTemplate(at(block+".headers", i, ""), value)
	}
	o := e.Observe
	switch {
	case o.URL != "":
		l.judgeTemplateURL(block+".observe.url", o.URL)
	case o.JSON != "" || o.Match != "":
		l.report(block+".observe.url", "is missing", "write what is asked, or remove observe")
	}
	if o.JSON != "" && o.Match != "" {
		l.report(block+".observe", "has both json and match", "keep one of them")
	}
	if o.JSON != "" && !strings.HasPrefix(o.JSON, "/") {
		l.report(block+".observe.json", fmt.Sprintf("%q is no JSON pointer", o.JSON), "write it as /data/value")
	}
	if o.Match != "" {
		if x := l.judgeExpression(block+".observe.match", o.Match); x != nil && x.NumSubexp() != 1 {
			l.report(block+".observe.match", fmt.Sprintf("%s has %d groups", o.Match, x.NumSubexp()), "put the part that names the primary, and nothing else, in parentheses")
		}
	}
	l.judgeTLS(block, e.TLS)
}

func (l *loader) judgeRequest(block string, r WebhookRequest) {
	if r.URL == "" {
		l.report(block+".url", "is missing", "write where it is told, such as https://config.example.com/"+l.cfg.Cluster)
	} else {
		l.judgeTemplateURL(block+".url", r.URL)
	}
	l.judgeTemplate(block+".body", r.Body)
	l.judgeExpression(block+".expect", r.Expect)
}

// judgeTemplate: it can be rendered.
func (l *loader) judgeTemplate(path, text string) (ok bool) {
	_, err := render.Parse(text, "")
	if err != nil {
		l.report(path, "is no template: "+err.Error(), "mend it; docs/endpoints/configuration-centres.md says what templates know")
	}
	return err == nil
}

func (l *loader) judgeTemplateURL(path, text string) {
	if !l.judgeTemplate(path, text) {
		return
	}
	before, _, _ := strings.Cut(text, "{{") // the host at least is no template
	if u, err := url.Parse(before); err == nil && u.Host == "" && (u.Scheme == "http" || u.Scheme == "https") {
		l.report(path, "its host is a template", "write the host itself: a request goes to one host and no other")
		return
	}
	l.judgeURL(path, before, "a server", "https://config.example.com/path")
}

func (l *loader) judgeExpression(path, text string) *regexp.Regexp {
	x, err := regexp.Compile(text)
	if err != nil {
		l.report(path, "is no regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "mend it; the syntax is that of RE2")
	}
	return x
}
