package server

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/server/compat"
)

func (s *Server) events(w http.ResponseWriter, r *request) error {
	since, err := timestamp(r.query.Get("since"))
	if err != nil {
		return invalid(err.Error())
	}
	if r.query.Get("since") == "0" {
		since = time.Unix(0, 0) // as with Docker: all that is remembered
	}
	until, err := timestamp(r.query.Get("until"))
	if err != nil {
		return invalid(err.Error())
	}
	if !until.IsZero() && until.Before(since) {
		return invalid(fmt.Sprintf("`since` time (%s) cannot be after `until` time (%s)", r.query.Get("since"), r.query.Get("until")))
	}
	f, err := compat.Filters(r.query.Get("filters"))
	if err != nil {
		return err
	}
	ctx, cancel := s.stream(r.Context())
	defer cancel()
	messages := s.o.Events.Subscribe(ctx, since, until, func(m events.Message) bool { return matchEvent(f, m) })

	kind := eventsType(r)
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	out := newFlushWriter(w)
	if _, err := out.Write(nil); err != nil {
		return err
	}
	for m, err := range messages {
		if err != nil {
			return err
		}
		lowered, known := compat.Event(r.version, m)
		if !known {
			continue
		}
		line, err := json.Marshal(lowered)
		if err != nil {
			return err
		}
		if kind == types.MediaTypeJSONSequence {
			line = append([]byte{0x1e}, line...)
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// eventsType picks the form of the stream by what the client accepts.
func eventsType(r *request) string {
	var accepted []string
	for _, h := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(h, ",") {
			if kind, params, err := mime.ParseMediaType(part); err == nil && params["q"] != "0" {
				accepted = append(accepted, kind)
			}
		}
	}
	for _, kind := range []string{types.MediaTypeJSONLines, types.MediaTypeNDJSON, types.MediaTypeJSONSequence} {
		if slices.Contains(accepted, kind) {
			return kind
		}
	}
	return types.MediaTypeJSON // which it is not, but always was called
}

// matchEvent says whether a message passes a filter, by Docker's rules.
func matchEvent(f map[string]map[string]bool, m events.Message) bool {
	return matchAction(f, m) &&
		exact(f, "type", string(m.Type)) &&
		exact(f, "scope", m.Scope) &&
		matchName(f, m, "daemon") && matchName(f, m, "container") && matchName(f, m, "plugin") &&
		matchName(f, m, "volume") && matchName(f, m, "network") && matchName(f, m, "node") &&
		matchName(f, m, "service") && matchName(f, m, "secret") && matchName(f, m, "config") &&
		matchImage(f, m) && matchLabels(f, m)
}

// matchAction compares exactly, except that some actions carry details behind a
// colon, which a filter without them includes.
func matchAction(f map[string]map[string]bool, m events.Message) bool {
	for _, prefix := range []string{"health_status", "exec_create", "exec_start"} {
		if f["event"][prefix] {
			return prefixed(f, "event", string(m.Action))
		}
	}
	return exact(f, "event", string(m.Action))
}

// matchName compares the beginning of the actor's id, or name.
func matchName(f map[string]map[string]bool, m events.Message, key string) bool {
	return prefixed(f, key, m.Actor.ID) || prefixed(f, key, m.Actor.Attributes["name"])
}

func matchImage(f map[string]map[string]bool, m events.Message) bool {
	attr := "image"
	if m.Type == events.ImageEventType {
		attr = "name"
	}
	name := m.Actor.Attributes[attr]
	return exact(f, "image", m.Actor.ID) || exact(f, "image", name) ||
		exact(f, "image", withoutTag(m.Actor.ID)) || exact(f, "image", withoutTag(name))
}

func matchLabels(f map[string]map[string]bool, m events.Message) bool {
	for label := range f["label"] {
		k, v, hasValue := strings.Cut(label, "=")
		have, ok := m.Actor.Attributes[k]
		if !ok || hasValue && v != have {
			return false
		}
	}
	return true
}

// exact says whether key has no filter, or one that is value.
func exact(f map[string]map[string]bool, key, value string) bool {
	return len(f[key]) == 0 || f[key][value]
}

// prefixed says whether key has no filter, or one that value begins with.
func prefixed(f map[string]map[string]bool, key, value string) bool {
	if exact(f, key, value) {
		return true
	}
	for want := range f[key] {
		if strings.HasPrefix(value, want) {
			return true
		}
	}
	return false
}

func withoutTag(image string) string {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return image
	}
	return reference.FamiliarName(ref)
}
