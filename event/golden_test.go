package event

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"

	"github.com/berth-engine/berth/test/golden"
)

// TestStreamIsTheContract compares a replayed stream, but for its times, with
// what docs/contracts/events.md fixes.
func TestStreamIsTheContract(t *testing.T) {
	b := New(0, nil)
	attributes := map[string]string{"image": "busybox", "name": "web", "some.label": "value"}
	for _, m := range []events.Message{
		{Type: events.ImageEventType, Action: events.ActionPull, Actor: events.Actor{ID: "busybox:latest", Attributes: map[string]string{"name": "busybox"}}},
		{Type: events.ContainerEventType, Action: events.ActionCreate, Actor: events.Actor{ID: "c1", Attributes: attributes}},
		{Type: events.NetworkEventType, Action: events.ActionConnect, Actor: events.Actor{ID: "n1", Attributes: map[string]string{"container": "c1", "name": "bridge", "type": "bridge"}}},
		{Type: events.ContainerEventType, Action: events.ActionStart, Actor: events.Actor{ID: "c1", Attributes: attributes}},
		{Type: events.DaemonEventType, Action: events.ActionReload, Scope: "local", Actor: events.Actor{ID: "e1"}},
	} {
		b.Publish(m)
	}
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	var last int64
	for m, err := range b.Subscribe(t.Context(), time.Unix(1, 0), time.Now(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if m.TimeNano <= last {
			t.Errorf("time does not grow: %d after %d", m.TimeNano, last)
		}
		last = m.TimeNano
		m.Time, m.TimeNano = 1700000000, 1700000000000000001
		if err := enc.Encode(m); err != nil {
			t.Fatal(err)
		}
	}
	golden.Compare(t, "stream-v1.txt", got.String())
}
