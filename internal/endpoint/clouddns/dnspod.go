package clouddns

import (
	"context"
	"strconv"
	"strings"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
)

// DNSPod is a zone of Tencent Cloud's DNSPod. It changes one record at a time, by its ID.
type DNSPod struct {
	cloudapi.Tencent
	Zone string // the domain
}

// everybody is DNSPod's name for the line of all clients.
const everybody = "默认"

// dnspodRecord is what a request says.
type dnspodRecord struct {
	Domain       string
	RecordID     uint64 `json:"RecordId,omitempty"`
	SubDomain    string `json:",omitempty"`
	RecordType   string `json:",omitempty"`
	RecordLine   string `json:",omitempty"`
	RecordLineID string `json:"RecordLineId,omitempty"`
	Value        string `json:",omitempty"`
	TTL          uint32 `json:",omitempty"`
}

// Records implements Zone.
func (z *DNSPod) Records(ctx context.Context, name string) ([]Record, error) {
	var answer struct {
		RecordList []struct {
			RecordID                        uint64 `json:"RecordId"`
			Name, Type, Value, Line, Status string
			TTL                             uint32
		}
	}
	ask := struct {
		Domain, Subdomain string
		Limit             int
	}{z.Zone, label(name, z.Zone), 100}
	err := z.Tencent.DNSPod(ctx, "DescribeRecordList", ask, &answer)
	if has(err, "ResourceNotFound.NoDataOfRecord") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Record
	for _, r := range answer.RecordList {
		if strings.EqualFold(r.Name, ask.Subdomain) {
			all = append(all, Record{ID: strconv.FormatUint(r.RecordID, 10), Name: name, Kind: r.Type, Value: unquoted(r.Value), TTL: r.TTL,
				Line: line(r.Line, everybody, "Default"), Off: strings.EqualFold(r.Status, "DISABLE")})
		}
	}
	return all, nil
}

// Swap implements Zone.
func (z *DNSPod) Swap(ctx context.Context, p Plan) (bool, error) { return stepwise(ctx, z, p) }

func (z *DNSPod) say(r Record) dnspodRecord {
	id, _ := strconv.ParseUint(r.ID, 10, 64) // it was a number when it was read
	return dnspodRecord{Domain: z.Zone, RecordID: id, SubDomain: label(r.Name, z.Zone), RecordType: r.Kind, RecordLine: everybody, RecordLineID: "0", Value: r.Value, TTL: r.TTL}
}

func (z *DNSPod) add(ctx context.Context, r Record) error {
	return z.Tencent.DNSPod(ctx, "CreateRecord", z.say(r), nil)
}

func (z *DNSPod) update(ctx context.Context, r Record) error {
	return z.Tencent.DNSPod(ctx, "ModifyRecord", z.say(r), nil)
}

func (z *DNSPod) remove(ctx context.Context, r Record) error {
	return z.Tencent.DNSPod(ctx, "DeleteRecord", dnspodRecord{Domain: z.Zone, RecordID: z.say(r).RecordID}, nil)
}
