package image

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// arrivals counts the bytes of blobs that a registry is sent.
type arrivals struct {
	mu    sync.Mutex
	bytes int64
	fail  func(r *http.Request) int // a status to answer instead
}

func (a *arrivals) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		fail := a.fail
		a.mu.Unlock()
		if fail != nil {
			if status := fail(r); status != 0 {
				http.Error(w, "no", status)
				return
			}
		}
		if strings.Contains(r.URL.Path, "/blobs/uploads/") {
			r.Body = counted{r.Body, a}
		}
		h.ServeHTTP(w, r)
	})
}

type counted struct {
	io.ReadCloser
	a *arrivals
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	c.a.bytes += int64(n)
	return n, err
}

func (a *arrivals) take() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.bytes
	a.bytes = 0
	return n
}

func mustPush(t *testing.T, s *Store, ref string) []string {
	t.Helper()
	var lines []string
	if err := s.Push(t.Context(), ref, PushOptions{Progress: collect(&lines)}); err != nil {
		t.Fatalf("push %s: %v", ref, err)
	}
	return lines
}

func mustTag(t *testing.T, s *Store, src, dst string) {
	t.Helper()
	if err := s.Tag(t.Context(), src, dst); err != nil {
		t.Fatal(err)
	}
}

// TestPush: what is pushed can be pulled by somebody else; only what the
// registry does not have is sent, and what another repository has is mounted.
func TestPush(t *testing.T) {
	source := newRegistry(t)
	img := twoLayers(t, "m")
	id := source.put("app:v1", img)
	s, bus := openStore(t, t.TempDir())
	mustPull(t, s, source.host()+"/app:v1")
	var got arrivals
	host := strings.TrimPrefix(newDistribution(t, got.wrap).URL, "http://")

	mustTag(t, s, source.host()+"/app:v1", host+"/team/app:v1")
	lines := mustPush(t, s, host+"/team/app:v1")
	want := int64(0)
	for _, b := range img.Blobs {
		want += b.Descriptor.Size
	}
	if n := got.take(); n != want {
		t.Errorf("%d bytes of blobs were sent, not %d", n, want)
	}
	for i, b := range img.Blobs[:2] { // all are told of before the first is sent, as Docker does
		if want := oci.ShortID(b.Descriptor.Digest) + ": Preparing"; lines[1+i] != want {
			t.Errorf("line %d is %q, not %q", 1+i, lines[1+i], want)
		}
	}
	if lines[0] != "The push refers to repository ["+host+"/team/app]" || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, ": Pushed") }) ||
		!slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "v1: digest: "+id.String()+" size: ") }) {
		t.Errorf("%q", lines)
	}

	lines = mustPush(t, s, host+"/team/app:v1")
	if n := got.take(); n != 0 || !strings.Contains(strings.Join(lines, "\n"), "Layer already exists") {
		t.Errorf("pushed again: %d bytes, %q", n, lines)
	}
	mustTag(t, s, source.host()+"/app:v1", host+"/other:v2")
	lines = mustPush(t, s, host+"/other:v2")
	if n := got.take(); n != 0 || !strings.Contains(strings.Join(lines, "\n"), "Mounted from team/app") {
		t.Errorf("pushed to another repository: %d bytes, %q", n, lines)
	}

	mustTag(t, s, source.host()+"/app:v1", host+"/team/app:v3")
	lines = mustPush(t, s, host+"/team/app") // all tags
	for _, tag := range []string{"v1", "v3"} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, tag+": digest: "+id.String()) }) {
			t.Errorf("tag %s is not among %q", tag, lines)
		}
	}
	elsewhere, _ := openStore(t, t.TempDir())
	for _, ref := range []string{"/team/app:v1", "/team/app:v3", "/other:v2"} {
		mustPull(t, elsewhere, host+ref)
		if i, err := elsewhere.Resolve(t.Context(), host+ref, nil); err != nil || i.ID != id {
			t.Errorf("%s: %v, %v", ref, i, err)
		}
	}
	if list := happened(t, bus); !slices.Contains(list, "push "+host+"/team/app:v1 "+host+"/team/app") {
		t.Errorf("%q", list)
	}
	leases, err := s.db.Leases.List(s.db.Context(t.Context()))
	if err != nil || len(leases) != 1 { // of the layers
		t.Errorf("%d leases, %v", len(leases), err)
	}
}

// TestPushRetries: a registry that stumbles is asked again, and gets nothing
// twice; one that refuses is not.
func TestPushRetries(t *testing.T) {
	source := newRegistry(t)
	source.put("app:v1", twoLayers(t, "m"))
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, source.host()+"/app:v1")
	var got arrivals
	host := strings.TrimPrefix(newDistribution(t, got.wrap).URL, "http://")
	mustTag(t, s, source.host()+"/app:v1", host+"/app:v1")
	times := 0
	got.fail = func(r *http.Request) int {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			if times++; times == 1 {
				return http.StatusBadGateway
			}
		}
		return 0
	}
	lines := mustPush(t, s, host+"/app:v1")
	if times != 2 || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Retrying in 1s") }) {
		t.Errorf("%d attempts, %q", times, lines)
	}
	refusals := 0
	got.mu.Lock()
	got.fail = func(r *http.Request) int {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			refusals++
			return http.StatusForbidden
		}
		return 0
	}
	got.mu.Unlock()
	mustTag(t, s, source.host()+"/app:v1", host+"/secret:v1")
	err := s.Push(t.Context(), host+"/secret:v1", PushOptions{})
	if !errdefs.IsPermissionDenied(err) || refusals != 1 || !strings.Contains(err.Error(), "push access denied for "+host+"/secret") {
		t.Errorf("%d times: %v", refusals, err)
	}
}

