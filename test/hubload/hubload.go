// Package hubload pushes and pulls many small images at once, and checks that
// what a registry acknowledged can be read.
package hubload

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/berth-engine/berth/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Options of a load.
type Options struct {
	URL        string // of the registry, as http://127.0.0.1:5000
	Repository string // images go to Repository/N, one N a worker
	User       string // with Secret, sent as Basic; empty is without
	Secret     string
	Workers    int // that push and pull at the same time
	Rounds     int // pushes, and as many pulls, of each worker
	Layer      int // bytes of random content in each image
	// Pushed is told of each acknowledged push; nil is nobody.
	Pushed func(Push)
}

// Push is an image that the registry acknowledged.
type Push struct {
	Repository, Tag string
	Manifest, Layer string // digests
}

// Report is what a load took.
type Report struct {
	Pushes, Pulls int
	Errors        []error
	Took          time.Duration
	Push, Pull    []time.Duration // each, in order of their length
}

type basic struct {
	user, secret string
	next         http.RoundTripper
}

func (b basic) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.SetBasicAuth(b.user, b.secret)
	return b.next.RoundTrip(req)
}

// client is for one load: connections are kept.
func (o Options) client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = max(o.Workers, 2)
	if o.User == "" {
		return &http.Client{Transport: transport}
	}
	return &http.Client{Transport: basic{o.User, o.Secret, transport}}
}

// Run pushes and pulls until all rounds are done or the context ends.
func Run(ctx context.Context, o Options) Report {
	client := o.client()
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var r Report
	start := time.Now()
	var wg sync.WaitGroup
	for worker := range o.Workers {
		wg.Go(func() {
			remote := oci.Remote{Client: client, Registry: o.URL, Repository: fmt.Sprintf("%s/%d", o.Repository, worker)}
			for round := range o.Rounds {
				pushed, pulled, err := once(ctx, o, remote, fmt.Sprintf("v%d", round))
				mu.Lock()
				if pushed > 0 {
					r.Pushes++
					r.Push = append(r.Push, pushed)
				}
				if pulled > 0 {
					r.Pulls++
					r.Pull = append(r.Pull, pulled)
				}
				if err != nil {
					r.Errors = append(r.Errors, err)
				}
				mu.Unlock()
				if ctx.Err() != nil || err != nil && o.Pushed != nil {
					return // whoever listens has the registry killed
				}
			}
		})
	}
	wg.Wait()
	r.Took = time.Since(start)
	slices.Sort(r.Push)
	slices.Sort(r.Pull)
	return r
}

// once pushes an image that nobody has and pulls it.
func once(ctx context.Context, o Options, remote oci.Remote, tag string) (pushed, pulled time.Duration, err error) {
	content := make([]byte, o.Layer)
	if _, err := rand.Read(content); err != nil {
		return 0, 0, err
	}
	layer, err := oci.NewLayer([]oci.Entry{{Header: tar.Header{Name: "data", Mode: 0o644, Typeflag: tar.TypeReg}, Data: content}}, oci.Gzip)
	if err != nil {
		return 0, 0, err
	}
	image, err := oci.NewImage(ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.ImageConfig{}, "load", layer)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := remote.Push(ctx, image, tag); err != nil {
		return 0, 0, fmt.Errorf("push %s:%s: %w", remote.Repository, tag, err)
	}
	pushed = time.Since(start)
	p := Push{Repository: remote.Repository, Tag: tag, Manifest: image.Root().Descriptor.Digest.String(), Layer: image.Blobs[0].Descriptor.Digest.String()}
	if o.Pushed != nil {
		o.Pushed(p)
	}
	start = time.Now()
	if err := read(ctx, remote.Client, o.URL, p); err != nil {
		return pushed, 0, err
	}
	return pushed, time.Since(start), nil
}

// Verify reads all of some pushes, and returns an error for each that is not
// there whole.
func Verify(ctx context.Context, o Options, all []Push) (errs []error) {
	client := o.client()
	defer client.CloseIdleConnections()
	for _, p := range all {
		if err := read(ctx, client, o.URL, p); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// read pulls an image by its tag and checks what comes.
func read(ctx context.Context, client *http.Client, url string, p Push) error {
	base := url + "/v2/" + p.Repository
	return errors.Join(
		fetch(ctx, client, base+"/manifests/"+p.Tag, p.Manifest),
		fetch(ctx, client, base+"/blobs/"+p.Layer, p.Layer),
	)
}

func fetch(ctx context.Context, client *http.Client, url, digest string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, resp.Body); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != digest {
		return fmt.Errorf("%s: %s came, not %s", url, got, digest)
	}
	return nil
}
