// Package status is the one table of which HTTP status an error's kind is
// answered with, by the Hub's pages, its API, its token server and its mirrors.
package status

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
)

// Patience is an error that says when to try again.
type Patience interface {
	error
	// RetryAt is that time.
	RetryAt() time.Time
}

// Gone is what nginx calls a request whose client went away: nobody sees it but
// the metrics.
const Gone = 499

// Of is the status that an error is answered with; nil is 200.
func Of(err error) int {
	var large *http.MaxBytesError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errdefs.IsNotFound(err):
		return http.StatusNotFound
	case errdefs.IsInvalidArgument(err), errdefs.IsOutOfRange(err):
		return http.StatusBadRequest
	case errdefs.IsUnauthorized(err):
		return http.StatusUnauthorized
	case errdefs.IsPermissionDenied(err):
		return http.StatusForbidden
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err), errdefs.IsFailedPrecondition(err):
		return http.StatusConflict
	case errdefs.IsResourceExhausted(err):
		return http.StatusTooManyRequests
	case errdefs.IsUnavailable(err):
		return http.StatusServiceUnavailable
	case errdefs.IsNotImplemented(err):
		return http.StatusNotImplemented
	case errors.Is(err, context.Canceled):
		return Gone
	}
	return http.StatusInternalServerError
}

// Retry says in an answer's header when to try again, where the error knows.
func Retry(h http.Header, err error) {
	if p, ok := errors.AsType[Patience](err); ok {
		h.Set("Retry-After", strconv.Itoa(int(max(time.Until(p.RetryAt()).Seconds(), 0))+1))
	}
}
