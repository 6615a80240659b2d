package main

import (
	"testing"

	"github.com/moby/moby/api/types/events"
)

func TestInOrder(t *testing.T) {
	e := func(kind events.Type, action events.Action) events.Message {
		return events.Message{Type: kind, Action: action}
	}
	run := []events.Message{
		e(events.ImageEventType, events.ActionPull), e(events.ContainerEventType, events.ActionCreate),
		e(events.ContainerEventType, events.ActionAttach), e(events.NetworkEventType, events.ActionConnect),
		e(events.ContainerEventType, events.ActionStart), e(events.ContainerEventType, events.ActionDie),
	}
	if steps, err := inOrder(run); err != nil || len(steps) != 5 {
		t.Errorf("a whole run: %d steps, %v", len(steps), err)
	}
	for i := range run {
		if run[i].Type == events.NetworkEventType {
			continue
		}
		short := append(append([]events.Message{}, run[:i]...), run[i+1:]...)
		if _, err := inOrder(short); err == nil {
			t.Errorf("a run without %s passed", run[i].Action)
		}
	}
	run[0], run[1] = run[1], run[0]
	if _, err := inOrder(run); err == nil {
		t.Error("a container made before its image was pulled passed")
	}
}
