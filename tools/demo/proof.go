package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// clock is how the proof prints times.
const clock = "15:04:05.000"

// access is what the demonstration reads of the Hub's access log.
type access struct {
	Time      time.Time `json:"time"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Status    int       `json:"status"`
	Sent      int64     `json:"sent"`
	UserAgent string    `json:"user_agent"`
}

// proof prints the four steps of the run since begin, each from what engine
// and Hub recorded. It fails when one is not on record, when they are out of
// order, or when what the client printed is not what the engine logged.
func (s *stage) proof(ctx context.Context, begin time.Time, printed []byte) error {
	served, err := s.served(begin)
	if err != nil {
		return err
	}
	manifest, err := s.pulled(ctx, served)
	if err != nil {
		return err
	}
	requests, err := s.requests(begin)
	if err != nil {
		return err
	}
	recorded, err := s.events(ctx, begin)
	if err != nil {
		return err
	}
	steps, err := inOrder(recorded)
	if err != nil {
		return err
	}
	pull, create, attach, start, die := steps[0], steps[1], steps[2], steps[3], steps[4]
	logged, err := s.ask(ctx, "logs", create.Actor.ID)
	if err != nil {
		return err
	}
	if !bytes.Equal(logged, printed) {
		return fmt.Errorf("the client printed %d bytes, the engine logged %d, and they differ", len(printed), len(logged))
	}

	fmt.Fprintf(s.out, "1. client contacted daemon     %s\n", requests[0].Time.Format(clock))
	for _, r := range requests {
		fmt.Fprintf(s.out, "     engine: %s %s, %-4s %s\n", r.Time.Format(clock), r.Message, r.Method, strings.ReplaceAll(r.Path, create.Actor.ID, create.Actor.ID[:12]))
	}
	fmt.Fprintf(s.out, "2. daemon pulled from the Hub  %s %s for %s/%s (%s)\n",
		at(pull), pull.Actor.ID, manifest.Platform.OS, manifest.Platform.Architecture, manifest.Digest)
	for _, a := range served {
		fmt.Fprintf(s.out, "     Hub: %s %d %-4s %s, %d bytes, to %s\n", a.Time.Local().Format(clock), a.Status, a.Method, a.Path, a.Sent, a.UserAgent)
	}
	fmt.Fprintf(s.out, "3. daemon created container    %s %.12s from %s; started %s\n",
		at(create), create.Actor.ID, create.Actor.Attributes["image"], at(start))
	fmt.Fprintf(s.out, "4. output streamed             client attached %s; exit status %s at %s; the %d bytes above are those in the engine's log\n",
		at(attach), die.Actor.Attributes["exitCode"], at(die), len(printed))
	return nil
}

func at(e events.Message) string { return time.Unix(0, e.TimeNano).Format(clock) }

// inOrder finds the events of a run, which must have come one after the other.
func inOrder(recorded []events.Message) ([]events.Message, error) {
	var steps []events.Message
	for _, want := range []struct {
		kind   events.Type
		action events.Action
	}{
		{events.ImageEventType, events.ActionPull},
		{events.ContainerEventType, events.ActionCreate},
		{events.ContainerEventType, events.ActionAttach},
		{events.ContainerEventType, events.ActionStart},
		{events.ContainerEventType, events.ActionDie},
	} {
		for len(recorded) > 0 && (recorded[0].Type != want.kind || recorded[0].Action != want.action) {
			recorded = recorded[1:]
		}
		if len(recorded) == 0 {
			return nil, fmt.Errorf("the engine recorded no event %q of a %s in its place", want.action, want.kind)
		}
		steps = append(steps, recorded[0])
	}
	return steps, nil
}

// events asks the engine what it recorded since begin.
func (s *stage) events(ctx context.Context, begin time.Time) ([]events.Message, error) {
	stamp := func(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
	out, err := s.ask(ctx, "events", "--format", "json", "--since", stamp(begin), "--until", stamp(time.Now()))
	if err != nil {
		return nil, err
	}
	var all []events.Message
	for line := range strings.Lines(string(out)) {
		var e events.Message
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("event %q: %w", line, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// request is what the demonstration reads of a line in the engine's log.
type request struct {
	Time    time.Time `json:"time"`
	Message string    `json:"msg"`
	Method  string    `json:"method"`
	Path    string    `json:"path"`
}

// requests reads from the engine's log what its API was asked since begin.
func (s *stage) requests(begin time.Time) ([]request, error) {
	data, err := os.ReadFile(s.daemon.log)
	if err != nil {
		return nil, err
	}
	var all []request
	for line := range strings.Lines(string(data)) {
		var r request
		if json.Unmarshal([]byte(line), &r) != nil {
			continue // a helper's own words
		}
		if r.Method != "" && r.Time.After(begin) {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("the engine's log shows no request")
	}
	return all, nil
}

// served reads the successful downloads since begin from the Hub's access log.
func (s *stage) served(begin time.Time) ([]access, error) {
	data, err := os.ReadFile(s.accessLog())
	if err != nil {
		return nil, err
	}
	var all []access
	for line := range strings.Lines(string(data)) {
		var a access
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return nil, fmt.Errorf("access log %q: %w", line, err)
		}
		if a.Time.After(begin) && a.Status < 300 {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("the Hub's access log shows no download: nothing was pulled from it")
	}
	return all, nil
}

// pulled finds which of the index's manifests the Hub has served.
func (s *stage) pulled(ctx context.Context, served []access) (ocispec.Descriptor, error) {
	index, err := s.index(ctx, "library/hello-world")
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, m := range index.Manifests {
		for _, a := range served {
			if a.Method == http.MethodGet && strings.HasSuffix(a.Path, "/manifests/"+m.Digest.String()) && m.Platform != nil {
				return m, nil
			}
		}
	}
	return ocispec.Descriptor{}, errors.New("the Hub's access log shows no download of a manifest of hello-world")
}

// index asks the Hub for the index behind a name's tag latest.
func (s *stage) index(ctx context.Context, name string) (ocispec.Index, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.hubAddr+"/v2/"+name+"/manifests/latest", nil)
	if err != nil {
		return ocispec.Index{}, err
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageIndex)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ocispec.Index{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return ocispec.Index{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return ocispec.Index{}, fmt.Errorf("the Hub answered %s", resp.Status)
	}
	var index ocispec.Index
	err = json.Unmarshal(data, &index)
	return index, err
}
