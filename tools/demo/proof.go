package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"
)

// access is what the demonstration reads of the Hub's access log.
type access struct {
	Time      time.Time `json:"time"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Status    int       `json:"status"`
	Sent      int64     `json:"sent"`
	UserAgent string    `json:"user_agent"`
}

// proof prints the steps of the run since begin, each from what the engine and
// the Hub recorded, and fails when one of them is not on record.
func (s *stage) proof(ctx context.Context, begin time.Time) error {
	recorded, err := s.events(ctx, begin)
	if err != nil {
		return err
	}
	served, err := s.served(begin)
	if err != nil {
		return err
	}
	if len(served) == 0 {
		return errors.New("the Hub's access log shows no request: nothing was pulled")
	}
	platform, err := s.platform(ctx)
	if err != nil {
		return err
	}
	find := func(kind events.Type, action events.Action) (events.Message, error) {
		for _, e := range recorded {
			if e.Type == kind && e.Action == action {
				return e, nil
			}
		}
		return events.Message{}, fmt.Errorf("the engine recorded no event %s %s", kind, action)
	}
	pull, err := find(events.ImageEventType, events.ActionPull)
	if err != nil {
		return err
	}
	create, err := find(events.ContainerEventType, events.ActionCreate)
	if err != nil {
		return err
	}
	attach, err := find(events.ContainerEventType, events.ActionAttach)
	if err != nil {
		return err
	}
	die, err := find(events.ContainerEventType, events.ActionDie)
	if err != nil {
		return err
	}
	at := func(e events.Message) string { return time.Unix(0, e.TimeNano).Format("15:04:05.000") }
	first := served[0]
	fmt.Printf("client contacted daemon      %s  first request that followed: %s %s by %q\n",
		first.Time.Local().Format("15:04:05.000"), first.Method, first.Path, first.UserAgent)
	var bytesSent int64
	for _, a := range served {
		bytesSent += a.Sent
		fmt.Printf("  Hub served                 %s  %d %s %s (%d bytes)\n", a.Time.Local().Format("15:04:05.000"), a.Status, a.Method, a.Path, a.Sent)
	}
	fmt.Printf("daemon pulled from the Hub   %s  %s for %s, %d requests, %d bytes\n", at(pull), pull.Actor.ID, platform, len(served), bytesSent)
	fmt.Printf("daemon created container     %s  %.12s from %s\n", at(create), create.Actor.ID, create.Actor.Attributes["image"])
	fmt.Printf("output streamed to client    %s  attached; the program ended at %s with status %s\n", at(attach), at(die), die.Actor.Attributes["exitCode"])
	return nil
}

// events asks the engine what it recorded since begin.
func (s *stage) events(ctx context.Context, begin time.Time) ([]events.Message, error) {
	var out bytes.Buffer
	stamp := func(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "berth"), "events", "--format", "json", "--since", stamp(begin), "--until", stamp(time.Now()))
	cmd.Env = append(os.Environ(), "BERTH_HOST=unix://"+s.socket())
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("berth events: %w", err)
	}
	var all []events.Message
	for line := range strings.Lines(out.String()) {
		var e events.Message
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("event %q: %w", line, err)
		}
		all = append(all, e)
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
	return all, nil
}

// platform is what the engine says of the image that it pulled.
func (s *stage) platform(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "berth"), "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", "hello-world")
	cmd.Env = append(os.Environ(), "BERTH_HOST=unix://"+s.socket())
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}
