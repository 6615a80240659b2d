package image

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	imagetypes "github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/oci"
)

// large makes a layer of random content, which does not compress.
func large(t *testing.T, size int) oci.Image {
	t.Helper()
	return newImage(t, amd64, ocispec.ImageConfig{},
		newLayer(t, oci.Gzip, file("small", "s")), newLayer(t, oci.Gzip, file("data", string(randomBytes(size)))))
}

const childRoot = "BERTH_TEST_PULL_ROOT"

// TestMain is also the process that TestKilledWhilePulling kills.
func TestMain(m *testing.M) {
	if root := os.Getenv(childRoot); root != "" {
		ctx := context.Background()
		s, err := Open(ctx, Options{Root: root, Registries: Registries{Insecure: []string{"registry.test:80", "secure.test"}}})
		if err == nil {
			err = s.Pull(ctx, os.Getenv("BERTH_TEST_PULL_REF"), PullOptions{})
		}
		fmt.Fprintln(os.Stderr, "the pull was to be killed:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// copied is how many bytes the content store takes at a time: what has come of the
// last of them is lost with the process.
const copied = 1 << 20

// layerSize is how large the layer of TestKilledWhilePulling is; it is also run
// with -layer 1073741824.
var layerSize = flag.Int("layer", 12<<20, "bytes of the layer whose pull is killed")

// TestKilledWhilePulling kills a process when about nine tenths of a layer have come. The
// next pull is sent only the rest, and afterwards nothing of the first is left.
func TestKilledWhilePulling(t *testing.T) {
	img := large(t, *layerSize)
	layer := img.Blobs[1]
	reg := newRegistry(t)
	reg.put("big:1", img)
	ref := reg.host() + "/big:1"
	sent := len(layer.Data) / 10 * 9 / copied * copied
	most := make(chan struct{})
	var first atomic.Bool
	var again atomic.Int64
	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/blobs/"+layer.Descriptor.Digest.String()) {
			return false
		}
		if !first.CompareAndSwap(false, true) {
			http.ServeContent(&countedWriter{w, &again}, r, "", time.Time{}, bytes.NewReader(layer.Data))
			return true
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(layer.Data)))
		_, _ = w.Write(layer.Data[:sent])
		w.(http.Flusher).Flush()
		close(most)
		<-r.Context().Done() // the kill closes the connection
		return true
	})
	root := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe)
	child.Env = append(os.Environ(), childRoot+"="+root, "BERTH_TEST_PULL_REF="+ref)
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case <-most:
	case err := <-ended:
		t.Fatalf("the pull ended: %v", err)
	}
	waitFor(t, func() bool { return ingested(t, root) >= int64(sent) })
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended

	s, _ := openStore(t, root)
	if list, err := s.List(t.Context(), ListOptions{}); err != nil || len(list) > 0 {
		t.Errorf("a killed pull left a name: %v %v", list, err)
	}
	if err := s.db.CollectNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustPull(t, s, ref)
	if n, want := again.Load(), int64(len(layer.Data)-sent); n != want {
		t.Errorf("the second pull was sent %d bytes, not the %d that were missing", n, want)
	}
	got, err := s.Resolve(t.Context(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	fs, err := s.Rootfs(t.Context(), got)
	if err != nil {
		t.Fatal(err)
	}
	if d := digest.FromString(readLower(t, fs.Lower, "data")); d != digest.FromBytes(randomBytes(*layerSize)) {
		t.Error("the file is not what the registry sent")
	}
	fs.Release()
	if _, err := s.Remove(t.Context(), ref, false, true); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}

// countedWriter counts what a registry sends.
type countedWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// TestCancelledPullGoesOn: who gives up and comes back is sent the rest; so is who
// pulls after the engine was stopped.
func TestCancelledPullGoesOn(t *testing.T) {
	img := large(t, 4*copied)
	layer := img.Blobs[1]
	reg := newRegistry(t)
	reg.put("big:1", img)
	part := copied
	var again atomic.Int64
	blocked := make(chan struct{}, 1)
	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/blobs/"+layer.Descriptor.Digest.String()) {
			return false
		}
		from := 0
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		if from >= 2*part {
			http.ServeContent(&countedWriter{w, &again}, r, "", time.Time{}, bytes.NewReader(layer.Data))
			return true
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(layer.Data)-from))
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(layer.Data)-1, len(layer.Data)))
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(layer.Data[from : from+part])
		w.(http.Flusher).Flush()
		blocked <- struct{}{}
		<-r.Context().Done()
		return true
	})
	root := t.TempDir()
	ref := reg.host() + "/big:1"
	used := func(s *Store, want int64) {
		t.Helper()
		if total, free, err := s.DiskUsage(t.Context()); err != nil || total < want || total > want+want/2 || free != total {
			t.Errorf("an interrupted pull of %d bytes takes %d, %d could be freed: %v", want, total, free, err)
		}
	}
	for n, stop := range []func(s *Store, cancel func()){func(_ *Store, cancel func()) { cancel() }, func(s *Store, _ func()) { _ = s.Close() }} {
		s, _ := openStore(t, root)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Pull(ctx, ref, PullOptions{}) }()
		<-blocked
		waitFor(t, func() bool { return ingested(t, root) >= int64((n+1)*part) })
		stop(s, cancel)
		if err := <-done; err == nil {
			t.Error("the pull succeeded")
		}
		cancel()
		if n == 0 {
			waitFor(t, func() bool { return idle(s) })
			used(s, int64(part))
		}
		_ = s.Close()
	}
	s, _ := openStore(t, root)
	mustPull(t, s, ref)
	if n, want := again.Load(), int64(len(layer.Data)-2*part); n != want {
		t.Errorf("the last pull was sent %d bytes, not the %d that were missing", n, want)
	}
	if _, err := s.Remove(t.Context(), ref, false, true); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
}

