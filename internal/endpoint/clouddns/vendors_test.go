package clouddns_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
	"github.com/baton-db/baton/internal/endpoint/cloudapi/cloudtest"
	"github.com/baton-db/baton/internal/endpoint/clouddns"
	"github.com/baton-db/baton/internal/endpoint/sign"
)

const (
	zoneName   = "shop.example.org"
	zoneID     = "Z0123456789ABC"
	fileSecret = cloudtest.Secret
)

// vendor is one of the four, as it is documented, with a zone of its own.
type vendor struct {
	start func(t *testing.T, s *store) *cloudtest.Server
	open  func(url, id, secret string) clouddns.Zone
	// swaps says that a change is refused by the vendor if the reign is not as read.
	swaps bool
	// What it answers in trouble, as documented, by name of the trouble.
	throttled, denied, broken cloudtest.Answer
	read, write               string // what looking and changing is called
}

func access(url, id, secret string) cloudapi.Access {
	return cloudapi.Access{URL: url, Keys: cloudapi.Fixed(sign.Keys{ID: id, Secret: secret, Token: ""})}
}

func vendors() map[string]vendor {
	return map[string]vendor{"route53": route53(), "cloudflare": cloudflare(), "alidns": alidns(), "dnspod": dnspod()}
}

// route53 is https://docs.aws.amazon.com/Route53/latest/APIReference.
func route53() vendor {
	fault := func(status int, code, message string) cloudtest.Answer {
		return cloudtest.Answer{Status: status, Body: `<?xml version="1.0"?><ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Error><Type>Sender</Type><Code>` +
			code + `</Code><Message>` + html.EscapeString(message) + `</Message></Error><RequestId>7eb28fd5</RequestId></ErrorResponse>`}
	}
	return vendor{
		swaps: true, read: "ListResourceRecordSets", write: "ChangeResourceRecordSets",
		throttled: fault(400, "Throttling", "Rate exceeded"),
		denied:    fault(403, "AccessDenied", "User: arn:aws:iam::1:user/baton is not authorized to perform: route53:ChangeResourceRecordSets"),
		broken:    cloudtest.Answer{Status: 503, Body: "<html>Service Unavailable</html>"},
		open: func(url, id, secret string) clouddns.Zone {
			return &clouddns.Route53{AWS: cloudapi.AWS{Access: access(url, id, secret), Region: "eu-central-1"}, Zone: zoneID}
		},
		start: func(t *testing.T, s *store) *cloudtest.Server {
			return cloudtest.Start(t, cloudtest.Vendor{
				Signed: cloudtest.AWS("route53", "us-east-1"),
				Refuse: func(why error) cloudtest.Answer {
					return fault(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided: "+why.Error())
				},
				Action: func(r *http.Request, _ []byte) string {
					if r.Method == http.MethodGet {
						return "ListResourceRecordSets"
					}
					return "ChangeResourceRecordSets"
				},
				Answer: func(r *http.Request, body []byte) cloudtest.Answer {
					switch {
					case r.URL.Path != "/2013-04-01/hostedzone/"+zoneID+"/rrset":
						return fault(404, "NoSuchHostedZone", "No hosted zone found with ID: "+r.URL.Path)
					case r.Method == http.MethodGet:
						return cloudtest.Answer{Body: route53List(s, r.URL.Query().Get("name"))}
					}
					s.write()
					if why := route53Change(s, body); why != "" {
						return fault(400, "InvalidChangeBatch", "["+why+"]")
					}
					return cloudtest.Answer{Body: `<?xml version="1.0"?><ChangeResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeInfo><Id>/change/C2682N5HXP0BZ4</Id><Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>`}
				},
			})
		},
	}
}

// set is what is between the tags of a set of records.
func route53Set(entries []entry) string {
	e := entries[0]
	text := "<Name>" + e.name + ".</Name><Type>" + e.kind + "</Type>"
	if e.line != "" {
		text += "<SetIdentifier>" + e.line + "</SetIdentifier><Weight>10</Weight>"
	}
	if e.value == "" {
		return text + "<AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>lb.example.com.</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>"
	}
	text += "<TTL>" + strconv.Itoa(e.ttl) + "</TTL><ResourceRecords>"
	for _, e := range entries {
		value := e.value
		if e.kind == "TXT" {
			value = `"` + value + `"`
		}
		text += "<ResourceRecord><Value>" + html.EscapeString(value) + "</Value></ResourceRecord>"
	}
	return text + "</ResourceRecords>"
}

func route53Sets(s *store) map[string][]entry {
	sets := map[string][]entry{}
	for _, e := range s.entries {
		key := e.name + " " + e.kind + " " + e.line
		sets[key] = append(sets[key], e)
	}
	return sets
}

func route53List(s *store, from string) string {
	text := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<ListResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ResourceRecordSets>`
	sets := route53Sets(s)
	for _, e := range append(s.at(from), s.entries...) { // those at the name first, others behind them
		key := e.name + " " + e.kind + " " + e.line
		if set, ok := sets[key]; ok {
			text += "<ResourceRecordSet>" + route53Set(set) + "</ResourceRecordSet>"
			delete(sets, key)
		}
	}
	return text + "</ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems></ListResourceRecordSetsResponse>"
}

// route53Change carries a batch out, all of it or nothing, and says why not.
func route53Change(s *store, body []byte) (why string) {
	var batch struct {
		XMLName xml.Name `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
		Changes []struct {
			Action string
			Set    struct {
				Inner         string `xml:",innerxml"`
				Name, Type    string
				SetIdentifier string
				TTL           int
				Values        []string `xml:"ResourceRecords>ResourceRecord>Value"`
			} `xml:"ResourceRecordSet"`
		} `xml:"ChangeBatch>Changes>Change"`
	}
	if err := xml.Unmarshal(body, &batch); err != nil {
		return err.Error()
	}
	work := store{entries: slices.Clone(s.entries), last: s.last}
	for _, c := range batch.Changes {
		name := strings.TrimSuffix(c.Set.Name, ".")
		there := route53Sets(&work)[name+" "+c.Set.Type+" "+c.Set.SetIdentifier]
		shown := fmt.Sprintf("resource record set [name='%s', type='%s'] but ", c.Set.Name, c.Set.Type)
		switch {
		case c.Action == "DELETE" && there == nil:
			return "Tried to delete " + shown + "it was not found"
		case c.Action == "DELETE" && route53Set(there) != c.Set.Inner:
			return "Tried to delete " + shown + "the values provided do not match the current values"
		case c.Action == "CREATE" && there != nil:
			return "Tried to create " + shown + "it already exists"
		}
		for _, e := range there {
			_ = work.remove(e.id)
		}
		if c.Action == "DELETE" {
			continue
		}
		for _, e := range work.at(name) {
			if e.kind == "CNAME" || c.Set.Type == "CNAME" || e.kind == c.Set.Type {
				return "RRSet of type " + c.Set.Type + " with DNS name " + c.Set.Name + " is not permitted because a conflicting RRSet exists"
			}
		}
		for _, v := range c.Set.Values {
			_, _ = work.add(entry{name: name, kind: c.Set.Type, value: strings.Trim(v, `"`), ttl: c.Set.TTL})
		}
	}
	s.entries, s.last = work.entries, work.last
	return ""
}

