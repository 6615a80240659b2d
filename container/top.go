package container

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Top lists the container's processes, as ps with psArgs ("": -ef) would. The
// engine reads /proc itself and starts no program; of ps's options it knows
// those that choose columns.
func (s *Service) Top(_ context.Context, ref, psArgs string) (container.TopResponse, error) {
	cols, err := psColumns(psArgs)
	if err != nil {
		return container.TopResponse{}, err
	}
	e, err := s.find(ref)
	if err != nil {
		return container.TopResponse{}, err
	}
	r := e.record()
	if r.State == Restarting {
		return container.TopResponse{}, conflict("Container %s is restarting, wait until the container is running", e.id)
	}
	box := e.streams.current()
	if box == nil || !r.State.live() {
		return container.TopResponse{}, conflict("container %s is not running", e.id)
	}
	pids, err := box.Pids()
	if err != nil {
		return container.TopResponse{}, err
	}
	slices.Sort(pids)
	sys, err := readSystem()
	if err != nil {
		return container.TopResponse{}, fmt.Errorf("list processes: %w", err)
	}
	resp := container.TopResponse{Processes: [][]string{}}
	for _, c := range cols {
		resp.Titles = append(resp.Titles, c.title)
	}
	for _, pid := range pids {
		p, err := readProcess(pid)
		if err != nil {
			continue // it has just ended
		}
		row := make([]string, 0, len(cols))
		for _, c := range cols {
			row = append(row, c.cell(p, sys))
		}
		resp.Processes = append(resp.Processes, row)
	}
	s.announce(r, events.ActionTop)
	return resp, nil
}

type column struct {
	title string
	cell  func(*process, *system) string
}

const (
	fullFormat = "uid pid ppid c stime tty time cmd"
	userFormat = "user pid %cpu %mem vsz rss tty stat start time command"
)

// psColumns understands -ef, aux and -o lists, which is what people and tools
// ask for.
func psColumns(args string) ([]column, error) {
	list, custom := "", false
	words := strings.Fields(args)
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch strings.TrimLeft(w, "-") {
		case "ef", "f", "eF", "fe":
			list = fullFormat
		case "e", "A", "a", "x", "ax", "w", "ww":
		case "aux", "auxw", "auxww", "u":
			list = userFormat
		case "o", "eo", "axo":
			if i++; i == len(words) {
				return nil, invalid("ps: option -o needs a list of columns")
			}
			list, custom = columnList(list, words[i], custom), true
		default:
			rest, ok := strings.CutPrefix(w, "-o")
			if !ok || rest == "" {
				return nil, invalid("ps: option %q is not supported; use -ef, aux or -o with columns", w)
			}
			list, custom = columnList(list, rest, custom), true
		}
	}
	if list == "" {
		list = fullFormat
	}
	var cols []column
	for name := range strings.FieldsSeq(list) {
		key, title, renamed := strings.Cut(name, "=")
		c, ok := psFields[strings.ToLower(key)]
		if !ok {
			return nil, invalid("ps: unknown column %q", key)
		}
		if renamed {
			c.title = title
		}
		cols = append(cols, c)
	}
	return cols, nil
}

func columnList(list, more string, custom bool) string {
	more = strings.ReplaceAll(more, ",", " ")
	if custom {
		return list + " " + more
	}
	return more
}