// idle tells whether no pull is at work: who gives one up does not wait for its end.
func idle(s *Store) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.active) == 0
}

// TestPruneDropsInterruptedPulls: a prune of all images removes what a pull that was
// given up has brought, and says how much; one of some images, one of older things and
// a dry one leave it, and so does a prune during a pull that continues it.
func TestPruneDropsInterruptedPulls(t *testing.T) {
	img := large(t, 4*copied)
	layer := img.Blobs[1]
	reg := newRegistry(t)
	reg.put("big:1", img)
	sent := make(chan struct{}, 1)
	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/blobs/"+layer.Descriptor.Digest.String()) || r.Header.Get("Range") != "" {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(layer.Data)))
		_, _ = w.Write(layer.Data[:copied])
		w.(http.Flusher).Flush()
		sent <- struct{}{}
		<-r.Context().Done()
		return true
	})
	root := t.TempDir()
	s, _ := openStore(t, root)
	on := func(v string) map[string]bool { return map[string]bool{v: true} }
	all := map[string]map[string]bool{"dangling": on("false")}
	prune := func(filters map[string]map[string]bool, dry bool) uint64 {
		t.Helper()
		report, err := s.Prune(t.Context(), filters, dry)
		if err != nil {
			t.Fatal(err)
		}
		return report.SpaceReclaimed
	}
	interrupt := func() {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Pull(ctx, reg.host()+"/big:1", PullOptions{}) }()
		<-sent
		waitFor(t, func() bool { return ingested(t, root) >= copied })
		if n := prune(all, false); n != 0 {
			t.Errorf("a prune took %d bytes of a pull", n)
		}
		cancel()
		if err := <-done; err == nil {
			t.Error("the pull succeeded")
		}
		waitFor(t, func() bool { return idle(s) })
	}
	interrupt()
	for name, filters := range map[string]map[string]map[string]bool{
		"dangling": nil,
		"label":    {"dangling": on("false"), "label": on("x")},
		"until":    {"dangling": on("false"), "until": on("1h")},
	} {
		if n := prune(filters, false); n != 0 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
	if n := prune(all, true); n < copied || ingested(t, root) < copied {
		t.Errorf("a dry prune tells of %d bytes, %d are left", n, ingested(t, root))
	}
	// Docker's client tells how much is free only if something is listed.
	if report, err := s.Prune(t.Context(), all, false); err != nil || report.SpaceReclaimed < copied ||
		!slices.ContainsFunc(report.ImagesDeleted, func(d imagetypes.DeleteResponse) bool { return d.Deleted == layer.Descriptor.Digest.String() }) {
		t.Errorf("a prune tells of %+v: %v", report, err)
	}
	if total, _, err := s.DiskUsage(t.Context()); err != nil || total != 0 {
		t.Errorf("%d bytes are left: %v", total, err)
	}
	wantEmpty(t, s)
	interrupt()
	if n := prune(map[string]map[string]bool{"dangling": on("false"), "until": on("0s")}, false); n < copied {
		t.Errorf("a prune of what is older than now tells of %d bytes", n)
	}
	wantEmpty(t, s)
}

