package notify

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/baton-db/baton/internal/httpcall"
)

const (
	token  = "t0ken-of-the-robot"
	secret = "this is secret"
)

func noon() time.Time { return time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC) } // 1795168800

func sample() Notice {
	return Notice{ID: "shop/db2/server-down/x/raised", Kind: Raised, Severity: Critical, Cluster: "shop", Node: "db2", Reason: "server-down",
		Sign: "The server <db2> does not answer & more.", By: "db1", At: "2026-11-20T10:00:00Z"}
}

// The expected signatures were made by the vendors' own sample programs (Python), with
// this time and these secrets.
func TestSignaturesAreWhatTheVendorsDocument(t *testing.T) {
	const ding = "https://oapi.dingtalk.com/robot/send?access_token=x&timestamp=1795168800000&sign=Zh%2Bgc9B8zTjiMwwdcvC61PGQMs6hGzeFZ1ZeBv44PKk%3D"
	if got := DingTalkURL("https://oapi.dingtalk.com/robot/send?access_token=x", secret, noon()); got != ding {
		t.Errorf("DingTalk: %s", got)
	}
	if got := FeishuSign("demo", "1795168800"); got != "LoPqqZTT2Oexvp1uylJ7LtldU/8yhHzvkx4h+EQnYds=" {
		t.Errorf("Feishu: %s", got)
	}
}

// robot is a server that looks at what it gets and answers.
func robot(t *testing.T, kind string, answer func(r *http.Request, body string) (int, string)) Hook {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		status, text := answer(r, string(body))
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return Hook{Kind: kind, URL: s.URL + "/robot/" + token + "?access_token=" + token, Now: noon}
}

func TestEachChatGetsWhatItUnderstands(t *testing.T) {
	text, err := json.Marshal(sample().Text())
	if err != nil {
		t.Fatal(err)
	}
	slack := strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;").Replace(sample().Text())
	for name, tt := range map[string]struct {
		kind, secret string
		answer       string
		want         func(r *http.Request, body string) bool
	}{
		"slack": {"slack", "", "ok", func(_ *http.Request, body string) bool {
			var m struct{ Text string }
			return json.Unmarshal([]byte(body), &m) == nil && m.Text == slack
		}},
		"dingtalk, signed": {"dingtalk", secret, `{"errcode":0,"errmsg":"ok"}`, func(r *http.Request, body string) bool {
			q := r.URL.Query()
			return body == `{"msgtype":"text","text":{"content":`+string(text)+`}}` && q.Get("access_token") == token &&
				q.Get("timestamp") == "1795168800000" && q.Get("sign") == "Zh+gc9B8zTjiMwwdcvC61PGQMs6hGzeFZ1ZeBv44PKk="
		}},
		"dingtalk, by keyword": {"dingtalk", "", `{"errcode":0,"errmsg":"ok"}`, func(r *http.Request, _ string) bool { return r.URL.RawQuery == "access_token="+token }},
		"feishu, signed": {"feishu", "demo", `{"StatusCode":0,"StatusMessage":"success","code":0,"msg":"success"}`, func(_ *http.Request, body string) bool {
			return body == `{"content":{"text":`+string(text)+`},"msg_type":"text","sign":"LoPqqZTT2Oexvp1uylJ7LtldU/8yhHzvkx4h+EQnYds=","timestamp":"1795168800"}`
		}},
		"wecom": {"wecom", "", `{"errcode":0,"errmsg":"ok"}`, func(_ *http.Request, body string) bool {
			return body == `{"msgtype":"text","text":{"content":`+string(text)+`}}`
		}},
		"webhook, signed": {"webhook", secret, "", func(r *http.Request, body string) bool {
			var n Notice
			return json.Unmarshal([]byte(body), &n) == nil && n == sample() && r.Header.Get("X-Baton-Timestamp") == "1795168800" &&
				r.Header.Get("X-Baton-Signature") == httpcall.Signature(secret, "1795168800", []byte(body))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := robot(t, tt.kind, func(r *http.Request, body string) (int, string) {
				if !tt.want(r, body) {
					t.Errorf("it gets %s %s %s", r.URL, r.Header, body)
				}
				return http.StatusOK, tt.answer
			})
			h.Secret = tt.secret
			if err := h.Send(t.Context(), sample()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatAChatRefusesIsSaidWithoutItsToken(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   string
		status int
		answer string
		says   string
	}{
		"dingtalk wants another signature": {"dingtalk", 200, `{"errcode":310000,"errmsg":"sign not match ` + token + `"}`, "dingtalk refuses: sign not match (secret) (310000)"},
		"feishu wants another signature":   {"feishu", 200, `{"code":19021,"msg":"sign match fail or timestamp is not within one hour"}`, "feishu refuses: sign match fail"},
		"wecom knows no such robot":        {"wecom", 200, `{"errcode":93000,"errmsg":"invalid webhook url"}`, "wecom refuses: invalid webhook url (93000)"},
		"slack has no such hook":           {"slack", 404, "no_service " + secret, "answers 404 Not Found: no_service (secret)"},
		"something else answers":           {"wecom", 200, "<html>log in, " + token, `wecom answers "<html>log in, (secret)", which is none of its answers`},
		"it is throttled":                  {"webhook", 429, "", "answers 429 Too Many Requests"},
	} {
		t.Run(name, func(t *testing.T) {
			h := robot(t, tt.kind, func(*http.Request, string) (int, string) { return tt.status, tt.answer })
			h.Secret = secret
			err := h.Send(t.Context(), sample())
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want that it says %q", err, tt.says)
			}
		})
	}
}
