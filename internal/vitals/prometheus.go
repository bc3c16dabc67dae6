package vitals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ErrNoData says that a query found nothing.
var ErrNoData = errors.New("the query found nothing")

// answerLimit bounds what is read of an answer.
const answerLimit = 1 << 20

// Query asks a Prometheus server (its HTTP API, "Instant queries") and returns
// the values that it finds. A value that is no number, as of a division by
// nothing, is left out.
func Query(ctx context.Context, server, query string) ([]float64, error) {
	at := strings.TrimSuffix(server, "/") + "/api/v1/query?query=" + url.QueryEscape(query)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus at %s: %w", server, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus at %s: %w", server, err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("read the answer of Prometheus at %s: %w", server, err)
	}
	values, err := parseAnswer(b)
	if err != nil {
		return nil, fmt.Errorf("the answer of Prometheus at %s (%s): %w", server, response.Status, err)
	}
	return values, nil
}

func parseAnswer(b []byte) ([]float64, error) {
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("it says %s: %s", answer.Status, answer.Error)
	}
	var samples [][2]any // each a time and a value, which is text
	switch answer.Data.Type {
	case "scalar":
		var one [2]any
		if err := json.Unmarshal(answer.Data.Result, &one); err != nil {
			return nil, err
		}
		samples = append(samples, one)
	case "vector":
		var vector []struct {
			Value [2]any `json:"value"`
		}
		if err := json.Unmarshal(answer.Data.Result, &vector); err != nil {
			return nil, err
		}
		for _, v := range vector {
			samples = append(samples, v.Value)
		}
	default:
		return nil, fmt.Errorf("a %s is no number: use an instant query", answer.Data.Type)
	}
	var values []float64
	for _, s := range samples {
		text, ok := s[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("%v is no value", s[1])
		}
		if !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return nil, ErrNoData
	}
	return values, nil
}
