package server

import (
	"errors"
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/common"
)

// errPageNotFound is the answer for paths that are no operation.
var errPageNotFound = errdefs.ErrNotFound.WithMessage("page not found")

// status chooses the status code of an error: the only place that does. The
// outermost kind counts, so that a layer may reinterpret what it got from below.
func status(err error) int {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	switch kind := errdefs.Resolve(err); {
	case errdefs.IsNotFound(kind):
		return http.StatusNotFound
	case errdefs.IsInvalidArgument(kind), errdefs.IsFailedPrecondition(kind), errdefs.IsOutOfRange(kind):
		return http.StatusBadRequest
	case errdefs.IsConflict(kind), errdefs.IsAlreadyExists(kind), errdefs.IsAborted(kind):
		return http.StatusConflict
	case errdefs.IsUnauthorized(kind):
		return http.StatusUnauthorized
	case errdefs.IsPermissionDenied(kind):
		return http.StatusForbidden
	case errdefs.IsNotModified(kind):
		return http.StatusNotModified
	case errdefs.IsResourceExhausted(kind):
		return http.StatusTooManyRequests
	case errdefs.IsNotImplemented(kind):
		return http.StatusNotImplemented
	case errdefs.IsUnavailable(kind):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// writeError answers with an error in Docker's form.
func writeError(w http.ResponseWriter, err error) {
	code := status(err)
	if code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	w.Header().Del("Content-Length")
	writeJSON(w, code, common.ErrorResponse{Message: err.Error()})
}

func invalid(text string) error { return errdefs.ErrInvalidArgument.WithMessage(text) }
