package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/baton-db/baton/internal/httpcall"
)

// Hook is a receiver that is told by one HTTP request: a chat's robot, or anything.
type Hook struct {
	Kind   string // webhook, slack, dingtalk, feishu, wecom
	URL    string // of a chat: with the token that makes it secret
	Secret string // of the signature; empty: none
	Client httpcall.Client
	Now    func() time.Time
}

// Hooks are the kinds of receivers that a Hook can be.
func Hooks() []string { return []string{"webhook", "slack", "dingtalk", "feishu", "wecom"} }

// Send implements Sender.
func (h Hook) Send(ctx context.Context, n Notice) error {
	target, header, body := h.URL, http.Header{"Content-Type": {"application/json; charset=utf-8"}}, any(nil)
	seconds := strconv.FormatInt(h.Now().Unix(), 10)
	switch h.Kind {
	case "slack":
		body = map[string]string{"text": slackEscapes.Replace(n.Text())}
	case "dingtalk":
		body = textMessage("msgtype", n.Text())
		if h.Secret != "" {
			target = DingTalkURL(target, h.Secret, h.Now())
		}
	case "feishu":
		message := map[string]any{"msg_type": "text", "content": map[string]string{"text": n.Text()}}
		if h.Secret != "" {
			message["timestamp"], message["sign"] = seconds, FeishuSign(h.Secret, seconds)
		}
		body = message
	case "wecom":
		body = textMessage("msgtype", n.Text())
	default:
		body = n
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the message: %w", err)
	}
	if h.Kind == "webhook" && h.Secret != "" {
		header.Set(httpcall.HeaderTime, seconds)
		header.Set(httpcall.HeaderSignature, httpcall.Signature(h.Secret, seconds, text))
	}
	answer, err := h.Client.Do(ctx, httpcall.Request{Method: http.MethodPost, URL: target, Header: header, Body: text, Hidden: h.hidden()})
	if err != nil {
		return err
	}
	return h.judge(answer)
}

func textMessage(kind, text string) map[string]any {
	return map[string]any{kind: "text", "text": map[string]string{"content": text}}
}

// slackEscapes are the three that Slack wants ("Formatting text for app surfaces").
var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// hidden are the secret and whatever of the URL makes it one.
func (h Hook) hidden() []string {
	hidden := []string{h.Secret}
	if u, err := url.Parse(h.URL); err == nil && h.Kind != "webhook" {
		hidden = append(hidden, u.RawQuery)
		for _, values := range u.Query() {
			hidden = append(hidden, values...)
		}
		for _, part := range strings.Split(u.Path, "/") {
			if len(part) > 8 { // a token, not a word of the path
				hidden = append(hidden, part)
			}
		}
	}
	return hidden
}

// judge reads what robots answer with status 200.
func (h Hook) judge(answer []byte) error {
	var said struct {
		Errcode, Code int
		Errmsg, Msg   string
	}
	if h.Kind != "dingtalk" && h.Kind != "feishu" && h.Kind != "wecom" {
		return nil
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return fmt.Errorf("%s answers %q, which is none of its answers", h.Kind, httpcall.Excerpt(answer, h.hidden()))
	}
	if code := said.Errcode + said.Code; code != 0 {
		return fmt.Errorf("%s refuses: %s (%d)", h.Kind, httpcall.Excerpt([]byte(said.Errmsg+said.Msg), h.hidden()), code)
	}
	return nil
}

// DingTalkURL adds the signature of a custom robot ("加签"): of the time in ms, a
// line feed and the secret, by HMAC-SHA256 under the secret, in base64.
func DingTalkURL(robot, secret string, now time.Time) string {
	at := strconv.FormatInt(now.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "\n" + secret))
	separator := "&"
	if !strings.Contains(robot, "?") {
		separator = "?"
	}
	return robot + separator + "timestamp=" + at + "&sign=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// FeishuSign is the signature of a custom bot ("签名校验"): HMAC-SHA256 of nothing
// under the time in seconds, a line feed and the secret, in base64.
func FeishuSign(secret, seconds string) string {
	mac := hmac.New(sha256.New, []byte(seconds+"\n"+secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
