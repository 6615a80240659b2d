// Package channel has five ways in which services send each other messages:
// sockets, files, a database, HTTP and MQTT. What a service does, does not depend
// on which it is.
package channel

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Message is an order on its way through the services.
type Message struct {
	Seq   int       `json:"seq"` // below 0: nobody counts it
	Sent  time.Time `json:"sent"`
	Item  string    `json:"item"`
	Price int       `json:"price,omitempty"` // cents
	Left  int       `json:"left,omitempty"`  // in stock, afterwards
	Paid  bool      `json:"paid,omitempty"`
	Entry int       `json:"entry,omitempty"` // in the ledger
}

// Channel is one service's end of a way to send messages.
type Channel interface {
	// Send returns when the message is on its way: how certain it is to come,
	// and to come once, depends on the channel.
	Send(ctx context.Context, to string, m Message) error
	// Inbox has what others sent. It is never closed.
	Inbox() <-chan Message
}

// Kinds are the channels that Open knows.
var Kinds = []string{"tcp", "files-poll", "files-inotify", "database", "http", "http-close", "mqtt-0", "mqtt-1", "mqtt-2"}

// pollEvery is how often channels look that nobody tells when there is something.
const pollEvery = 5 * time.Millisecond

// Open is the end of the service named self, until ctx is done.
func Open(ctx context.Context, kind, self string) (Channel, error) {
	switch kind {
	case "tcp":
		return openTCP(ctx)
	case "files-poll", "files-inotify":
		return openFiles(ctx, self, kind == "files-inotify")
	case "database":
		return openDatabase(ctx, self)
	case "http", "http-close":
		return openHTTP(ctx, kind == "http")
	case "mqtt-0", "mqtt-1", "mqtt-2":
		return openMQTT(ctx, self, kind[len(kind)-1]-'0')
	}
	return nil, fmt.Errorf("CHANNEL=%q: it is one of %s", kind, strings.Join(Kinds, ", "))
}

// inbox is what all ends have.
type inbox chan Message

func newInbox() inbox { return make(inbox, 256) }

func (in inbox) Inbox() <-chan Message { return in }

// put waits until there is room, so that a slow service slows its senders down.
func (in inbox) put(ctx context.Context, m Message) {
	select {
	case in <- m:
	case <-ctx.Done():
	}
}
