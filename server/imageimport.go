package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	body := io.Reader(r.Body)
	if src != "-" {
		remote, err := download(ctx, src)
		if err != nil {
			return err
		}
		defer remote.Close()
		body = remote
		out.write(jsonstream.Message{Status: "Downloading from " + src})
	}
	id, err := s.o.Images.Import(ctx, body, o)
	if err == nil {
		out.write(jsonstream.Message{Status: id.String()})
	}
	return out.end(err)
}

// downloadPatience is how long a server may take to begin its answer.
const downloadPatience = time.Minute

// download opens what a URL names. As in Docker, one without a scheme is http.
func download(ctx context.Context, src string) (io.ReadCloser, error) {
	u, err := url.Parse(src)
	if err != nil {
		return nil, invalid(err.Error())
	}
	if u.Scheme == "" {
		if u, err = url.Parse("http://" + src); err != nil {
			return nil, invalid(err.Error())
		}
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, invalid(fmt.Sprintf("cannot import from %q: give - for the request's body, or a URL with http or https", src))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, invalid(err.Error())
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: downloadPatience, DisableKeepAlives: true,
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("import: %s answers %s", src, resp.Status)
	}
	return resp.Body, nil
}
