package network

import (
	"fmt"
	"net/netip"

	"github.com/containerd/errdefs"
)

// PortError says that a port could not be published. Its text is Docker's. The
// Engine API answers it with status 500, so it has none of errdefs' kinds.
type PortError struct {
	Name       string // the container's
	EndpointID string

	HostIP        netip.Addr
	HostPort      uint16
	ContainerPort uint16
	Proto         string
	// Allocated: another container has it. Otherwise Err is what the kernel
	// said, usually syscall.EADDRINUSE.
	Allocated bool
	Err       error
}

// Detail is the text without the endpoint.
func (e *PortError) Detail() string {
	at := fmt.Sprintf("%s:%d", e.HostIP, e.HostPort)
	if e.Allocated {
		return fmt.Sprintf("Bind for %s failed: port is already allocated", at)
	}
	return fmt.Sprintf("failed to bind host port %s/%s: %v", at, e.Proto, e.Err)
}

func (e *PortError) Error() string {
	return fmt.Sprintf("driver failed programming external connectivity on endpoint %s (%s): %s", e.Name, e.EndpointID, e.Detail())
}

// Unwrap returns the host's reason.
func (e *PortError) Unwrap() error { return e.Err }

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func forbidden(format string, args ...any) error {
	return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf(format, args...))
}

func notFound(ref string) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("network %s not found", ref))
}
