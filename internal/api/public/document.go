package public

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/baton-db/baton/internal/api"
)

// turnWait is how long somebody waits for his turn to get a document.
const turnWait = 2 * time.Second

// document answers with one that takes some work. Only few are made at a time: those
// who ask for many of them wait for each other, and not the checks for them.
func (h *handler) document(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), turnWait)
	defer cancel()
	select {
	case h.heavy <- struct{}{}:
		defer func() { <-h.heavy }()
	case <-ctx.Done():
		w.Header().Set("Retry-After", "1")
		h.write(w, r, http.StatusServiceUnavailable, no("too many ask at once"))
		return
	}
	switch r.URL.Path {
	case "/metrics":
		h.metrics.ServeHTTP(w, r)
	case "/history":
		switches := h.source.Switches()
		if switches == nil {
			switches = []api.LastSwitch{}
		}
		h.asJSON(w, r, switches)
	default:
		s, ok := h.source.Snapshot()
		if !ok {
			h.write(w, r, http.StatusServiceUnavailable, no(notYet))
			return
		}
		h.asJSON(w, r, api.StatusOf(s))
	}
}

func (h *handler) asJSON(w http.ResponseWriter, r *http.Request, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		h.write(w, r, http.StatusInternalServerError, no(fmt.Sprintf("encode %T: %v", v, err)))
		return
	}
	w.Header()["Content-Type"] = h.json
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(append(body, '\n')) // whoever asked has hung up: nobody to tell
	}
}
