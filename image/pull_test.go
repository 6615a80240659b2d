package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

type ctxType = context.Context

func TestPullResolveRootfs(t *testing.T) {
	reg := newRegistry(t)
	img := twoLayers(t, "a")
	id := reg.put("some/image:1", img)
	s, bus := openStore(t, t.TempDir())
	ref := reg.host() + "/some/image:1"
	lines := mustPull(t, s, ref)
	l1, l2 := oci.ShortID(img.Blobs[0].Descriptor.Digest), oci.ShortID(img.Blobs[1].Descriptor.Digest)
	if lines[0] != "1: Pulling from some/image" {
		t.Errorf("first line %q", lines[0])
	}
	if got := lines[len(lines)-2:]; got[0] != "Digest: "+id.String() || got[1] != "Status: Downloaded newer image for "+ref {
		t.Errorf("last lines %q", got)
	}
	for _, l := range []string{l1, l2} {
		var states []string
		for _, line := range lines {
			if state, ok := strings.CutPrefix(line, l+": "); ok && (len(states) == 0 || states[len(states)-1] != state) {
				states = append(states, state)
			}
		}
		want := "Pulling fs layer,Downloading,Download complete,Extracting,Pull complete"
		if got := strings.Join(states, ","); got != want {
			t.Errorf("layer %s: %s\nwant %s", l, got, want)
		}
	}

	again := mustPull(t, s, ref)
	want := []string{"1: Pulling from some/image", "Digest: " + id.String(), "Status: Image is up to date for " + ref}
	if !slices.Equal(again, want) {
		t.Errorf("second pull: %q", again)
	}
	if n := reg.requests("GET /v2/some/image/blobs/"); n != 3 {
		t.Errorf("%d blobs were fetched, want 3", n)
	}
	if got := happened(t, bus); !slices.Equal(got, []string{"pull " + ref + " " + reg.host() + "/some/image", "pull " + ref + " " + reg.host() + "/some/image"}) {
		t.Errorf("events %q", got)
	}

	for _, name := range []string{ref, id.String(), id.Encoded(), id.Encoded()[:12], reg.host() + "/some/image@" + id.String()} {
		got, err := s.Resolve(t.Context(), name, nil)
		if err != nil || got.ID != id || got.Config.Config.Cmd[0] != "/a" || got.Platform.Architecture != "amd64" {
			t.Errorf("resolve %s: %+v, %v", name, got, err)
		}
	}
	for name, kind := range map[string]error{
		"nosuch": errdefs.ErrNotFound, "UPPER": errdefs.ErrInvalidArgument, "other@" + id.String(): errdefs.ErrNotFound,
		strings.Repeat("0", 64): errdefs.ErrNotFound,
	} {
		if _, err := s.Resolve(t.Context(), name, nil); !errors.Is(err, kind) {
			t.Errorf("resolve %s: %v", name, err)
		}
	}
	if _, err := s.Resolve(t.Context(), "nosuch", nil); err.Error() != "No such image: nosuch:latest" {
		t.Errorf("text %q", err)
	}

	found, err := s.Resolve(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.Rootfs(t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Release()
	if len(root.Lower) != 2 {
		t.Fatalf("lower %q", root.Lower)
	}
	for name, want := range map[string]string{"top": "ta", "d/one": "1a", "d/two": "whiteout", "none": "absent"} {
		if got := readLower(t, root.Lower, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestPullByDigest: the first line has the whole name, as Docker's.
func TestPullByDigest(t *testing.T) {
	reg := newRegistry(t)
	id := reg.put("some/image:1", twoLayers(t, "a"))
	s, _ := openStore(t, t.TempDir())
	exact := reg.host() + "/some/image@" + id.String()
	if line := mustPull(t, s, exact)[0]; line != exact+": Pulling from some/image" {
		t.Errorf("first line %q", line)
	}
}

func TestPlatforms(t *testing.T) {
	reg := newRegistry(t)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	a := newImage(t, amd64, ocispec.ImageConfig{}, newLayer(t, oci.Zstd, file("arch", "amd64")))
	b := newImage(t, arm, ocispec.ImageConfig{}, newLayer(t, oci.None, file("arch", "arm64")))
	index, err := oci.NewIndex(b, a)
	if err != nil {
		t.Fatal(err)
	}
	id := reg.put("multi:latest", index)
	s, _ := openStore(t, t.TempDir())
	ref := reg.host() + "/multi"
	mustPull(t, s, ref)
	img, err := s.Resolve(t.Context(), ref, nil)
	if err != nil || img.ID != id || img.Platform.Architecture != "amd64" {
		t.Fatalf("%+v %v", img, err)
	}
	if n := reg.requests(b.Blobs[0].Descriptor.Digest.String()); n != 0 {
		t.Errorf("the layer of another platform was asked for %d times", n)
	}
	_, err = s.Resolve(t.Context(), ref, &arm)
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "was found but does not provide the specified platform (linux/arm64/v8)") {
		t.Errorf("resolve arm64: %v", err)
	}
	if err := s.Pull(t.Context(), ref, PullOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"}}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*ocispec.Platform{&amd64, &arm} {
		img, err := s.Resolve(t.Context(), ref, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.db.CollectNow(t.Context()); err != nil {
			t.Fatal(err)
		}
		root, err := s.Rootfs(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		if got := readLower(t, root.Lower, "arch"); got != p.Architecture {
			t.Errorf("root of %s has %q", p.Architecture, got)
		}
		root.Release()
	}
	err = s.Pull(t.Context(), ref, PullOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}})
	if !errdefs.IsNotFound(err) || !strings.HasPrefix(err.Error(), "no matching manifest for linux/s390x in the manifest list entries: no match for platform in manifest: ") {
		t.Errorf("pull s390x: %v", err)
	}
	if _, err := s.Remove(t.Context(), ref, false, true); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}

// TestHostileContent: every lie gets an error and leaves nothing.
func TestHostileContent(t *testing.T) {
	good := twoLayers(t, "a")
	layer := good.Blobs[1].Descriptor.Digest
	onLayer := func(answer func(w http.ResponseWriter, data []byte)) func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
		return func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/blobs/"+layer.String()) {
					return false
				}
				answer(w, good.Blobs[1].Data)
				return true
			}
		}
	}
	forged := func(mediaType, body string) func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
		return func(reg *fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
			b := oci.NewBlob(mediaType, []byte(body))
			reg.put("evil:1", oci.Image{Manifests: []oci.Blob{b}})
			return nil
		}
	}
	config := func(c string) func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
		return func(reg *fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
			b := oci.NewBlob(ocispec.MediaTypeImageConfig, []byte(c))
			m := oci.NewBlob(ocispec.MediaTypeImageManifest, fmt.Appendf(nil, `{"schemaVersion":2,"config":%s,"layers":[%s]}`,
				toJSON(t, b.Descriptor), toJSON(t, good.Blobs[0].Descriptor)))
			reg.put("evil:1", oci.Image{Blobs: []oci.Blob{b, good.Blobs[0]}, Manifests: []oci.Blob{m}})
			return nil
		}
	}
	nested := func(reg *fakeRegistry) func(http.ResponseWriter, *http.Request) bool {
		inner := good
		for range 6 {
			b := oci.NewBlob(ocispec.MediaTypeImageIndex, fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[%s]}`, toJSON(t, inner.Root().Descriptor)))
			inner = oci.Image{Blobs: inner.Blobs, Manifests: append(slices.Clone(inner.Manifests), b)}
		}
		reg.put("evil:1", inner)
		return nil
	}
	for name, c := range map[string]struct {
		set  func(*fakeRegistry) func(http.ResponseWriter, *http.Request) bool
		want string
	}{
		"wrong bytes": {onLayer(func(w http.ResponseWriter, data []byte) {
			bad := slices.Clone(data)
			bad[len(bad)/2] ^= 1
			_, _ = w.Write(bad)
		}), "unexpected commit digest"},
		"too many bytes": {onLayer(func(w http.ResponseWriter, data []byte) { _, _ = w.Write(append(slices.Clone(data), 'x')) }), "past expected size"},
		"too few bytes":  {onLayer(func(w http.ResponseWriter, data []byte) { _, _ = w.Write(data[:9]) }), "short read"},
		"broken off": {onLayer(func(w http.ResponseWriter, data []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:9])
			panic(http.ErrAbortHandler)
		}), "EOF"},
		"server error":    {onLayer(func(w http.ResponseWriter, _ []byte) { http.Error(w, "no", http.StatusInternalServerError) }), "500 Internal Server Error"},
		"layer missing":   {onLayer(func(w http.ResponseWriter, _ []byte) { http.Error(w, "{}", http.StatusNotFound) }), "not found"},
		"not JSON":        {forged(ocispec.MediaTypeImageManifest, "{"), "unexpected end of JSON input"},
		"both shapes":     {forged(ocispec.MediaTypeImageManifest, `{"config":{},"layers":[],"manifests":[{}]}`), "expected manifest but found index"},
		"index as layers": {forged(ocispec.MediaTypeImageIndex, `{"layers":[{}]}`), "expected index but found manifest"},
		"a web page":      {forged("text/html", "<html>"), "unsupported media type text/html"},
		"bad digest":      {forged(ocispec.MediaTypeImageManifest, `{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:../../../etc","size":3},"layers":[]}`), "only sha256"},
		"huge config":     {forged(ocispec.MediaTypeImageManifest, `{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+digest.FromString("x").String()+`","size":999999999},"layers":[]}`), "not acceptable"},
		"negative size":   {forged(ocispec.MediaTypeImageManifest, `{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+digest.FromString("x").String()+`","size":-1},"layers":[]}`), "not acceptable"},
		"a chart":         {forged(ocispec.MediaTypeImageManifest, `{"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"`+digest.FromString("x").String()+`","size":1},"layers":[]}`), "unsupported media type"},
		"config no JSON":  {config("]"), "invalid character"},
		"config mismatch": {config(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`), "mismatched image rootfs and manifest layers"},
		"wrong diff":      {config(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["` + digest.FromString("x").String() + `"]}}`), "wrong diff id"},
		"deep":            {nested, "nested more than"},
		"huge manifest":   {forged(ocispec.MediaTypeImageManifest, strings.Repeat(" ", 5<<20)), "rejecting"},
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t)
			reg.put("evil:1", good)
			reg.setHook(c.set(reg))
			s, bus := openStore(t, t.TempDir())
			err := s.Pull(t.Context(), reg.host()+"/evil:1", PullOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error with %q, got %v", c.want, err)
			}
			wantEmpty(t, s)
			if list := happened(t, bus); len(list) > 0 {
				t.Errorf("events %q", list)
			}
			reg.setHook(nil)
			reg.put("evil:1", good)
			mustPull(t, s, reg.host()+"/evil:1")
		})
	}
}

// TestSizeOfKnownBlob: a manifest must not make us read a large blob that is in
// the store already as if it were a small config.
func TestSizeOfKnownBlob(t *testing.T) {
	reg := newRegistry(t)
	good := twoLayers(t, "a")
	reg.put("good:1", good)
	s, _ := openStore(t, t.TempDir())
	mustPull(t, s, reg.host()+"/good:1")
	lie := good.Blobs[0].Descriptor
	lie.MediaType, lie.Size = ocispec.MediaTypeImageConfig, 5
	m := oci.NewBlob(ocispec.MediaTypeImageManifest, fmt.Appendf(nil, `{"schemaVersion":2,"config":%s,"layers":[]}`, toJSON(t, lie)))
	reg.put("evil:1", oci.Image{Manifests: []oci.Blob{m}})
	if err := s.Pull(t.Context(), reg.host()+"/evil:1", PullOptions{}); err == nil || !strings.Contains(err.Error(), "bytes, not 5") {
		t.Errorf("%v", err)
	}
}

func TestPullErrors(t *testing.T) {
	reg := newRegistry(t)
	s, _ := openStore(t, t.TempDir())
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	name := reg.host() + "/x"
	for what, c := range map[string]struct {
		hook func(http.ResponseWriter, *http.Request) bool
		kind error
		text string
	}{
		"unknown": {nil, errdefs.ErrNotFound, "manifest for " + name + ":latest not found: manifest unknown: manifest unknown"},
		"denied": {
			answer(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`), errdefs.ErrNotFound,
			"pull access denied for " + name + ", repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
		},
		"unauthorized": {answer(http.StatusUnauthorized, `{}`), errdefs.ErrNotFound, "pull access denied for " + name + ", repository does not exist or may require 'docker login': denied"},
		"broken":       {answer(http.StatusInternalServerError, ``), nil, "500 Internal Server Error"},
	} {
		reg.setHook(c.hook)
		err := s.Pull(t.Context(), name, PullOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), c.text) && !(c.kind == nil && strings.Contains(err.Error(), c.text)) {
			t.Errorf("%s: %v", what, err)
		}
		if c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%s: wrong kind", what)
		}
		if c.kind == nil && (errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err)) {
			t.Errorf("%s: has a kind", what)
		}
	}
	err := s.Pull(t.Context(), "127.0.0.1:1/x", PullOptions{})
	if err == nil || !strings.Contains(err.Error(), `"http://127.0.0.1:1/v2/`) || !strings.Contains(err.Error(), "dial tcp 127.0.0.1:1: connect: connection refused") {
		t.Errorf("refused: %v", err)
	}
	if err := s.Pull(t.Context(), "Bad/Name", PullOptions{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("bad name: %v", err)
	}
	wantEmpty(t, s)
}

// TestSharedPull: two callers share one transfer; when one gives up the other
// goes on; when all do it stops and leaves no name.
func TestSharedPull(t *testing.T) {
	reg := newRegistry(t)
	img := twoLayers(t, "a")
	reg.put("slow:1", img)
	entered, release := make(chan struct{}, 10), make(chan struct{})
	reg.setHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/"+img.Blobs[0].Descriptor.Digest.String()) {
			entered <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		return false
	})
	s, _ := openStore(t, t.TempDir())
	ref := reg.host() + "/slow:1"

	ctx, cancel := context.WithCancel(t.Context())
	alone := make(chan error)
	go func() { alone <- s.Pull(ctx, ref, PullOptions{}) }()
	<-entered
	cancel()
	if err := <-alone; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled pull: %v", err)
	}
	s.work.Wait()
	if list, err := s.List(t.Context(), ListOptions{}); err != nil || len(list) > 0 {
		t.Errorf("a cancelled pull left a name: %v %v", list, err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	first, second := make(chan error), make(chan error)
	seen := make(chan struct{}, 100)
	go func() { first <- s.Pull(ctx, ref, PullOptions{}) }()
	<-entered
	go func() {
		second <- s.Pull(t.Context(), ref, PullOptions{Progress: func(jsonstream.Message) { seen <- struct{}{} }})
	}()
	<-seen // the second has joined
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("first: %v", err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("second: %v", err)
	}
	if n := reg.requests("GET /v2/slow/blobs/" + img.Blobs[0].Descriptor.Digest.String()); n != 2 {
		t.Errorf("the layer was fetched %d times, want 2 (one was cancelled)", n)
	}
}

// TestMovedTag: what a tag stood for stays without a name.
func TestMovedTag(t *testing.T) {
	reg := newRegistry(t)
	s, _ := openStore(t, t.TempDir())
	ref := reg.host() + "/moving:1"
	old := reg.put("moving:1", twoLayers(t, "a"))
	mustPull(t, s, ref)
	id := reg.put("moving:1", twoLayers(t, "b"))
	if lines := mustPull(t, s, ref); lines[len(lines)-1] != "Status: Downloaded newer image for "+ref {
		t.Errorf("%q", lines)
	}
	list, err := s.List(t.Context(), ListOptions{Filters: map[string]map[string]bool{"dangling": {"true": true}}})
	if err != nil || len(list) != 1 || list[0].ID != old.String() || len(list[0].RepoTags) != 0 {
		t.Errorf("dangling: %s %v", toJSON(t, list), err)
	}
	reg.put("moving:1", twoLayers(t, "a"))
	mustPull(t, s, ref)
	list, err = s.List(t.Context(), ListOptions{Filters: map[string]map[string]bool{"dangling": {"true": true}}})
	if err != nil || len(list) != 1 || list[0].ID != id.String() {
		t.Errorf("dangling: %s %v", toJSON(t, list), err)
	}
}
