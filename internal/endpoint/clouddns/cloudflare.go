package clouddns

import (
	"context"
	"net/http"
	"net/url"

	"github.com/baton-db/baton/internal/endpoint/cloudapi"
)

// Cloudflare is a zone of Cloudflare's. A batch of changes is carried out whole or not
// at all, and every record has an ID of its own: replacing the reign is deleting the
// record that was read and adding another, and fails if that one is gone.
type Cloudflare struct {
	cloudapi.Cloudflare
	Zone string // its ID
}

type cloudflareRecord struct {
	ID      string `json:"id,omitempty"`
	Type    string `json:"type,omitempty"`
	Name    string `json:"name,omitempty"`
	Content string `json:"content,omitempty"`
	TTL     uint32 `json:"ttl,omitempty"`
	Proxied *bool  `json:"proxied,omitempty"`
}

// Records implements Zone.
func (z *Cloudflare) Records(ctx context.Context, name string) ([]Record, error) {
	var got []cloudflareRecord
	if err := z.DNS(ctx, http.MethodGet, z.Zone, "", url.Values{"name.exact": {name}, "per_page": {"100"}}, nil, &got); err != nil {
		return nil, err
	}
	var all []Record
	for _, g := range got {
		r := Record{ID: g.ID, Name: canonical(g.Name), Kind: g.Type, Value: unquoted(g.Content), TTL: g.TTL}
		if g.Proxied != nil && *g.Proxied {
			r.Odd = "is proxied by Cloudflare, which does not pass a database's connections on"
		}
		if r.Name == name {
			all = append(all, r)
		}
	}
	return all, nil
}

// Swap implements Zone.
func (z *Cloudflare) Swap(ctx context.Context, p Plan) (bool, error) {
	var batch struct {
		Deletes []cloudflareRecord `json:"deletes,omitempty"`
		Patches []cloudflareRecord `json:"patches,omitempty"`
		Posts   []cloudflareRecord `json:"posts,omitempty"`
	}
	for _, all := range [][]Record{p.Drop, p.Read} {
		for _, r := range all {
			batch.Deletes = append(batch.Deletes, cloudflareRecord{ID: r.ID})
		}
	}
	plain := new(bool)
	address := cloudflareRecord{ID: p.Address.ID, Type: p.Address.Kind, Name: p.Address.Name, Content: p.Address.Value, TTL: p.Address.TTL, Proxied: plain}
	if address.ID != "" {
		batch.Patches = append(batch.Patches, address)
	} else {
		batch.Posts = append(batch.Posts, address)
	}
	batch.Posts = append(batch.Posts, cloudflareRecord{Type: "TXT", Name: p.Reign.Name, Content: quoted(p.Reign.Value), TTL: p.Reign.TTL})
	err := z.DNS(ctx, http.MethodPost, z.Zone, "/batch", nil, batch, nil)
	if has(err, "81044", "81057", "81058") { // is gone; is there already
		return false, nil
	}
	return err == nil, err
}
