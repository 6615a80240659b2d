package status

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

type later struct{ at time.Time }

func (later) Error() string        { return "later" }
func (l later) RetryAt() time.Time { return l.at }
func (later) Unwrap() error        { return errdefs.ErrResourceExhausted }

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 200},
		{errors.New("x"), 500},
		{errdefs.ErrInternal, 500},
		{errdefs.ErrNotFound, 404},
		{errdefs.ErrInvalidArgument, 400},
		{errdefs.ErrOutOfRange, 400},
		{errdefs.ErrUnauthenticated, 401},
		{errdefs.ErrPermissionDenied, 403},
		{errdefs.ErrAlreadyExists, 409},
		{errdefs.ErrConflict, 409},
		{errdefs.ErrFailedPrecondition, 409},
		{errdefs.ErrResourceExhausted, 429},
		{errdefs.ErrUnavailable, 503},
		{errdefs.ErrNotImplemented, 501},
		{later{}, 429},
		{context.Canceled, 499},
		{fmt.Errorf("%w: %w", errdefs.ErrInvalidArgument, &http.MaxBytesError{Limit: 1}), 413},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			if c.err != nil && Of(err) != c.want {
				t.Errorf("%v: %d, not %d", err, Of(err), c.want)
			}
		}
	}
}

func TestRetry(t *testing.T) {
	h := http.Header{}
	Retry(h, errdefs.ErrResourceExhausted)
	if h.Get("Retry-After") != "" {
		t.Error("an error that knows no time has one")
	}
	Retry(h, fmt.Errorf("wrapped: %w", later{time.Now().Add(90 * time.Second)}))
	if n, err := strconv.Atoi(h.Get("Retry-After")); err != nil || n < 60 || n > 91 {
		t.Errorf("Retry-After %q", h.Get("Retry-After"))
	}
	Retry(h, later{time.Now().Add(-time.Hour)})
	if h.Get("Retry-After") != "1" {
		t.Errorf("of the past: %q", h.Get("Retry-After"))
	}
}
