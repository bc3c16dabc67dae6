package clouddns

import (
	"context"
	"encoding/xml"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
)

// Route53 is a hosted zone of AWS Route 53. A batch of changes is carried out whole or
// not at all, and a deletion names the whole set of records that it deletes: so the
// reign is replaced only if it is as it was read.
type Route53 struct {
	cloudapi.AWS
	Zone string // its ID
}

// rrset is a set of records, with the text between its tags: a deletion repeats it.
type rrset struct {
	Inner            string `xml:",innerxml"`
	Name             string
	Type             string
	SetIdentifier    string
	TTL              uint32
	Values           []string `xml:"ResourceRecords>ResourceRecord>Value"`
	AliasTargetNamed string   `xml:"AliasTarget>DNSName"`
}

// Records implements Zone.
func (z *Route53) Records(ctx context.Context, name string) ([]Record, error) {
	var answer struct {
		Sets []rrset `xml:"ResourceRecordSets>ResourceRecordSet"`
	}
	// They come in the order of their names, from this one on.
	query := url.Values{"name": {name}, "maxitems": {"100"}}
	if err := z.Route53(ctx, "ListResourceRecordSets", "GET", "hostedzone/"+z.Zone+"/rrset", query, nil, &answer); err != nil {
		return nil, err
	}
	var all []Record
	for i, s := range answer.Sets {
		if canonical(s.Name) != name {
			continue
		}
		r := Record{Name: name, Kind: s.Type, TTL: s.TTL, whole: &answer.Sets[i]}
		switch {
		case s.AliasTargetNamed != "":
			r.Odd = "is an alias of Route 53's for " + strings.TrimSuffix(s.AliasTargetNamed, ".")
			s.Values = []string{""}
		case s.SetIdentifier != "":
			r.Odd, r.Line = "has a routing policy of Route 53's ("+s.SetIdentifier+")", s.SetIdentifier
		}
		for _, v := range s.Values {
			r.Value = unquoted(v)
			all = append(all, r)
		}
	}
	return all, nil
}

// change is one of a batch: of a set as it was read, or of one record.
type change struct {
	Action string
	Set    struct {
		Whole string  `xml:",innerxml"`
		Name  string  `xml:",omitempty"`
		Type  string  `xml:",omitempty"`
		TTL   *uint32 `xml:",omitempty"`
		Value *string `xml:"ResourceRecords>ResourceRecord>Value"`
	} `xml:"ResourceRecordSet"`
}

func (c *change) of(r Record, value string) {
	c.Set.Name, c.Set.Type, c.Set.TTL, c.Set.Value = r.Name+".", r.Kind, &r.TTL, &value
}

// Swap implements Zone.
func (z *Route53) Swap(ctx context.Context, p Plan) (bool, error) {
	batch := struct {
		XMLName xml.Name `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
		Changes []change `xml:"ChangeBatch>Changes>Change"`
	}{}
	deleted := map[*rrset]bool{}
	for _, r := range slices.Concat(p.Drop, p.Read) {
		s := r.whole.(*rrset)
		// Of the address's kind and without a policy it is what UPSERT replaces.
		if deleted[s] || s.Type == p.Address.Kind && s.SetIdentifier == "" {
			continue
		}
		deleted[s] = true
		c := change{Action: "DELETE"}
		c.Set.Whole = s.Inner
		batch.Changes = append(batch.Changes, c)
	}
	create, upsert := change{Action: "CREATE"}, change{Action: "UPSERT"}
	create.of(p.Reign, quoted(p.Reign.Value))
	upsert.of(p.Address, p.Address.Value)
	batch.Changes = append(batch.Changes, create, upsert)
	err := z.Route53(ctx, "ChangeResourceRecordSets", "POST", "hostedzone/"+z.Zone+"/rrset", nil, batch, nil)
	if lost(err) {
		return false, nil
	}
	return err == nil, err
}

// lost reports whether a batch was refused because what it replaces has changed.
func lost(err error) bool {
	var f *cloudapi.Fault
	if !errors.As(err, &f) || f.Code != "InvalidChangeBatch" {
		return false
	}
	for _, said := range []string{"but it was not found", "do not match the current values", "but it already exists"} {
		if strings.Contains(f.Message, said) {
			return true
		}
	}
	return false
}