// cloudflare is https://developers.cloudflare.com/api/resources/dns.
func cloudflare() vendor {
	fault := func(status, code int, message string) cloudtest.Answer {
		return cloudtest.Answer{Status: status, Body: fmt.Sprintf(`{"success":false,"errors":[{"code":%d,"message":%q}],"messages":[],"result":null}`, code, message)}
	}
	throttled := fault(429, 10429, "Rate limited. Please wait and consider throttling your request speed")
	throttled.Header = http.Header{"Retry-After": {"3"}}
	return vendor{
		swaps: true, read: "GET", write: "POST", throttled: throttled,
		denied: cloudtest.Answer{Status: 403, Body: `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}`},
		broken: fault(502, 0, "bad gateway"),
		open: func(url, _, secret string) clouddns.Zone {
			a := access(url, "", "")
			a.Keys = cloudapi.Fixed{Token: secret}
			return &clouddns.Cloudflare{Cloudflare: cloudapi.Cloudflare{Access: a}, Zone: zoneID}
		},
		start: func(t *testing.T, s *store) *cloudtest.Server {
			return cloudtest.Start(t, cloudtest.Vendor{
				Action: func(r *http.Request, _ []byte) string { return r.Method },
				Signed: func(_ *cloudtest.Server, r *http.Request, _ []byte) error {
					if r.Header.Get("Authorization") != "Bearer "+fileSecret {
						return errGone
					}
					return nil
				},
				Refuse: func(why error) cloudtest.Answer { return fault(403, 9109, "Invalid access token ("+why.Error()+")") },
				Answer: func(r *http.Request, body []byte) cloudtest.Answer {
					path, ok := strings.CutPrefix(r.URL.Path, "/client/v4/zones/"+zoneID+"/dns_records")
					switch {
					case !ok:
						return fault(404, 7003, "Could not route to "+r.URL.Path+", perhaps your object identifier is invalid?")
					case r.Method == http.MethodGet:
						return cloudflareList(s, r.URL.Query().Get("name.exact"))
					case path != "/batch":
						return fault(405, 10000, "method not allowed")
					}
					s.write()
					if code, why := cloudflareBatch(s, body); code != 0 {
						return fault(400, code, why)
					}
					return cloudtest.Answer{Body: `{"success":true,"errors":[],"messages":[],"result":{}}`}
				},
			})
		},
	}
}

