package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/berth-engine/berth/cli/format"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// statsWatch collects the newest samples of containers.
type statsWatch struct {
	api    *client.Client
	stream bool
	trunc  bool
	work   sync.WaitGroup
	broken chan error // the list cannot be kept up to date any more

	mu    sync.Mutex
	names []string // in the order in which they came
	rows  map[string]*statsSource
}

// statsSource is one container.
type statsSource struct {
	sample  *container.StatsResponse
	err     error         // why there are no more
	came    chan struct{} // closed when there is something
	heard   bool
	removed bool
	cancel  context.CancelFunc
}

// add begins to collect from a container; one that is known is left alone.
func (w *statsWatch) add(ctx context.Context, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rows[name] != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	src := &statsSource{came: make(chan struct{}), cancel: cancel}
	w.names, w.rows[name] = append(w.names, name), src
	w.work.Go(func() {
		defer cancel()
		err := w.collect(ctx, name, src)
		w.mu.Lock()
		defer w.mu.Unlock()
		src.err, src.removed = err, w.stream && err == nil
		src.hear()
	})
}

// remove forgets a container.
func (w *statsWatch) remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if src := w.rows[name]; src != nil {
		src.cancel()
		delete(w.rows, name)
		w.names = slices.DeleteFunc(w.names, func(n string) bool { return n == name })
	}
}

func (w *statsWatch) collect(ctx context.Context, name string, src *statsSource) error {
	resp, err := w.api.ContainerStats(ctx, name, client.ContainerStatsOptions{Stream: w.stream, IncludePreviousSample: true})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		sample := new(container.StatsResponse)
		err := dec.Decode(sample)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		w.mu.Lock()
		src.sample = sample
		src.hear()
		w.mu.Unlock()
	}
}

func (src *statsSource) hear() {
	if !src.heard {
		src.heard = true
		close(src.came)
	}
}

// first waits until each of the containers has been heard of.
func (w *statsWatch) first(ctx context.Context) {
	w.mu.Lock()
	var all []chan struct{}
	for _, src := range w.rows {
		all = append(all, src.came)
	}
	w.mu.Unlock()
	for _, came := range all {
		select {
		case <-came:
		case <-ctx.Done():
			return
		}
	}
}

// table is what there is now.
func (w *statsWatch) table() []format.StatsRow {
	w.mu.Lock()
	defer w.mu.Unlock()
	var rows []format.StatsRow
	for _, name := range w.names {
		if src := w.rows[name]; src.err == nil && !src.removed {
			rows = append(rows, format.Stats(name, src.sample, w.trunc))
		}
	}
	return rows
}

// failures are the errors so far, in the order of the names.
func (w *statsWatch) failures() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, name := range w.names {
		errs = append(errs, w.rows[name].err)
	}
	return errors.Join(errs...)
}

// over tells whether none of the containers is left.
func (w *statsWatch) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, src := range w.rows {
		if !src.removed {
			return false
		}
	}
	return true
}

// follow adds the containers that there are and, in a stream, those that
// come; it removes those that go.
func (w *statsWatch) follow(ctx context.Context, all bool) error {
	var stream client.EventsResult
	if w.stream {
		// Before the list, so that none is missed.
		stream = w.api.Events(ctx, client.EventsListOptions{Filters: make(client.Filters).Add("type", string(events.ContainerEventType))})
	}
	ids, err := listed(ctx, w.api, all)
	if err != nil {
		return err
	}
	for _, id := range ids {
		w.add(ctx, id)
	}
	if !w.stream {
		return nil
	}
	w.broken = make(chan error, 1)
	w.work.Go(func() {
		for {
			select {
			case err := <-stream.Err:
				w.broken <- err
				return
			case m := <-stream.Messages:
				w.event(ctx, m, all)
			}
		}
	})
	return nil
}

func (w *statsWatch) event(ctx context.Context, m events.Message, all bool) {
	switch m.Action {
	case events.ActionCreate:
		if all {
			w.add(ctx, m.Actor.ID)
		}
	case events.ActionStart:
		w.add(ctx, m.Actor.ID)
	case events.ActionDie:
		if !all {
			w.remove(m.Actor.ID)
		}
	case events.ActionDestroy:
		w.remove(m.Actor.ID)
	default: // nothing that matters here
	}
}
