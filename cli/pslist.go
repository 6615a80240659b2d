package cli

import (
	"context"
	"encoding/json"
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
	// The engine writes row by row: decoded row by row, they are read while
	// others are made.
	dec := json.NewDecoder(body)
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var rows []api.ContainerBrief // smaller than what they become
	for dec.More() {
		var row api.ContainerBrief
		if err := dec.Decode(&row); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	list = make([]container.Summary, len(rows))
	for i, r := range rows {
		list[i] = container.Summary{
			ID: r.ID, Names: r.Names, Image: r.Image, ImageID: r.ImageID, Command: r.Command, Created: r.Created, Ports: r.Ports,
			SizeRw: r.SizeRw, SizeRootFs: r.SizeRootFs, State: r.State, Status: r.Status,
		}
	}
	return list, nil
}
