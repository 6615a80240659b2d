package container

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/kernel/mount"
)

// ticking is a clock that a test moves: each wait takes a second of its time.
type ticking struct{ at time.Time }

func (k *ticking) clock() clock {
	return clock{
		now: func() time.Time { return k.at },
		after: func(d time.Duration) <-chan time.Time {
			k.at = k.at.Add(d)
			c := make(chan time.Time, 1)
			c <- k.at
			return c
		},
	}
}

// A start waits for copies, but not for one that stands still.
func TestStartWaitsForCopies(t *testing.T) {
	var c copies
	k := &ticking{at: time.Unix(1000, 0)}
	c.drain(k.clock()) // nobody copies
	ctx, use := c.add(t.Context(), &mount.View{}, k.at, func() {})
	began := k.at
	go func() {
		<-ctx.Done()
		c.end(use)
	}()
	c.drain(k.clock())
	if waited := k.at.Sub(began); waited < stallTime || !errors.Is(context.Cause(ctx), errStalled) {
		t.Errorf("waited %v; %v", waited, context.Cause(ctx))
	}
}

func TestRemovalSendsCopiesAway(t *testing.T) {
	var c copies
	var closed atomic.Int32
	var all []context.Context
	for range 3 {
		ctx, use := c.add(t.Context(), &mount.View{}, time.Now(), func() { closed.Add(1) })
		all = append(all, ctx)
		go func() {
			<-ctx.Done()
			c.end(use)
		}()
	}
	c.dismiss()
	for _, ctx := range all {
		if !errors.Is(context.Cause(ctx), errRemoved) {
			t.Error(context.Cause(ctx))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) != 0 || closed.Load() != 3 {
		t.Errorf("%d copies left, %d closed", len(c.open), closed.Load())
	}
}

// Those who copy from a container that does not run share one mount.
func TestCopiesShareAMount(t *testing.T) {
	var c copies
	mounted, undone := 0, 0
	mountRoot := func(u *undo) (*mount.View, error) {
		mounted++
		u.push(func(context.Context) { undone++ })
		return &mount.View{}, nil
	}
	one, release1, err := c.share(mountRoot)
	if err != nil {
		t.Fatal(err)
	}
	two, release2, err := c.share(mountRoot)
	if err != nil || one != two || mounted != 1 {
		t.Fatalf("%v, mounted %d times", err, mounted)
	}
	release1()
	release1()
	if undone != 0 {
		t.Error("unmounted while it is used")
	}
	release2()
	if undone != 1 {
		t.Errorf("undone %d times", undone)
	}
	why := errors.New("why")
	_, _, err = c.share(func(u *undo) (*mount.View, error) {
		u.push(func(context.Context) { undone++ })
		return nil, why
	})
	if !errors.Is(err, why) || undone != 2 || c.still != nil {
		t.Errorf("%v, undone %d times", err, undone)
	}
}