type cloudflareEntry struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Content string `json:"content"`
	TTL     int    `json:"ttl"`
	Proxied bool   `json:"proxied"`
}

func cloudflareList(s *store, name string) cloudtest.Answer {
	all := []cloudflareEntry{}
	for _, e := range s.at(name) {
		c := cloudflareEntry{e.id, e.kind, e.name, e.value, e.ttl, e.proxied}
		if e.kind == "TXT" {
			c.Content = `"` + e.value + `"`
		}
		all = append(all, c)
	}
	text, _ := json.Marshal(map[string]any{"success": true, "errors": []string{}, "result": all})
	return cloudtest.Answer{Body: string(text)}
}

func cloudflareBatch(s *store, body []byte) (code int, why string) {
	var batch struct{ Deletes, Patches, Puts, Posts []cloudflareEntry }
	if err := json.Unmarshal(body, &batch); err != nil {
		return 9207, err.Error()
	}
	work := store{entries: slices.Clone(s.entries), last: s.last}
	for _, d := range batch.Deletes {
		if work.remove(d.ID) != nil {
			return 81044, "Record does not exist."
		}
	}
	for i, c := range append(batch.Patches, batch.Posts...) {
		e := entry{id: c.ID, name: c.Name, kind: c.Type, value: strings.Trim(c.Content, `"`), ttl: c.TTL, proxied: c.Proxied}
		if c.TTL < 30 {
			return 9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic."
		}
		if i < len(batch.Patches) {
			if work.update(e) == errGone {
				return 81044, "Record does not exist."
			}
			continue
		}
		if slices.ContainsFunc(work.at(e.name), func(x entry) bool { return x.kind == "CNAME" }) {
			return 81053, "An A, AAAA, or CNAME record with that host already exists."
		}
		if _, err := work.add(e); err != nil {
			return 81058, "An identical record already exists."
		}
	}
	s.entries, s.last = work.entries, work.last
	return 0, ""
}

// byRecord is what AliDNS and DNSPod have in common: one record at a time.
func byRecord(s *store, action, id string, e entry) (newID string, err error) {
	s.write()
	if e.kind != "CNAME" && action != "remove" && slices.ContainsFunc(s.at(e.name), func(x entry) bool { return x.kind == "CNAME" && x.id != id }) {
		return "", errThere
	}
	switch action {
	case "add":
		return s.add(e)
	case "update":
		e.id = id
		return id, s.update(e)
	}
	return id, s.remove(id)
}

