package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/berth-engine/berth/api"
)

// tracedNames are the requests of a container's life, and what the engine does by
// itself, as traces are called; and what they are called here.
var tracedNames = map[string]string{
	"POST /containers/create":     "create",
	"POST /containers/{id}/start": "start",
	"container exit":              "exit",
	"DELETE /containers/{id}":     "remove",
}

// runPhases tells where the time of a container's life goes in the engine: it has
// the engine trace itself. Floors are measured beside.
func runPhases(ctx context.Context, o options) (err error) {
	own, err := startOwnWith(ctx, "", []string{"BERTH_TRACE=1"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.removeAll(context.WithoutCancel(ctx)), own.close()) }()
	report := newReport(o)
	floors := benchCase{name: "one after the other, each, traced", unit: "ms", floor: inARow}
	for i := -1; i < min(o.n, 10); i++ { // traces are remembered of that many
		ms, err := backToBack(inARow)(ctx, own, own.target)
		if err != nil {
			return err
		}
		if i < 0 {
			continue
		}
		report.add(floors, own.name, ms)
		if err := own.addFloor(ctx, floors, report); err != nil {
			return err
		}
		if err := own.addPhases(ctx, report); err != nil {
			return err
		}
	}
	report.print(os.Stdout)
	if o.out != "" {
		return report.save(o.out)
	}
	return nil
}

// addPhases adds the phases of the last containers.
func (o *own) addPhases(ctx context.Context, r *report) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://berth/debug/trace", nil)
	if err != nil {
		return err
	}
	http := o.daemon.Client()
	defer http.CloseIdleConnections()
	resp, err := http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var traces []api.Trace
	if err := json.NewDecoder(resp.Body).Decode(&traces); err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	for _, t := range traces[max(0, len(traces)-5*inARow):] {
		name := tracedNames[t.Name]
		if name == "" {
			continue
		}
		r.add(benchCase{name: name + ": all", unit: "ms"}, o.name, t.Milliseconds)
		for _, p := range t.Phases {
			r.add(benchCase{name: name + ": " + p.Name, unit: "ms"}, o.name, p.Milliseconds)
		}
	}
	return nil
}
