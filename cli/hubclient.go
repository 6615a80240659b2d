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
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/api/types/registry"

	"github.com/berth-engine/berth/cli/settings"
)

// hubTimeout bounds one call of a Hub.
const hubTimeout = 60 * time.Second

// printable leaves out what a stranger's text could do to a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}

// loopback reports whether a Hub's address is this machine's, where it speaks
// plain HTTP unless it was given a certificate.
func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return name == "localhost" || err == nil && addr.IsLoopback()
}

// hubClient calls one Hub.
type hubClient struct {
	s     *Session
	host  string
	plain bool
}

// body is what --data says.
func (h *hubClient) body(data string) (io.Reader, error) {
	switch file, isFile := strings.CutPrefix(data, "@"); {
	case data == "":
		return nil, nil
	case data == "@-":
		return h.s.IO.In, nil
	case isFile:
		text, err := os.ReadFile(file)
		return bytes.NewReader(text), err
	}
	return strings.NewReader(data), nil
}

// maxHubAnswer bounds what is read of an answer that is decoded.
const maxHubAnswer = 64 << 20

// call makes one call and reads its answer.
func (h *hubClient) call(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	answer, err := h.do(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	return io.ReadAll(io.LimitReader(answer, maxHubAnswer))
}

// do makes one call with the user's credentials, which go to the Hub alone:
// redirects are not followed. Close the answer.
func (h *hubClient) do(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	scheme := "https"
	if h.plain {
		scheme = "http"
	}
	target, err := url.Parse(scheme + "://" + h.host + "/api/v1/" + strings.TrimPrefix(path, "/"))
	if err != nil || target.Host != h.host {
		return nil, fmt.Errorf("%q is not a host with or without a port", h.host)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	auth, err := h.s.settings().Credentials(settings.ServerFor(h.host))
	if err != nil {
		return nil, err
	}
	if auth != (registry.AuthConfig{}) {
		if auth.Username == "" {
			return nil, errors.New("the credentials for this Hub are no name and password: sign in anew by `berth login`")
		}
		req.SetBasicAuth(auth.Username, auth.Password)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Berth-Client/"+h.s.Build.Version)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	var said struct{ Error string }
	if json.Unmarshal(answer, &said) != nil || said.Error == "" {
		return nil, fmt.Errorf("%s does not answer as a Hub: %s", h.host, resp.Status)
	}
	return nil, fmt.Errorf("%s: %s", resp.Status, printable(said.Error))
}
