// Package search answers the search of Docker's first registry API, which
// `docker search` and the engine's /images/search ask: GET /v1/search for
// repositories that who asks may see, and GET /v1/_ping, by which Docker's
// engine finds out whether there is such an API at all.
package search

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/status"
	"github.com/containerd/errdefs"
)

// Bounds of what a request may ask for; Docker's clients ask for 1 to 100.
const (
	defaultSize = 25
	maxSize     = 100
	maxTerm     = 255
	maxPage     = 10_000
)

// Options name what a search needs.
type Options struct {
	Catalog *catalog.Service
	// Who tells who sends a request; nil takes everybody for anonymous. Its error
	// is answered with 401.
	Who func(*http.Request) (account.Principal, error)
	// Log is told of failures; nil means slog.Default.
	Log *slog.Logger
}

// Results is the answer, as Docker's registry types have it.
type Results struct {
	Query    string   `json:"query"`
	Page     int      `json:"page"`
	PageSize int      `json:"page_size"`
	Pages    int      `json:"num_pages"`
	Count    int      `json:"num_results"`
	Results  []Result `json:"results"`
}

// Result is one repository.
type Result struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	// Stars are what clients sort by and filter; a Hub's images have pulls instead,
	// which this is.
	Stars     int64 `json:"star_count"`
	Official  bool  `json:"is_official"`  // of the namespace library, which clients leave out
	Automated bool  `json:"is_automated"` // always false, as Docker Hub answers
	Trusted   bool  `json:"is_trusted"`   // always false, likewise
}

// Handler serves /v1/search and /v1/_ping.
func Handler(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/_ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Docker-Registry-Standalone", "true") // credentials are sent with each request
		answer(w, http.StatusOK, true)
	})
	mux.HandleFunc("GET /v1/search", func(w http.ResponseWriter, r *http.Request) {
		var who account.Principal
		var err error
		if o.Who != nil {
			who, err = o.Who(r)
		}
		var results Results
		if err == nil {
			results, err = find(r, o.Catalog, who)
		}
		if err != nil {
			fail(w, o.Log, err)
			return
		}
		answer(w, http.StatusOK, results)
	})
	return mux
}

func fail(w http.ResponseWriter, log *slog.Logger, err error) {
	code, text := status.Of(err), err.Error()
	status.Retry(w.Header(), err)
	switch code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="Berth Hub"`)
	case http.StatusInternalServerError:
		log.Error("search failed", "error", err)
		text = "the search failed"
	}
	answer(w, code, problem{text})
}

type problem struct {
	Message string `json:"message"`
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client went away
}

// number reads a parameter that may be missing.
func number(r *http.Request, name string, missing, most int) (int, error) {
	text := r.FormValue(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s=%q must be a number from 1 to %d: %w", name, text, most, errdefs.ErrInvalidArgument)
	}
	return n, nil
}

func find(r *http.Request, repositories *catalog.Service, who account.Principal) (Results, error) {
	term := r.FormValue("q")
	if term == "" || len(term) > maxTerm {
		return Results{}, fmt.Errorf("q must be a term of 1 to %d bytes: %w", maxTerm, errdefs.ErrInvalidArgument)
	}
	size, err := number(r, "n", defaultSize, maxSize)
	if err != nil {
		return Results{}, err
	}
	page, err := number(r, "page", 1, maxPage)
	if err != nil {
		return Results{}, err
	}
	q := catalog.Query{Search: term, Order: catalog.Popular, Offset: (page - 1) * size, Limit: size + 1}
	list, err := repositories.List(r.Context(), who, q)
	if err != nil {
		return Results{}, fmt.Errorf("search: %w", err)
	}
	out := Results{Query: term, Page: page, PageSize: size, Pages: page, Results: []Result{}}
	if len(list) > size { // how many there are after that costs more than it tells
		list, out.Pages = list[:size], page+1
	}
	for _, repo := range list {
		name, official := strings.CutPrefix(repo.Name, "library/")
		out.Results = append(out.Results, Result{Name: name, Description: repo.Description, Stars: repo.Stars, Official: official})
	}
	out.Count = q.Offset + len(out.Results)
	return out, nil
}
