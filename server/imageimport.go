package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/jsonstream"

	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/container/dockerfile"
	"github.com/berth-engine/berth/image"
)

// imageImport makes an image of a tar stream: the request's body, or what a URL
// gives.
func (s *Server) imageImport(w http.ResponseWriter, r *request) error {
	src := r.query.Get("fromSrc")
	platform, err := r.platform("platform")
	if err != nil {
		return err
	}
	config, err := dockerfile.Apply(&container.Config{}, r.query["changes"])
	if err != nil {
		return err
	}
	o := image.ImportOptions{Config: engine.ImageConfig(config), Comment: r.query.Get("message"), Platform: platform}
	if o.Name, err = newName(r.query.Get("repo"), r.query.Get("tag")); err != nil {
		return err
	}
	if o.Comment == "" {
		o.Comment = "Imported from " + src
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	out := &progressWriter{w: w, version: r.version}
	body, stop := io.Reader(r.Body), func() {}
	if src != "-" {
		remote, size, err := download(ctx, src)
		if err != nil {
			return err
		}
		defer remote.Close()
		out.write(jsonstream.Message{Status: "Downloading from " + src})
		counted := &importing{Reader: remote, total: size, tell: out.write}
		body, stop = counted, counted.stop
	}
	id, err := s.o.Images.Import(ctx, body, o)
	stop()
	if err == nil {
		out.write(jsonstream.Message{Status: id.String()})
	}
	return out.end(err)
}

// importing tells how much of a download has been read, until it is stopped: who
// decompresses may read on for a moment when the import has failed.
type importing struct {
	io.Reader
	total int64 // -1 if the server does not say

	mu      sync.Mutex
	n       int64
	next    time.Time
	tell    func(jsonstream.Message)
	stopped bool
}

func (i *importing) Read(p []byte) (int, error) {
	n, err := i.Reader.Read(p)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.n += int64(n)
	if now := time.Now(); n > 0 && !i.stopped && (now.After(i.next) || i.n == i.total) {
		i.next = now.Add(100 * time.Millisecond)
		i.tell(jsonstream.Message{Status: "Importing", Progress: &jsonstream.Progress{Current: i.n, Total: i.total}})
	}
	return n, err
}

func (i *importing) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = true
}

// downloadPatience is how long a server may take to begin its answer.
const downloadPatience = time.Minute

// download opens what a URL names, and says how large it is. As in Docker, one
// without a scheme is http.
func download(ctx context.Context, src string) (body io.ReadCloser, size int64, err error) {
	u, err := url.Parse(src)
	if err != nil {
		return nil, 0, invalid(err.Error())
	}
	if u.Scheme == "" {
		if u, err = url.Parse("http://" + src); err != nil {
			return nil, 0, invalid(err.Error())
		}
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, 0, invalid(fmt.Sprintf("cannot import from %q: give - for the request's body, or a URL with http or https", src))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, invalid(err.Error())
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: downloadPatience, DisableKeepAlives: true,
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("import: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, 0, fmt.Errorf("import: %s answers %s", src, resp.Status)
	}
	return resp.Body, resp.ContentLength, nil
}