// TestPushUnreached: a registry that was never reached is not asked again and again:
// its name may be wrong.
func TestPushUnreached(t *testing.T) {
	source := newRegistry(t)
	source.put("app:v1", twoLayers(t, "m"))
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, source.host()+"/app:v1")
	mustTag(t, s, source.host()+"/app:v1", "127.0.0.1:1/app:v1")
	var lines []string
	err := s.Push(t.Context(), "127.0.0.1:1/app:v1", PushOptions{Progress: collect(&lines)})
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(strings.Join(lines, "\n"), "Retrying") {
		t.Errorf("%q, %v", lines, err)
	}
}

// TestPushPlatforms: an image that is not here whole is pushed as the platform
// that is, with a note; a platform that is not here is an error.
func TestPushPlatforms(t *testing.T) {
	source := newRegistry(t)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	index, err := oci.NewIndex(twoLayers(t, "amd"), newImage(t, arm, ocispec.ImageConfig{Cmd: []string{"/arm"}}, newLayer(t, oci.Gzip, file("arm", "x"))))
	if err != nil {
		t.Fatal(err)
	}
	source.put("app:v1", index)
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, source.host()+"/app:v1")
	host := strings.TrimPrefix(newDistribution(t, nil).URL, "http://")
	mustTag(t, s, source.host()+"/app:v1", host+"/app:v1")
	notes := 0
	count := func(m jsonstream.Message) {
		if m.Aux != nil && strings.Contains(string(*m.Aux), `"manifestPushedInsteadOfIndex":true`) {
			notes++
		}
	}
	if err := s.Push(t.Context(), host+"/app:v1", PushOptions{Progress: count}); err != nil || notes != 1 {
		t.Fatalf("%d notes, %v", notes, err)
	}
	err = s.Push(t.Context(), host+"/app:v1", PushOptions{Platforms: []ocispec.Platform{arm}})
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "does not provide the specified platform (linux/arm64") {
		t.Errorf("%v", err)
	}
	if err := s.Pull(t.Context(), source.host()+"/app:v1", PullOptions{Platform: &arm}); err != nil {
		t.Fatal(err)
	}
	if err := s.Push(t.Context(), host+"/app:v1", PushOptions{Progress: count}); err != nil || notes != 1 {
		t.Fatalf("whole: %d notes, %v", notes, err)
	}
	elsewhere, _ := openStore(t, t.TempDir())
	if err := elsewhere.Pull(t.Context(), host+"/app:v1", PullOptions{Platform: &arm}); err != nil {
		t.Error(err)
	}
}

// TestPushBadInput: what cannot be pushed is refused before anything is sent.
func TestPushBadInput(t *testing.T) {
	s, _ := openStore(t, t.TempDir())
	for ref, want := range map[string]func(error) bool{
		"nothing:here":                         errdefs.IsNotFound,
		"nothing":                              errdefs.IsNotFound,
		"UPPER":                                errdefs.IsInvalidArgument,
		"a@sha256:" + strings.Repeat("ab", 32): errdefs.IsInvalidArgument,
	} {
		if err := s.Push(t.Context(), ref, PushOptions{}); !want(err) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// TestPushKeepsCredentials: they reach neither a foreign realm nor a foreign
// upload address.
func TestPushKeepsCredentials(t *testing.T) {
	source := newRegistry(t)
	source.put("app:v1", twoLayers(t, "m"))
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, source.host()+"/app:v1")
	foreign := newWitness(t, password)
	hostile := newDistribution(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.Contains(r.URL.Path, "/blobs/uploads/") {
				w.Header().Set("Location", foreign.URL+"/upload")
				w.WriteHeader(http.StatusAccepted)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	auth := &registry.AuthConfig{Username: "me", Password: password}
	bad := strings.TrimPrefix(hostile.URL, "http://")
	mustTag(t, s, source.host()+"/app:v1", bad+"/app:v1")
	_ = s.Push(t.Context(), bad+"/app:v1", PushOptions{Auth: auth})
	foreign.check(t, true)

	realm := newWitness(t, password)
	challenged := newDistribution(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm.URL+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
	})
	bad = strings.TrimPrefix(challenged.URL, "http://")
	mustTag(t, s, source.host()+"/app:v1", bad+"/app:v1")
	err := s.Push(t.Context(), bad+"/app:v1", PushOptions{Auth: auth})
	realm.check(t, true)
	if err == nil || !strings.Contains(err.Error(), "the credentials were not sent") {
		t.Errorf("%v", err)
	}
}
