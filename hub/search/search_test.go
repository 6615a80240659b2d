package search

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/store/storetest"
	"github.com/moby/moby/api/types/registry"
)

func TestSearch(t *testing.T) {
	db := storetest.Open(t, "")
	accounts, repositories := account.New(db, account.Options{SignUp: true}), catalog.New(db, catalog.Options{})
	token, err := accounts.FirstRun(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	const password = "correct horse battery staple"
	ada, err := accounts.Setup(t.Context(), token, account.NewUser{Name: "ada", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	grace, err := accounts.SignUp(t.Context(), account.NewUser{Name: "grace", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	for name, public := range map[string]bool{"ada/web": true, "ada/webhook": true, "ada/other": true, "grace/web-secret": false} {
		by := ada.Principal()
		if strings.HasPrefix(name, "grace/") {
			by = grace.Principal()
		}
		repo, err := repositories.Create(t.Context(), by, name, public)
		if err != nil {
			t.Fatal(err)
		}
		if name == "ada/webhook" {
			for range 3 {
				repositories.Pulled(repo, "")
			}
			if err := repositories.SetText(t.Context(), by, name, "Calls you", ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := repositories.FlushPulls(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := repositories.Star(t.Context(), ada.Principal(), "ada/webhook", true); err != nil {
		t.Fatal(err)
	}
	h := Handler(Options{Catalog: repositories, Who: func(r *http.Request) (account.Principal, error) {
		name, _, _ := r.BasicAuth()
		switch name {
		case "":
			return account.Principal{}, nil
		case "grace":
			return grace.Principal(), nil
		}
		return account.Principal{}, account.ErrBadCredentials
	}})
	get := func(path, who string) (int, registry.SearchResults) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if who != "" {
			req.SetBasicAuth(who, "x")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		var out registry.SearchResults
		if w.Code == http.StatusOK && strings.HasPrefix(path, "/v1/search") {
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
		}
		return w.Code, out
	}
	names := func(r registry.SearchResults) (list []string) {
		for _, x := range r.Results {
			list = append(list, x.Name)
		}
		return list
	}
	if status, r := get("/v1/search?q=web&n=25", ""); status != http.StatusOK || strings.Join(names(r), " ") != "ada/webhook ada/web" {
		t.Errorf("anonymous: %d %q", status, names(r))
	} else if r.Results[0].StarCount != 1 || r.Results[0].Description != "Calls you" || r.NumResults != 2 || r.Query != "web" {
		t.Errorf("got %+v", r)
	}
	if _, r := get("/v1/search?q=secret", ""); len(r.Results) != 0 {
		t.Errorf("a private repository is found: %q", names(r))
	}
	if _, r := get("/v1/search?q=secret", "grace"); len(r.Results) != 1 {
		t.Errorf("its owner finds %q", names(r))
	}
	if _, r := get("/v1/search?q=web&n=1&page=2", ""); strings.Join(names(r), " ") != "ada/web" {
		t.Errorf("the second page: %q", names(r))
	}
	if status, _ := get("/v1/search?q=web", "mallory"); status != http.StatusUnauthorized {
		t.Errorf("wrong credentials: %d", status)
	}
	for _, bad := range []string{"", "q=", "q=web&n=0", "q=web&n=101", "q=web&n=99999999999999999999", "q=web&page=0", "q=web&page=-1", "q=" + strings.Repeat("a", 256)} {
		if status, _ := get("/v1/search?"+bad, ""); status != http.StatusBadRequest {
			t.Errorf("%.40s: %d", bad, status)
		}
	}
	for _, odd := range []string{"%", "_", "'; DROP TABLE repositories; --", "\x00", "\xff"} {
		if status, _ := get("/v1/search?q="+url.QueryEscape(odd), ""); status != http.StatusOK && status != http.StatusBadRequest {
			t.Errorf("%q: %d", odd, status)
		}
	}
	if _, r := get("/v1/search?q="+url.QueryEscape("%"), ""); len(r.Results) != 0 {
		t.Errorf("%% is a wildcard: %q", names(r))
	}
	if status, _ := get("/v1/_ping", ""); status != http.StatusOK {
		t.Errorf("ping: %d", status)
	}
}
