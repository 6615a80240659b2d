package api

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/gc"
	"github.com/berth-engine/berth/hub/mirror"
	"github.com/berth-engine/berth/hub/retention"
	"github.com/berth-engine/berth/hub/seal"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/hub/store/storetest"
)

// database is that of a Hub in dir, and the key of its secrets.
func database(t *testing.T, dir string) (*store.DB, *seal.Key) {
	t.Helper()
	db := storetest.Open(t, filepath.Join(dir, "hub.db"))
	key, err := seal.New([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	return db, key
}

// open is the API of a Hub without accounts.
func open(t *testing.T) (*API, *store.DB) {
	t.Helper()
	dir := t.TempDir()
	db, key := database(t, dir)
	names := catalog.New(db, catalog.Options{Open: true})
	mirrors, err := mirror.New(mirror.Options{DB: db, Catalog: names, Key: key, Dir: filepath.Join(dir, "mirror")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := names.Create(t.Context(), account.System("test"), "a/b", true); err != nil {
		t.Fatal(err)
	}
	return New(Options{
		Accounts: account.New(db, account.Options{}), Catalog: names, Mirrors: mirrors,
		Retention: retention.New(retention.Options{DB: db, Catalog: names, Gate: gc.NewGate(db, 0, nil)}),
	}), db
}

func TestCalls(t *testing.T) {
	a, db := open(t)
	for _, test := range []struct {
		method, path, body, origin string
		status                     int
	}{
		{"GET", "/api/v1/mirrors", "", "", 200},
		{"POST", "/api/v1/mirrors", `{"upstream":"docker.io","prefix":"dh"}`, "https://evil.example", 403},
		{"POST", "/api/v1/mirrors", `{"upstream":"docker.io","prefix":"dh"}`, "http://hub.example", 200},
		{"POST", "/api/v1/mirrors", `{"upstream":"docker.io","prefix":"dh"}`, "", 409},
		{"POST", "/api/v1/mirrors", `{"upstream":"docker.io","prefix":"a"}`, "", 409},
		{"POST", "/api/v1/mirrors", `{"upstream":"docker.io","prefx":"x"}`, "", 400},
		{"POST", "/api/v1/mirrors", `{"upstream":"docker.io"} {}`, "", 400},
		{"POST", "/api/v1/mirrors", "", "", 400},
		{"POST", "/api/v1/mirrors", `{"upstream":"` + strings.Repeat("x", maxBody) + `"}`, "", 413},
		{"GET", "/api/v1/mirrors/none", "", "", 404},
		{"PATCH", "/api/v1/mirrors", "", "", 405},
		{"GET", "/api/v1/mirrors/", "", "", 404},
		{"GET", "/api/v1/none", "", "", 404},
		{"PUT", "/api/v1/repositories/a/b/-/retention", `{"untagged_days":3}`, "", 204},
		{"GET", "/api/v1/repositories/a/b/-/retention", "", "", 200},
		{"GET", "/api/v1/repositories/a/none/-/retention", "", "", 404},
		{"GET", "/api/v1/repositories/a/b/retention", "", "", 404},
		{"GET", "/api/v1/repositories/a/b", "", "", 200},
		{"GET", "/api/v1/repositories/", "", "", 404},
		{"GET", "/api/v1/namespaces/", "", "", 404},
		{"GET", "/api/v1/repositories/-/retention", "", "", 404},
		{"GET", "/git/a", "", "", 404},
	} {
		req := httptest.NewRequestWithContext(t.Context(), test.method, test.path, strings.NewReader(test.body))
		req.Host = "hub.example"
		if test.origin != "" {
			req.Header.Set("Origin", test.origin)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, req)
		if w.Code != test.status {
			t.Errorf("%s %s %.60s: %d %s", test.method, test.path, test.body, w.Code, w.Body)
		}
	}
	var actions int
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM audit WHERE action IN ('mirror.create', 'retention.set')").Scan(&actions); err != nil || actions != 2 {
		t.Errorf("%d entries in the audit log, %v", actions, err)
	}
}

// TestFind: a path is matched part by part.
func TestFind(t *testing.T) {
	routes := []route{{pattern: "GET a/*/b", do: func(*call) (any, error) { return nil, nil }}}
	for path, want := range map[string]bool{"a/x/b": true, "a//b": false, "a/x": false, "a/x/b/c": false, "": false, "a/x/c": false} {
		rt, args, known := find(routes, http.MethodGet, path)
		if known != want || (rt.do != nil) != want || want && (len(args) != 1 || args[0] != "x") {
			t.Errorf("%s: %t, %q", path, known, args)
		}
	}
}
