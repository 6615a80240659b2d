package event

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
)

func msg(id string) events.Message {
	return events.Message{Type: events.ContainerEventType, Action: events.ActionStart, Actor: events.Actor{ID: id}}
}

func TestReplayThenLiveInOrder(t *testing.T) {
	b := New(3, nil)
	for i := range 5 {
		b.Publish(msg(fmt.Sprint(i)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seq := b.Subscribe(ctx, time.Unix(1, 0), time.Time{}, nil)
	b.Publish(msg("5"))
	var got string
	var last int64
	for m, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		if m.TimeNano <= last || m.Time != m.TimeNano/1e9 || m.Scope != "local" {
			t.Errorf("bad stamp: %+v", m)
		}
		last = m.TimeNano
		got += m.Actor.ID
		if m.Actor.ID == "5" {
			cancel()
		}
	}
	if got != "2345" {
		t.Errorf("got %s, want the last three and the new one", got)
	}
	if n := b.Subscribers(); n != 0 {
		t.Errorf("%d subscribers left", n)
	}
}

func TestUntil(t *testing.T) {
	b := New(0, nil)
	b.Publish(msg("a"))
	n := 0
	for _, err := range b.Subscribe(t.Context(), time.Unix(1, 0), time.Now(), nil) {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("past range gave %d messages", n)
	}
	seq := b.Subscribe(t.Context(), time.Time{}, time.Now().Add(20*time.Millisecond), nil)
	b.Publish(msg("b"))
	n = 0
	for _, err := range seq {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("future range gave %d messages", n)
	}
}

func TestSlowSubscriberIsEndedPublisherIsNot(t *testing.T) {
	b := New(1, nil)
	seq := b.Subscribe(t.Context(), time.Time{}, time.Time{}, nil)
	for range backlog + 2 {
		b.Publish(msg("x"))
	}
	n, last := 0, error(nil)
	for _, err := range seq {
		if last = err; err == nil {
			n++
		}
	}
	if n != backlog || !errors.Is(last, ErrSlow) {
		t.Errorf("%d messages, %v", n, last)
	}
}

func TestMatchCloseAndNil(t *testing.T) {
	b := New(0, nil)
	seq := b.Subscribe(t.Context(), time.Time{}, time.Time{}, func(m events.Message) bool { return m.Actor.ID == "y" })
	b.Publish(msg("x"))
	b.Publish(msg("y"))
	b.Close()
	b.Publish(msg("y"))
	var ids string
	var last error
	for m, err := range seq {
		ids, last = ids+m.Actor.ID, err
	}
	if ids != "y" || !errors.Is(last, ErrClosed) {
		t.Errorf("%q %v", ids, last)
	}
	for _, err := range b.Subscribe(t.Context(), time.Time{}, time.Time{}, nil) {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	(*Bus)(nil).Publish(msg("z"))
}

func TestConcurrent(t *testing.T) {
	b := New(0, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 4 {
		seq := b.Subscribe(ctx, time.Time{}, time.Time{}, nil) // before any writer
		readers.Go(func() {
			n := 0
			for _, err := range seq {
				if err != nil {
					t.Error(err)
				}
				if n++; n == 400 {
					return
				}
			}
			t.Errorf("only %d", n)
		})
	}
	for range 4 {
		writers.Go(func() {
			for range 100 {
				b.Publish(msg("c"))
			}
		})
	}
	writers.Wait()
	readers.Wait()
	cancel()
	if n := b.Subscribers(); n != 0 {
		t.Errorf("%d subscribers left", n)
	}
}
