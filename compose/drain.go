package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	berth "github.com/berth-engine/berth/api"
)

const turnReady = "ready"

// turnOf is whether new connections lead to the container. A conflict: it has no
// published ports; not implemented: the engine is not Berth's.
func turnOf(ctx context.Context, c client.APIClient, id string) (string, error) {
	t, err := call(ctx, c, http.MethodGet, id, "turn")
	return t.Turn, err
}

// drain takes the container out of its published ports and returns when its last
// connection has ended, or after so long.
func drain(ctx context.Context, c client.APIClient, id string, wait time.Duration) error {
	_, err := call(ctx, c, http.MethodPost, id, fmt.Sprintf("drain?wait=%d", int(wait.Seconds())))
	if errdefs.IsConflict(err) { // it has none, or has ended by itself
		return nil
	}
	return err
}

// call is one of Berth's own operations on a container, which Docker's client
// does not know.
func call(ctx context.Context, c client.APIClient, method, id, what string) (berth.ContainerTurn, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.Dialer()(ctx) },
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://engine/containers/"+url.PathEscape(id)+"/"+what, http.NoBody)
	if err != nil {
		return berth.ContainerTurn{}, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return berth.ContainerTurn{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return berth.ContainerTurn{}, err
	}
	return answer(resp.StatusCode, body)
}

func answer(status int, body []byte) (t berth.ContainerTurn, err error) {
	var said struct{ Message string }
	if status != http.StatusOK {
		if json.Unmarshal(body, &said) != nil || said.Message == "" {
			said.Message = http.StatusText(status)
		}
	}
	switch {
	case status == http.StatusOK:
		err = json.Unmarshal(body, &t)
	case status == http.StatusConflict:
		err = fmt.Errorf("%s: %w", said.Message, errdefs.ErrConflict)
	case status == http.StatusNotFound && !strings.Contains(said.Message, "No such container"):
		err = fmt.Errorf("this engine cannot have containers share a published port, as --rolling needs: it is not Berth's (%w)", errdefs.ErrNotImplemented)
	default:
		err = fmt.Errorf("%d: %s", status, said.Message)
	}
	return t, err
}
