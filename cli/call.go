package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/moby/moby/api/types/common"
	"github.com/moby/moby/client"
)

// call makes a request that Berth adds to the Engine API: in and out are JSON,
// or nil.
func (s *Session) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	contentType := ""
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body, contentType = bytes.NewReader(b), "application/json"
	}
	answer, err := s.request(ctx, method, path, query, body, contentType)
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer).Decode(out)
}

// request makes a request on a connection of the client, which knows none of
// Berth's own operations, and returns the body of a good answer. A daemon that
// is not Berth's does not know them either, and says so.
func (s *Session) request(ctx context.Context, method, path string, query url.Values, body io.Reader, contentType string) (io.ReadCloser, error) {
	header := http.Header{}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	return s.requestWith(ctx, method, path, query, header, body)
}

// requestWith is request with headers.
func (s *Session) requestWith(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (io.ReadCloser, error) {
	api, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	dial := api.Dialer()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	// The dialer has encrypted the connection already, where it is.
	u := url.URL{Scheme: "http", Host: client.DummyHost, Path: path, RawQuery: query.Encode()}
	if addr, ok := strings.CutPrefix(api.DaemonHost(), "tcp://"); ok {
		u.Host, _, _ = strings.Cut(addr, "/")
	}
	if unescaped, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = unescaped, path
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	for key, value := range s.settings().HTTPHeaders {
		req.Header.Set(key, value)
	}
	for key, values := range header {
		req.Header[http.CanonicalHeaderKey(key)] = values
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, errors.Unwrap(err))
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var said common.ErrorResponse
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&said); err != nil || said.Message == "" {
		said.Message = resp.Status
	}
	if said.Message == "page not found" {
		said.Message = "this daemon does not know the operation " + method + " " + path + ", which is one of Berth's own"
	}
	return nil, errors.New("Error response from daemon: " + said.Message)
}
