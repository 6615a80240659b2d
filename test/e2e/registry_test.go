package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/berth-engine/berth/test/engine"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// registry serves one image under every name; hook may spoil what it sends.
type registry struct {
	*httptest.Server
	blobs    map[digest.Digest][]byte
	manifest []byte
	layer    digest.Digest
	hook     hook
}

// hook is what a registry does with a request for a blob; false leaves it to
// the registry.
type hook func(w http.ResponseWriter, req *http.Request, d digest.Digest, data []byte) bool

// newRegistry makes an image with one layer that holds a file of size random
// bytes, which do not compress.
func newRegistry(t *testing.T, size int) *registry {
	t.Helper()
	content := make([]byte, size)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	var plain, packed bytes.Buffer
	tw := tar.NewWriter(&plain)
	if err := tw.WriteHeader(&tar.Header{Name: "data", Mode: 0o644, Size: int64(size), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	zw := gzip.NewWriter(&packed)
	if _, err := zw.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	r := &registry{blobs: map[digest.Digest][]byte{}}
	config := r.add(t, ocispec.MediaTypeImageConfig, marshal(t, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(plain.Bytes())}},
		Config:   ocispec.ImageConfig{Cmd: []string{"/data"}},
	}))
	layer := r.add(t, ocispec.MediaTypeImageLayerGzip, packed.Bytes())
	r.layer = layer.Digest
	r.manifest = marshal(t, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layer},
	})
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (r *registry) add(t *testing.T, mediaType string, data []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	r.blobs[d.Digest] = data
	return d
}

// name is how the engine is told to pull from this registry.
func (r *registry) name() string { return strings.TrimPrefix(r.URL, "http://") + "/some/image:1" }

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch _, rest, _ := strings.Cut(req.URL.Path, "/some/image/"); {
	case req.URL.Path == "/v2/":
	case strings.HasPrefix(rest, "manifests/"):
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(r.manifest).String())
		http.ServeContent(w, req, "", modified, bytes.NewReader(r.manifest))
	case strings.HasPrefix(rest, "blobs/"):
		d := digest.Digest(strings.TrimPrefix(rest, "blobs/"))
		data, ok := r.blobs[d]
		if !ok {
			http.NotFound(w, req)
			return
		}
		if req.Method == http.MethodGet && r.hook != nil && r.hook(w, req, d, data) {
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, req, "", modified, bytes.NewReader(data))
	default:
		http.NotFound(w, req)
	}
}

// client runs a client program against the daemon and returns its output.
func client(t *testing.T, d *engine.Daemon, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "/usr/bin/env", append(d.Environ(), args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, d *engine.Daemon, args ...string) string {
	t.Helper()
	out, err := client(t, d, args...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

func started(t *testing.T) *engine.Daemon {
	t.Helper()
	d := newDaemon(t)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestHostileRegistry pulls from registries that lie or break off. Each gets a
// clear error, and nothing of the image stays.
func TestHostileRegistry(t *testing.T) {
	for name, c := range map[string]struct {
		hook func(r *registry) hook
		want []string // one of these must be in the error
	}{
		"digest mismatch": {spoil(func(data []byte) []byte {
			bad := bytes.Clone(data)
			bad[len(bad)/2] ^= 1
			return bad
		}), []string{"digest", "checksum", "gzip"}},
		"truncated layer": {func(r *registry) hook {
			return func(w http.ResponseWriter, _ *http.Request, d digest.Digest, data []byte) bool {
				if d != r.layer {
					return false
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				_, _ = w.Write(data[:len(data)/3])
				panic(http.ErrAbortHandler)
			}
		}, []string{"EOF", "short read", "unexpected", "reset"}},
		"server error": {func(r *registry) hook {
			return func(w http.ResponseWriter, _ *http.Request, d digest.Digest, _ []byte) bool {
				if d == r.layer {
					http.Error(w, "out of order", http.StatusInternalServerError)
				}
				return d == r.layer
			}
		}, []string{"500"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := started(t)
			r := newRegistry(t, 200_000)
			r.hook = c.hook(r)
			must(t, d, "docker", "pull", "-q", "hello-world") // makes the store's folders
			before := idle(t, d)
			out, err := client(t, d, "docker", "pull", r.name())
			if err == nil {
				t.Fatalf("the pull succeeded:\n%s", out)
			}
			found := false
			for _, want := range c.want {
				found = found || strings.Contains(out, want)
			}
			if !found {
				t.Errorf("the message says none of %q:\n%s", c.want, out)
			}
			if left := must(t, d, "docker", "images", "--format", "{{.Repository}}"); left != "hello-world\n" {
				t.Errorf("an image is left: %s", left)
			}
			noLeak(t, d, before)

			r.hook = nil
			must(t, d, "docker", "pull", r.name())
		})
	}
}

func spoil(change func([]byte) []byte) func(*registry) hook {
	return func(r *registry) hook {
		return func(w http.ResponseWriter, _ *http.Request, d digest.Digest, data []byte) bool {
			if d != r.layer {
				return false
			}
			_, _ = w.Write(change(data))
			return true
		}
	}
}

// TestKilledWhilePulling kills the daemon in the middle of a layer. The next
// daemon pulls the image whole.
func TestKilledWhilePulling(t *testing.T) {
	d := started(t)
	r := newRegistry(t, 4<<20)
	half := make(chan struct{})
	var once atomic.Bool
	r.hook = func(w http.ResponseWriter, req *http.Request, dg digest.Digest, data []byte) bool {
		if dg != r.layer || !once.CompareAndSwap(false, true) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		w.(http.Flusher).Flush()
		close(half)
		<-req.Context().Done() // the daemon's end closes the connection
		return true
	}
	must(t, d, "docker", "pull", "-q", "hello-world") // makes the store's folders
	before := idle(t, d)
	go func() { _, _ = client(t, d, "docker", "pull", r.name()) }() // the kill ends it
	<-half
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, d, "docker", "pull", r.name())
	must(t, d, "docker", "rmi", r.name())
	noLeak(t, d, before)
}

// TestFullDisk pulls an image that does not fit on the data-root's filesystem.
func TestFullDisk(t *testing.T) {
	d := newDaemon(t)
	mountTmpfs(t, d.DataRoot(), "size=12m")
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newRegistry(t, 16<<20)
	must(t, d, "docker", "pull", "-q", "hello-world") // makes the store's folders
	before := idle(t, d)
	out, err := client(t, d, "docker", "pull", r.name())
	if err == nil || !strings.Contains(out, "no space left on device") {
		t.Fatalf("want an error about the full disk, got %v:\n%s", err, out)
	}
	noLeak(t, d, before)
	must(t, d, "berth", "run", "--rm", "hello-world")
}