func full(label string) string {
	if label == "@" {
		return zoneName
	}
	return label + "." + zoneName
}

func label(name string) string { return strings.TrimSuffix(name, "."+zoneName) }

// alidns is https://www.alibabacloud.com/help/en/dns/api-alidns-2015-01-09-overview.
func alidns() vendor {
	fault := func(status int, code, message string) cloudtest.Answer {
		return cloudtest.Answer{Status: status, Body: fmt.Sprintf(`{"RequestId":"0B7A","HostId":"alidns.aliyuncs.com","Code":%q,"Message":%q,"Recommend":"https://api.aliyun.com/troubleshoot"}`, code, message)}
	}
	return vendor{
		read: "DescribeSubDomainRecords", write: "UpdateDomainRecord",
		throttled: fault(400, "Throttling.User", "Request was denied due to user flow control."),
		denied: cloudtest.Answer{Status: 403, Body: `{"RequestId":"0B7A","Code":"Forbidden.RAM","Message":"User not authorized to operate on the specified resource, or this API doesn't support RAM.",
			"AccessDeniedDetail":{"AuthAction":"alidns:UpdateDomainRecord","AuthPrincipalType":"SubUser","PolicyType":"AccountLevelIdentityBasedPolicy"}}`},
		broken: fault(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server."),
		open: func(url, id, secret string) clouddns.Zone {
			return &clouddns.AliDNS{Aliyun: cloudapi.Aliyun{Access: access(url, id, secret), Region: "cn-hangzhou"}, Zone: zoneName}
		},
		start: func(t *testing.T, s *store) *cloudtest.Server {
			return cloudtest.Start(t, cloudtest.Vendor{
				Action: func(r *http.Request, _ []byte) string { return r.Header.Get("X-Acs-Action") },
				Signed: cloudtest.Aliyun,
				Refuse: func(why error) cloudtest.Answer {
					return fault(400, "SignatureDoesNotMatch", "Specified signature does not match our calculation: "+why.Error())
				},
				Answer: func(r *http.Request, _ []byte) cloudtest.Answer {
					q := r.URL.Query()
					if r.Header.Get("X-Acs-Version") != "2015-01-09" {
						return fault(404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
					}
					action := map[string]string{"AddDomainRecord": "add", "UpdateDomainRecord": "update", "DeleteDomainRecord": "remove"}[r.Header.Get("X-Acs-Action")]
					if action == "" {
						return alidnsList(s, q.Get("SubDomain"))
					}
					ttl, _ := strconv.Atoi(q.Get("TTL"))
					id, err := byRecord(s, action, q.Get("RecordId"), entry{name: full(q.Get("RR")), kind: q.Get("Type"), value: q.Get("Value"), ttl: ttl})
					switch err {
					case errThere:
						return fault(400, "DomainRecordDuplicate", "The DNS record already exists.")
					case errGone:
						return fault(400, "DomainRecordNotBelongToUser", "The domain name record does not belong to the user.")
					}
					return cloudtest.Answer{Body: fmt.Sprintf(`{"RequestId":"0B7A","RecordId":%q}`, id)}
				},
			})
		},
	}
}

func alidnsList(s *store, name string) cloudtest.Answer {
	type record struct {
		RR, Status, Value, RecordId, Type, DomainName, Line string
		Locked                                              bool
		TTL                                                 int
	}
	all := []record{}
	for _, e := range s.at(name) {
		r := record{RR: label(e.name), Status: "ENABLE", Value: e.value, RecordId: e.id, Type: e.kind, DomainName: zoneName, Line: "default", TTL: e.ttl}
		if e.line != "" {
			r.Line = e.line
		}
		if e.off {
			r.Status = "DISABLE"
		}
		all = append(all, r)
	}
	text, _ := json.Marshal(map[string]any{"TotalCount": len(all), "PageNumber": 1, "PageSize": 100, "RequestId": "0B7A", "DomainRecords": map[string]any{"Record": all}})
	return cloudtest.Answer{Body: string(text)}
}

// dnspod is https://cloud.tencent.com/document/api/1427/56193.
func dnspod() vendor {
	fault := func(code, message string) cloudtest.Answer {
		return cloudtest.Answer{Body: fmt.Sprintf(`{"Response":{"Error":{"Code":%q,"Message":%q},"RequestId":"1c2d"}}`, code, message)}
	}
	return vendor{
		read: "DescribeRecordList", write: "ModifyRecord",
		throttled: fault("RequestLimitExceeded", "您当前每秒请求 `21` 次，超过了每秒频率上限 `20` 次，请稍后重试。"),
		denied:    fault("AuthFailure.UnauthorizedOperation", "you are not authorized to perform operation (dnspod:ModifyRecord)"),
		broken:    fault("InternalError", "An internal error has occurred."),
		open: func(url, id, secret string) clouddns.Zone {
			return &clouddns.DNSPod{Tencent: cloudapi.Tencent{Access: access(url, id, secret)}, Zone: zoneName}
		},
		start: func(t *testing.T, s *store) *cloudtest.Server {
			return cloudtest.Start(t, cloudtest.Vendor{
				Action: func(r *http.Request, _ []byte) string { return r.Header.Get("X-Tc-Action") },
				Signed: cloudtest.Tencent("dnspod"),
				Refuse: func(why error) cloudtest.Answer {
					return fault("AuthFailure.SignatureFailure", "The provided credentials could not be validated: "+why.Error())
				},
				Answer: func(r *http.Request, body []byte) cloudtest.Answer {
					var q struct {
						Domain, SubDomain, RecordType, RecordLine, RecordLineId, Value string
						RecordId                                                       int
						TTL                                                            int
					}
					if err := json.Unmarshal(body, &q); err != nil || r.Header.Get("X-Tc-Version") != "2021-03-23" {
						return fault("InvalidParameter", "bad request")
					}
					if q.Domain != zoneName {
						return fault("ResourceNotFound.NoDataOfDomain", "no such domain")
					}
					action := map[string]string{"CreateRecord": "add", "ModifyRecord": "update", "DeleteRecord": "remove"}[r.Header.Get("X-Tc-Action")]
					if action == "" {
						return dnspodList(s, full(q.SubDomain), fault)
					}
					if action != "remove" && q.RecordLine != "默认" {
						return fault("InvalidParameter.RecordLineInvalid", "bad line")
					}
					id, err := byRecord(s, action, strconv.Itoa(q.RecordId), entry{name: full(q.SubDomain), kind: q.RecordType, value: q.Value, ttl: q.TTL})
					switch err {
					case errThere:
						return fault("InvalidParameter.DomainRecordExist", "记录已经存在，无需再次添加。")
					case errGone:
						return fault("InvalidParameter.RecordIdInvalid", "记录编号错误。")
					}
					return cloudtest.Answer{Body: fmt.Sprintf(`{"Response":{"RecordId":%s,"RequestId":"1c2d"}}`, id)}
				},
			})
		},
	}
}

func dnspodList(s *store, name string, fault func(code, message string) cloudtest.Answer) cloudtest.Answer {
	type record struct {
		RecordId                                int
		Value, Status, Name, Line, LineId, Type string
		TTL                                     int
	}
	var all []record
	for _, e := range s.at(name) {
		id, _ := strconv.Atoi(e.id)
		r := record{RecordId: id, Value: e.value, Status: "ENABLE", Name: label(e.name), Line: "默认", LineId: "0", Type: e.kind, TTL: e.ttl}
		if e.line != "" {
			r.Line, r.LineId = e.line, "10=0"
		}
		if e.off {
			r.Status = "DISABLE"
		}
		all = append(all, r)
	}
	if all == nil {
		return fault("ResourceNotFound.NoDataOfRecord", "记录列表为空。")
	}
	text, _ := json.Marshal(map[string]any{"Response": map[string]any{"RecordList": all, "RequestId": "1c2d"}})
	return cloudtest.Answer{Body: string(text)}
}
