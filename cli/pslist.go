package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/cli/format"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// brief tells whether a format shows only what the engine puts into a brief
// list.
func brief(text string) bool {
	for _, f := range []string{"Labels", "Label", "Mounts", "LocalVolumes", "Networks", "Platform"} {
		if format.Uses(text, f) {
			return false
		}
	}
	return text == "{{.ID}}" || strings.HasPrefix(text, format.ContainerTable)
}

// containers lists containers. A brief list, which is for thousands of them, has
// what api.ContainerBrief has with Berth's engine; others send all.
func (s *Session) containers(ctx context.Context, engine *client.Client, o client.ContainerListOptions, brief bool) ([]container.Summary, error) {
	if brief && len(o.Filters) == 0 {
		if list, err := s.briefList(ctx, o); err == nil {
			return list, nil
		}
		// What is wrong, the client has the words for.
	}
	list, err := engine.ContainerList(ctx, o)
	return list.Items, err
}

func (s *Session) briefList(ctx context.Context, o client.ContainerListOptions) (list []container.Summary, err error) {
	query := url.Values{"brief": {"1"}}
	for name, set := range map[string]bool{"all": o.All, "size": o.Size} {
		if set {
			query.Set(name, "1")
		}
	}
	if o.Limit > 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	body, err := s.request(ctx, http.MethodGet, "/containers/json", query, nil, "")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return briefRows(body)
}

// maxRow bounds one row of a brief list.
const maxRow = 16 << 20

// briefRows reads a brief list: an array with a line for each row. Read line by
// line, they are taken in while the engine makes others.
func briefRows(body io.Reader) ([]container.Summary, error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 64<<10), maxRow)
	var list []container.Summary
	var r api.ContainerBrief
	for before := byte('['); lines.Scan(); before = ',' {
		line := lines.Bytes()
		if string(line) == "]" || string(line) == "[]" {
			return list, nil
		}
		if len(line) == 0 || line[0] != before {
			return nil, errNotRows
		}
		if err := r.ReadJSON(line[1:]); err != nil {
			return nil, err
		}
		list = append(list, container.Summary{
			ID: r.ID, Names: r.Names, Image: r.Image, ImageID: r.ImageID, Command: r.Command, Created: r.Created, Ports: r.Ports,
			SizeRw: r.SizeRw, SizeRootFs: r.SizeRootFs, State: r.State, Status: r.Status,
		})
	}
	return nil, cmp.Or(lines.Err(), errNotRows)
}

var errNotRows = errors.New("the list of containers is cut off, or no list of rows")
