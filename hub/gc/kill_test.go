package gc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/berth-engine/berth/hub/registry"
	"github.com/berth-engine/berth/hub/store"
	"github.com/berth-engine/berth/oci"
)

// killDir names the directory that a child of TestKilled serves.
const killDir = "BERTH_TEST_GC_KILL_DIR"

// TestMain is a registry that collects without pause when it is a child.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		fmt.Fprintln(os.Stderr, serveAndCollect(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func open(ctx context.Context, dir string, grace time.Duration, now func() time.Time) (*registry.Registry, *Collector, error) {
	db, err := store.Open(ctx, filepath.Join(dir, "hub.db"))
	if err != nil {
		return nil, nil, err
	}
	gate := NewGate(db, grace, now)
	names := catalog.New(db, catalog.Options{Open: true})
	r, err := registry.New(ctx, registry.Options{
		Storage: registry.Filesystem(filepath.Join(dir, "registry")), Catalog: names, Relies: gate.Touch,
	})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return r, New(Options{DB: db, Catalog: names, Gate: gate, Driver: r.Driver()}), nil
}

// serveAndCollect runs until it is killed. Its grace period is short, so that
// something is removed all the time; a push that takes longer fails and is
// repeated.
func serveAndCollect(dir string) error {
	ctx := context.Background()
	r, c, err := open(ctx, dir, 3*time.Second, nil)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, l.Addr())
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(l, r) }() //nolint:gosec // a test
	go func() {
		for {
			if _, err := c.Collect(ctx, false); err != nil {
				failed <- err
			}
		}
	}()
	return <-failed
}

// pushed is what the parent knows of the images.
type pushed struct {
	mu      sync.Mutex
	whole   map[string]oci.Image // acknowledged, by repository and tag
	doubted map[string]oci.Image // the answer is missing
	n       int
}

// TestKilled kills a registry that collects garbage, in the middle of pushes and
// deletions, again and again: what was acknowledged is whole, what is there is
// whole, and in the end nothing else is left.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	p := &pushed{whole: map[string]oci.Image{}, doubted: map[string]oci.Image{}}
	for round := range 4 {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), killDir+"="+dir)
		var said strings.Builder
		c.Stderr = &said
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		addr, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err, said.String())
		}
		url := "http://" + strings.TrimSpace(addr)
		p.check(t, url)
		enough := make(chan struct{})
		once := sync.OnceFunc(func() { close(enough) })
		var pushers sync.WaitGroup
		for n := range 4 {
			pushers.Go(func() { p.push(t, url, round, n, once) })
		}
		<-enough
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		pushers.Wait()
		_ = c.Wait() // it was killed
	}
	p.end(t, dir)
}

// push pushes until the registry is gone; every third image is removed again.
func (p *pushed) push(t *testing.T, url string, round, n int, enough func()) {
	for i := 0; ; i++ {
		img := image(t, "all", fmt.Sprint("some ", i%3), fmt.Sprint("own ", round, n, i))
		repository, tag := fmt.Sprintf("r%d", n), fmt.Sprintf("%d-%d", round, i)
		key := repository + ":" + tag
		p.mu.Lock()
		p.doubted[key] = img
		p.mu.Unlock()
		var err error
		for range 20 { // of a push that was too slow for the grace period
			if err = (oci.Remote{Registry: url, Repository: repository}).Push(context.WithoutCancel(t.Context()), img, tag); err == nil || !strings.Contains(err.Error(), "UNKNOWN") {
				break
			}
		}
		if err != nil {
			return
		}
		if i%3 == 2 {
			// Doubted until the answer is there, and forgotten then.
			if status, _ := do(t, http.MethodDelete, url+"/v2/"+repository+"/manifests/"+img.Root().Descriptor.Digest.String()); status != http.StatusAccepted {
				return
			}
		}
		p.mu.Lock()
		delete(p.doubted, key)
		if i%3 != 2 {
			p.whole[key] = img
		}
		p.n++
		if p.n%20 == 0 {
			enough()
		}
		p.mu.Unlock()
	}
}

func (p *pushed) check(t *testing.T, url string) {
	t.Helper()
	for key, img := range p.whole {
		repository, tag, _ := strings.Cut(key, ":")
		if err := whole(t, url, repository, tag, img); err != nil {
			t.Error(err)
		}
	}
	for key, img := range p.doubted {
		repository, tag, _ := strings.Cut(key, ":")
		if status, _ := do(t, http.MethodGet, url+"/v2/"+repository+"/manifests/"+tag); status == http.StatusOK {
			if err := whole(t, url, repository, tag, img); err != nil {
				t.Error(err)
			}
		}
	}
}

// end collects once more, when every grace period is over.
func (p *pushed) end(t *testing.T, dir string) {
	r, c, err := open(t.Context(), dir, time.Second, func() time.Time { return time.Now().Add(time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(r.Close(), c.DB.Close()); err != nil {
			t.Error(err)
		}
	}()
	if _, err := c.Collect(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	may, must := map[string]bool{}, map[string]bool{}
	for _, img := range p.doubted {
		for _, b := range append(slices.Clone(img.Blobs), img.Root()) {
			may[b.Descriptor.Digest.Encoded()] = true
		}
	}
	for _, img := range p.whole {
		for _, b := range append(slices.Clone(img.Blobs), img.Root()) {
			must[b.Descriptor.Digest.Encoded()] = true
		}
	}
	for _, hex := range blobs(t, filepath.Join(dir, "registry")) {
		if !must[hex] && !may[hex] {
			t.Errorf("blob %s is left", hex)
		}
		delete(must, hex)
	}
	if len(must) > 0 {
		t.Errorf("%d blobs are missing of %d images", len(must), len(p.whole))
	}
	list, err := c.Reports(t.Context(), account.System("test"))
	removed := 0
	for _, r := range list {
		removed += r.Blobs
	}
	t.Logf("%d images, %d in doubt, %d blobs removed by the last %d collections", len(p.whole), len(p.doubted), removed, len(list))
	if err != nil || removed == 0 {
		t.Errorf("nothing was ever removed: %v", err)
	}
}
