package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// failure is an error with Docker's text and the kind that gives its status.
type failure struct {
	text  string
	kind  error
	cause error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return []error{f.kind, f.cause} }

// resolveError says in Docker's words why a name could not be resolved. Errors
// of the network keep their own text and have no kind: Docker answers 500.
func resolveError(ref reference.Named, err error, withheld string) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		return busy
	}
	var status remoteerrors.ErrUnexpectedStatus
	hasStatus := errors.As(err, &status)
	why := registryMessage(err)
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization), hasStatus && status.StatusCode == http.StatusForbidden,
		hasStatus && status.StatusCode == http.StatusUnauthorized:
		if hasStatus && strings.Contains(status.RequestURL, "/token") && status.StatusCode == http.StatusUnauthorized {
			return &failure{"unauthorized: incorrect username or password", errdefs.ErrUnauthenticated, err}
		}
		text := fmt.Sprintf("pull access denied for %s, repository does not exist or may require 'docker login'", reference.FamiliarName(ref))
		if why == "" {
			why = "denied: requested access to the resource is denied"
		}
		if withheld != "" {
			why += fmt.Sprintf(" (the credentials were not sent: the registry's token server %q is another site)", withheld)
		}
		return &failure{text + ": " + why, errdefs.ErrNotFound, err}
	case strings.Contains(err.Error(), "rejecting"): // too large; containerd calls it not found
		return &failure{fmt.Sprintf("manifest for %s: %v", reference.FamiliarString(ref), err), errdefs.ErrInvalidArgument, errors.New(err.Error())}
	case errdefs.IsNotFound(err):
		if why == "" {
			why = "manifest unknown: manifest unknown"
		}
		return &failure{fmt.Sprintf("manifest for %s not found: %s", reference.FamiliarString(ref), why), errdefs.ErrNotFound, err}
	}
	return fmt.Errorf("failed to resolve reference %q: %w", ref.String(), err)
}

// registryMessage finds what the registry itself said, as "denied: text".
func registryMessage(err error) string {
	var list docker.Errors
	if !errors.As(err, &list) || len(list) == 0 {
		return ""
	}
	var e docker.Error
	var code docker.ErrorCode
	switch {
	case errors.As(list[0], &e):
		return codeText(e.Code) + ": " + e.Message
	case errors.As(list[0], &code):
		return codeText(code) + ": " + code.Message()
	}
	return list[0].Error()
}

func codeText(c docker.ErrorCode) string {
	return strings.ToLower(strings.ReplaceAll(c.String(), "_", " "))
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// BlobError says in Docker's words why a blob or manifest could not be fetched.
func BlobError(desc ocispec.Descriptor, err error) error {
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		return busy
	}
	if message := registryMessage(err); message != "" && errdefs.IsNotFound(err) {
		return &failure{fmt.Sprintf("%s: %s", desc.Digest, message), errdefs.ErrNotFound, err}
	}
	if errors.Is(err, docker.ErrInvalidAuthorization) {
		return &failure{fmt.Sprintf("unauthorized: %s: %v", desc.Digest, err), errdefs.ErrUnauthenticated, err}
	}
	return fmt.Errorf("%s: %w", desc.Digest, err)
}

// PushError says in Docker's words why the registry did not take something.
func (r *Repository) PushError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if busy := (*BusyError)(nil); errors.As(err, &busy) {
		return busy
	}
	var status remoteerrors.ErrUnexpectedStatus
	hasStatus := errors.As(err, &status)
	why := registryMessage(err)
	switch {
	case errors.Is(err, docker.ErrInvalidAuthorization), hasStatus && (status.StatusCode == http.StatusForbidden || status.StatusCode == http.StatusUnauthorized):
		if hasStatus && strings.Contains(status.RequestURL, "/token") && status.StatusCode == http.StatusUnauthorized {
			return &failure{"unauthorized: incorrect username or password", errdefs.ErrUnauthenticated, err}
		}
		text := fmt.Sprintf("push access denied for %s, repository does not exist or may require 'docker login': %s",
			reference.FamiliarName(r.ref), first(why, "denied: requested access to the resource is denied"))
		if server := r.withheld(); server != "" {
			text += fmt.Sprintf(" (the credentials were not sent: the registry's token server %q is another site)", server)
		}
		return &failure{text, errdefs.ErrPermissionDenied, err}
	case why != "":
		return &failure{why, errdefs.ErrInvalidArgument, err}
	}
	return fmt.Errorf("push to %s: %w", reference.FamiliarName(r.ref), err)
}

// Transient tells whether what failed with err, an error of a registry, may go
// better soon. A registry that is busy has been asked again already.
func Transient(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if status, ok := errors.AsType[remoteerrors.ErrUnexpectedStatus](err); ok {
		return status.StatusCode >= 500 && status.StatusCode != http.StatusNotImplemented
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound || unlike(err) || errors.Is(err, docker.ErrInvalidAuthorization) {
		return false
	}
	for _, final := range []func(error) bool{
		errdefs.IsNotFound, errdefs.IsInvalidArgument, errdefs.IsPermissionDenied, errdefs.IsUnauthorized, errdefs.IsUnavailable,
	} {
		if final(err) {
			return false
		}
	}
	return true
}

// unlike tells whether the two sides do not agree on how to talk: about TLS at all,
// or whom to trust.
func unlike(err error) bool {
	// crypto/tls keeps the type of the other side's alerts to itself.
	alert, ok := errors.AsType[*net.OpError](err)
	return ok && alert.Op == "remote error" || errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, new(tls.RecordHeaderError)) ||
		errors.As(err, new(*tls.CertificateVerificationError)) ||
		errors.As(err, new(x509.UnknownAuthorityError))
}

// Unreached tells whether err is that of a connection that was not made.
func Unreached(err error) bool {
	var made *net.OpError
	return errors.As(err, &made) && made.Op == "dial"
}
