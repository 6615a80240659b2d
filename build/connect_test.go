package build

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
)

// A session ends when its client has gone, not when the next look at its health
// would find that out.
func TestSessionEndsWithItsConnection(t *testing.T) {
	ours, theirs := net.Pipe()
	conn, ctx := watch(t.Context(), ours)
	go func() { _, _ = theirs.Write([]byte("x")) }()
	if _, err := conn.Read(make([]byte, 1)); err != nil || ctx.Err() != nil {
		t.Fatal(err, ctx.Err())
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatal("read from a connection that is closed")
	}
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), io.EOF) {
		t.Fatal(context.Cause(ctx))
	}

	ours, _ = net.Pipe()
	conn, ctx = watch(t.Context(), ours)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
}
