// Package service is what the services have in common: they take messages from
// their channel, do their part, and send them on.
package service

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/berth-engine/berth/examples/channels/channel"
)

// patience is how long a service waits for the channel, or for another service,
// to come up.
const patience = time.Minute

// Open opens the channel that the environment names, waiting for what it needs.
func Open(ctx context.Context, self string) (channel.Channel, error) {
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		c, err := channel.Open(ctx, os.Getenv("CHANNEL"), self)
		if err == nil || time.Since(begin) > patience || ctx.Err() != nil {
			return c, err
		}
	}
}

// Send sends, and again while the receiver is not up: nothing has left yet then.
func Send(ctx context.Context, c channel.Channel, to string, m channel.Message) error {
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := c.Send(ctx, to, m)
		if err == nil || m.Seq >= 0 || time.Since(begin) > patience || ctx.Err() != nil {
			return err
		}
	}
}

// Run does part for every message that comes and sends it on to next, until the
// container is to stop.
func Run(self, next string, part func(*channel.Message)) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := Open(ctx, self)
	if err != nil {
		Fail(err)
	}
	for {
		select {
		case m := <-c.Inbox():
			part(&m)
			if err := Send(ctx, c, next, m); err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "message %d: %v\n", m.Seq, err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Fail ends the service.
func Fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
