package container

import (
	"maps"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/events"
)

// announce publishes an event of a container, with its labels, image and name
// and with the pairs of extra (key, value, key, value, …).
func (s *Service) announce(r *Record, action events.Action, extra ...string) {
	attrs := maps.Clone(r.Config.Labels)
	if attrs == nil {
		attrs = map[string]string{}
	}
	if r.Config.Image != "" {
		attrs["image"] = r.Config.Image
	}
	attrs["name"] = r.Name
	for i := 0; i+1 < len(extra); i += 2 {
		attrs[extra[i]] = extra[i+1]
	}
	s.events.Publish(events.Message{
		Type: events.ContainerEventType, Action: action,
		Actor: events.Actor{ID: r.ID, Attributes: attrs},
	})
}

// announceDie publishes the end of a run.
func (s *Service) announceDie(r *Record) {
	ran := time.Duration(0)
	if r.FinishedAt.After(r.StartedAt) {
		ran = r.FinishedAt.Sub(r.StartedAt)
	}
	s.announce(r, events.ActionDie,
		"exitCode", strconv.Itoa(r.ExitCode), "execDuration", strconv.Itoa(int(ran.Seconds())))
}
