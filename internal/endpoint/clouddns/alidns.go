package clouddns

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
)

// AliDNS is a zone of Alibaba Cloud DNS. It changes one record at a time, by its ID.
type AliDNS struct {
	cloudapi.Aliyun
	Zone string // the domain
}

// label is a name as it is written within its zone.
func label(name, zone string) string {
	if name == zone {
		return "@"
	}
	return strings.TrimSuffix(name, "."+zone)
}

// line is which clients get a record; all of them are "" here.
func line(says string, all ...string) string {
	for _, a := range all {
		if says == a {
			return ""
		}
	}
	return says
}

// Records implements Zone.
func (z *AliDNS) Records(ctx context.Context, name string) ([]Record, error) {
	var answer struct {
		DomainRecords struct {
			Record []struct {
				RecordID                      string `json:"RecordId"`
				RR, Type, Value, Line, Status string
				TTL                           uint32
			}
		}
	}
	err := z.DNS(ctx, "DescribeSubDomainRecords", url.Values{"SubDomain": {name}, "DomainName": {z.Zone}, "PageSize": {"100"}}, &answer)
	if err != nil {
		return nil, err
	}
	var all []Record
	for _, r := range answer.DomainRecords.Record {
		if strings.EqualFold(r.RR, label(name, z.Zone)) {
			all = append(all, Record{ID: r.RecordID, Name: name, Kind: r.Type, Value: unquoted(r.Value), TTL: r.TTL, Line: line(r.Line, "default"), Off: strings.EqualFold(r.Status, "DISABLE")})
		}
	}
	return all, nil
}

// Swap implements Zone.
func (z *AliDNS) Swap(ctx context.Context, p Plan) (bool, error) { return stepwise(ctx, z, p) }

func (z *AliDNS) params(r Record) url.Values {
	return url.Values{"RR": {label(r.Name, z.Zone)}, "Type": {r.Kind}, "Value": {r.Value}, "TTL": {strconv.Itoa(int(r.TTL))}, "Line": {"default"}}
}

func (z *AliDNS) add(ctx context.Context, r Record) error {
	params := z.params(r)
	params.Set("DomainName", z.Zone)
	return z.DNS(ctx, "AddDomainRecord", params, nil)
}

func (z *AliDNS) update(ctx context.Context, r Record) error {
	params := z.params(r)
	params.Set("RecordId", r.ID)
	return z.DNS(ctx, "UpdateDomainRecord", params, nil)
}

func (z *AliDNS) remove(ctx context.Context, r Record) error {
	return z.DNS(ctx, "DeleteDomainRecord", url.Values{"RecordId": {r.ID}}, nil)
}
