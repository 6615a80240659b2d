package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// TestImageTransfer: what the requests about images that come and go say to the
// store, and what the store's answers become.
func TestImageTransfer(t *testing.T) {
	const arm = `{"os":"linux","architecture":"arm64"}`
	for _, tc := range []struct {
		method, path, body string
		last               string
		code               int
		want               string // in the body
	}{
		{http.MethodPost, "/images/h:1/a/b/push?tag=v1", "", "push h:1/a/b:v1", 200, "The push refers to repository"},
		{http.MethodPost, "/images/a:ignored/push", "", "push docker.io/library/a", 200, ""},
		{http.MethodPost, "/images/A/push", "", "", 400, "must be lowercase"},
		{http.MethodPost, "/images/a/push?tag=a/b", "", "", 400, "invalid tag format"},
		{http.MethodPost, "/images/a/push?platform=x", "", "", 400, "failed to parse platform"},
		{http.MethodPost, "/images/create?fromImage=a", "", "all a", 200, ""},
		{http.MethodGet, "/images/a/b:c/get", "", "save [a/b:c]", 200, "tar"},
		{http.MethodGet, "/images/get?names=a&names=b:1&platform=" + arm, "", "save [a b:1] arm64", 200, "tar"},
		{http.MethodGet, "/images/get", "", "", 400, "no images to save"},
		{http.MethodGet, "/images/get?names=a&platform=" + arm + "&platform=" + arm, "", "save [a] arm64 arm64", 200, "tar"},
		{http.MethodPost, "/images/load?quiet=1", "stream", "load stream true 0", 200, "Loaded image: x"},
		{http.MethodPost, "/images/load?quiet=0&platform=" + arm, "stream", "load stream false 1", 200, "Loaded image: x"},
		{http.MethodPost, "/images/create?fromSrc=-&repo=a&tag=b&changes=CMD+z", "tar", "import tar a:b Imported from - [/bin/sh -c z]", 200, `{"status":"sha256:x"}`},
		{http.MethodGet, "/images/search?term=x", "", "search x 25", 200, `"name":"few"`},
		{http.MethodGet, "/images/search?term=x&limit=3", "", "search x 3", 200, ""},
		{http.MethodGet, "/images/search?term=x&limit=many", "", "", 400, "must be a number"},
		{http.MethodGet, `/images/search?term=x&filters={"stars":["many"]}`, "", "", 400, "invalid filter 'stars=[many]'"},
		{http.MethodGet, `/images/search?term=x&filters={"age":["1"]}`, "", "", 400, "invalid filter 'age'"},
		{http.MethodGet, "/distribution/a/b:c/json", "", "remote a/b:c", 200, "Descriptor"},
		{http.MethodGet, "/images/a/b:c/attestations?type=t&statement=1&platform=" + arm, "", "attestations a/b:c[t] true true", 200, "[]"},
		{http.MethodGet, "/images/a/attestations?platform=" + arm + "&platform=" + arm, "", "", 400, "only one platform"},
	} {
		i := &fakeImages{}
		_, hs := serve(t, nil, i)
		code, body, _ := do(t, hs, tc.method, tc.path, tc.body)
		if code != tc.code || strings.TrimSpace(i.last) != tc.last || !strings.Contains(body, tc.want) {
			t.Errorf("%s %s: %d %s, %q", tc.method, tc.path, code, body, i.last)
		}
	}
}

// TestImageTransferFails: an error before the first message has a status, one
// after it is the last message.
func TestImageTransferFails(t *testing.T) {
	i := &fakeImages{err: errdefs.ErrNotFound.WithMessage("tag does not exist: x")}
	_, hs := serve(t, nil, i)
	for _, path := range []string{"/images/a/push?tag=x", "/images/load"} {
		if code, body, _ := do(t, hs, http.MethodPost, path, ""); code != 404 || !strings.Contains(body, "tag does not exist: x") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, _, h := do(t, hs, http.MethodGet, "/images/a/get", ""); code != 404 || h.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", code, h)
	}
	i.started = true
	if code, body, _ := do(t, hs, http.MethodPost, "/images/a/push?tag=x", ""); code != 200 || !strings.HasSuffix(body, `"error":"tag does not exist: x"}`+"\r\n") {
		t.Errorf("%d %s", code, body)
	}
}

// TestSearchFilters: both of them, together.
func TestSearchFilters(t *testing.T) {
	_, hs := serve(t, nil, nil)
	for filters, want := range map[string]string{
		`{"stars":["50"]}`:                                 "many",
		`{"is-official":["false"]}`:                        "few",
		`{"is-official":["false"],"stars":["50"]}`:         "",
		`{"is-official":{"true":true},"stars":{"1":true}}`: "many",
	} {
		_, body, _ := do(t, hs, http.MethodGet, "/images/search?term=x&filters="+filters, "")
		if strings.Count(body, `"name"`) != min(len(want), 1) || !strings.Contains(body, want) {
			t.Errorf("%s: %s", filters, body)
		}
	}
}
