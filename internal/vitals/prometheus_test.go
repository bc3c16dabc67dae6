package vitals

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

func TestAnswersOfPrometheus(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		want   []float64
		fails  bool
	}{
		"a number":             {`{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"1.5"]}}`, []float64{1.5}, false},
		"a list":               {`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1,"2"]},{"metric":{},"value":[1,"7"]}]}}`, []float64{2, 7}, false},
		"what is no number":    {`{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"NaN"]},{"value":[1,"+Inf"]}]}}`, nil, false},
		"an empty list":        {`{"status":"success","data":{"resultType":"vector","result":[]}}`, nil, true},
		"a range":              {`{"status":"success","data":{"resultType":"matrix","result":[]}}`, nil, true},
		"an error":             {`{"status":"error","errorType":"bad_data","error":"parse error"}`, nil, true},
		"something else":       {`<html>`, nil, true},
		"a value without text": {`{"status":"success","data":{"resultType":"scalar","result":[1,2]}}`, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			asked := ""
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = r.URL.Path + "?" + r.URL.Query().Get("query")
				if _, err := w.Write([]byte(tt.answer)); err != nil {
					t.Error(err)
				}
			}))
			defer s.Close()
			got, err := Query(t.Context(), s.URL+"/", `up{job="x y"}`)
			if asked != `/api/v1/query?up{job="x y"}` {
				t.Errorf("asked %s", asked)
			}
			if (err != nil) != tt.fails || tt.want != nil && !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
	if _, err := Query(t.Context(), "http://127.0.0.1:1", "up"); err == nil {
		t.Error("nobody is there, and there is an answer")
	}
}