// TestSpoiledPartialBlob: what a killed pull left may be damaged; then the blob
// is fetched again from the start.
func TestSpoiledPartialBlob(t *testing.T) {
	img := large(t, 1<<20)
	layer := img.Blobs[1]
	reg := newRegistry(t)
	reg.put("big:1", img)
	s, _ := openStore(t, t.TempDir())
	ctx := s.db.Context(t.Context())
	w, err := s.db.Content.Writer(ctx, content.WithRef("blob-"+layer.Descriptor.Digest.String()), content.WithDescriptor(layer.Descriptor))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte("x"), 5000)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	mustPull(t, s, reg.host()+"/big:1")
}

// TestFullDisk fills disks of many sizes, so that there is no room at many
// points of a pull. The error says so and nothing stays; with more room the same
// store takes the image.
func TestFullDisk(t *testing.T) {
	reg := newRegistry(t)
	reg.put("big:1", large(t, 8<<20))
	reg.put("zeros:1", newImage(t, amd64, ocispec.ImageConfig{}, newLayer(t, oci.Gzip, file("z", string(make([]byte, 8<<20))))))
	failed := 0
	for size := 400; size < 16000; size += 100 + size/6 {
		root := t.TempDir()
		limit := func(flags uintptr, kib int) {
			if err := syscall.Mount("tmpfs", root, "tmpfs", flags, fmt.Sprintf("size=%dk", kib)); err != nil {
				t.Fatal(err)
			}
		}
		limit(0, size)
		s, err := Open(t.Context(), Options{Root: filepath.Join(root, "images")})
		if err != nil {
			if !strings.Contains(err.Error(), "no space left on device") {
				t.Errorf("open with %d KiB: %v", size, err)
			}
			if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, name := range []string{"/big:1", "/zeros:1"} {
			if err := s.Pull(t.Context(), reg.host()+name, PullOptions{}); err != nil {
				failed++
				if !strings.Contains(err.Error(), "no space left on device") {
					t.Errorf("pull with %d KiB: %v", size, err)
				}
			} else if _, err := s.Remove(t.Context(), reg.host()+name, false, true); err != nil {
				t.Errorf("remove with %d KiB: %v", size, err)
			}
			wantEmpty(t, s)
		}
		limit(syscall.MS_REMOUNT, 64<<10)
		mustPull(t, s, reg.host()+"/big:1")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		// Detached: a descriptor that containerd leaves to the garbage
		// collector may still be open.
		if err := syscall.Unmount(root, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}
	if failed < 10 {
		t.Errorf("only %d pulls met a full disk", failed)
	}
}

// waitFor polls what another process does.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("waited in vain")
		}
	}
}

func ingested(t *testing.T, root string) int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "content/ingest/*/data"))
	if err != nil {
		t.Fatal(err)
	}
	var most int64
	for _, f := range files {
		if fi, err := os.Stat(f); err == nil {
			most = max(most, fi.Size())
		}
	}
	return most
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // it never fails
	return data
}

// TestSnapshotWithoutEntry: a pull that was killed between the making of a
// snapshot's directory and its entry does not stand in the way of others.
func TestSnapshotWithoutEntry(t *testing.T) {
	reg := newRegistry(t)
	reg.put("small:1", newImage(t, amd64, ocispec.ImageConfig{}, newLayer(t, oci.Gzip, file("small", "s"))))
	root := t.TempDir()
	left := filepath.Join(root, "overlay", "snapshots", "1", "fs", "left")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	s, _ := openStore(t, root)
	mustPull(t, s, reg.host()+"/small:1")
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}
}
