package cloudapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/baton-db/baton/internal/endpoint/sign"
)

// Cloudflare asks Cloudflare (API version 4). Its Keys have a token and nothing else.
type Cloudflare struct{ Access }

// DNS asks about the records of a zone: path is below its dns_records. A body is
// sent as JSON, and the result is decoded.
func (c Cloudflare) DNS(ctx context.Context, method, zone, path string, query url.Values, body, into any) error {
	keys, err := c.Keys.Keys(ctx)
	if err != nil {
		return err
	}
	base, _ := c.base("https://api.cloudflare.com")
	r := sign.Request{Method: method, Path: "/client/v4/zones/" + zone + "/dns_records" + path, Query: sign.Query(query)}
	header := http.Header{"Authorization": {"Bearer " + keys.Token}}
	if body != nil {
		header.Set("Content-Type", "application/json")
		if r.Body, err = json.Marshal(body); err != nil {
			return err
		}
	}
	permission := "DNS:Edit"
	if method == http.MethodGet {
		permission = "DNS:Read"
	}
	answer, err := c.send(ctx, permission, base, r, header, []string{keys.Token}, cloudflareFault)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(answer, &struct {
		Result any `json:"result"`
	}{into}); err != nil {
		return unread(permission, answer, err)
	}
	return nil
}

func cloudflareFault(answer []byte) (Fault, bool) {
	var e struct {
		Success *bool
		Errors  []struct {
			Code    int
			Message string
		}
	}
	f := Fault{Vendor: "Cloudflare"}
	if json.Unmarshal(answer, &e) != nil || e.Success == nil || *e.Success {
		return f, false
	}
	if len(e.Errors) > 0 {
		f.Code, f.Message = strconv.Itoa(e.Errors[0].Code), e.Errors[0].Message
	}
	return f, true
}
