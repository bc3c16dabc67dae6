package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// ErrNewer says that a stored value was written by a newer version of Baton.
// Whoever meets it keeps what it holds and decides nothing.
var ErrNewer = errors.New("written by a newer version of baton")

// checkSchema refuses values that this build cannot understand whole.
func checkSchema(schema int) error {
	switch {
	case schema > Schema:
		return fmt.Errorf("schema %d: %w (this one knows schema %d)", schema, ErrNewer, Schema)
	case schema < 1:
		return fmt.Errorf("schema %d is not a schema number", schema)
	}
	return nil
}

// DecodeRecord reads a record as the store holds it.
func DecodeRecord(b []byte) (Record, error) {
	r, err := decode[Record](b)
	if err != nil {
		return Record{}, fmt.Errorf("decode record: %w", err)
	}
	if err := checkSchema(r.Schema); err != nil {
		return r, err
	}
	return r, r.sound()
}

// DecodeLease reads a lease as the store holds it.
func DecodeLease(b []byte) (Lease, error) {
	l, err := decode[Lease](b)
	if err != nil {
		return Lease{}, fmt.Errorf("decode lease: %w", err)
	}
	return l, checkSchema(l.Schema)
}

// DecodeFact reads a fact as the store holds it.
func DecodeFact(b []byte) (Fact, error) {
	f, err := decode[Fact](b)
	if err != nil {
		return Fact{}, fmt.Errorf("decode fact: %w", err)
	}
	if err := checkSchema(f.Schema); err != nil {
		return f, err
	}
	return f, f.sound()
}

// DecodeView reads a view as the store holds it.
func DecodeView(b []byte) (View, error) {
	v, err := decode[View](b)
	if err != nil {
		return View{}, fmt.Errorf("decode view: %w", err)
	}
	return v, checkSchema(v.Schema)
}

// DecodeRequest reads a request as the store holds it.
func DecodeRequest(b []byte) (Request, error) {
	r, err := decode[Request](b)
	if err != nil {
		return Request{}, fmt.Errorf("decode request: %w", err)
	}
	return r, checkSchema(r.Schema)
}

func decode[T any](b []byte) (T, error) {
	var v T
	err := json.Unmarshal(b, &v)
	return v, err
}

// Encode returns the stored form of a record, lease, fact, view or request.
func Encode[T Record | Lease | Fact | View | Request](v T) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

// The plain types have no methods, so that the json package encodes the known
// fields of the types without coming back here.
type (
	plainRecord Record
	plainFact   Fact
	plainView   View
)

// MarshalJSON keeps the fields that a newer version wrote.
func (r Record) MarshalJSON() ([]byte, error) { return MarshalKeeping(plainRecord(r), r.unknown) }

// UnmarshalJSON keeps the fields that it does not know.
func (r *Record) UnmarshalJSON(b []byte) error {
	unknown, err := UnmarshalKeeping(b, (*plainRecord)(r))
	r.unknown = unknown
	return err
}

// MarshalJSON keeps the fields that a newer version wrote.
func (f Fact) MarshalJSON() ([]byte, error) { return MarshalKeeping(plainFact(f), f.unknown) }

// UnmarshalJSON keeps the fields that it does not know.
func (f *Fact) UnmarshalJSON(b []byte) error {
	unknown, err := UnmarshalKeeping(b, (*plainFact)(f))
	f.unknown = unknown
	return err
}

// MarshalJSON keeps the fields that a newer version wrote.
func (v View) MarshalJSON() ([]byte, error) { return MarshalKeeping(plainView(v), v.unknown) }

// UnmarshalJSON keeps the fields that it does not know.
func (v *View) UnmarshalJSON(b []byte) error {
	unknown, err := UnmarshalKeeping(b, (*plainView)(v))
	v.unknown = unknown
	return err
}

// MarshalKeeping encodes a value together with the fields that UnmarshalKeeping
// did not know. It serves every package that stores values of its own.
func MarshalKeeping(plain any, unknown map[string]json.RawMessage) ([]byte, error) {
	known, err := json.Marshal(plain)
	if err != nil || len(unknown) == 0 {
		return known, err
	}
	rest, err := json.Marshal(unknown)
	if err != nil {
		return nil, err
	}
	// Both are objects and neither is empty: {a} + {b} = {a,b}.
	joined := append(known[:len(known)-1:len(known)-1], ',')
	return append(joined, rest[1:]...), nil
}

// UnmarshalKeeping decodes into plain, a pointer to a struct without methods,
// and returns the top-level fields that the struct does not have.
func UnmarshalKeeping(b []byte, plain any) (map[string]json.RawMessage, error) {
	if err := json.Unmarshal(b, plain); err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	t := reflect.TypeOf(plain).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		delete(all, name)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}
