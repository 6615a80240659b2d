package volume

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"

	"github.com/berth-engine/berth/kernel/hostmount"
)

// checkOptions checks the options of the local driver, in Docker's words:
// type, device and o, as mount(8) knows them; and size, a quota.
func checkOptions(o map[string]string) error {
	for key := range o {
		if !slices.Contains([]string{"type", "device", "o", "size"}, key) {
			return fail(errdefs.ErrInvalidArgument, "invalid option: %q", key)
		}
	}
	switch _, err := sizeOption(o); {
	case err != nil:
		return err
	case o["size"] != "" && o["device"] != "":
		return fail(errdefs.ErrInvalidArgument, "size limits what a volume takes in the data-root: a device has a limit of its own, a tmpfs that of o=size=…")
	}
	for _, needs := range [][2]string{{"device", "type"}, {"type", "device"}, {"o", "device"}, {"o", "type"}} {
		if _, given := o[needs[0]]; !given {
			continue
		}
		if o[needs[1]] == "" {
			return fail(errdefs.ErrInvalidArgument, "missing required option: %q", needs[1])
		}
	}
	return nil
}

// sizeOption reads the option size: bytes, or with a unit as "10G". 0: none.
func sizeOption(o map[string]string) (int64, error) {
	if _, given := o["size"]; !given {
		return 0, nil
	}
	n, err := units.RAMInBytes(o["size"])
	if err != nil {
		return 0, fail(errdefs.ErrInvalidArgument, "%v", err)
	}
	return n, nil
}

// hasDevice tells whether a volume shows what is mounted.
func (v *Volume) hasDevice() bool { return !v.remote() && v.Options["device"] != "" }

// mountDevice mounts the volume's device at its directory.
func (v *Volume) mountDevice(ctx context.Context) error {
	options := v.Options["o"]
	if kind := v.Options["type"]; kind == "nfs" || kind == "nfs4" || kind == "cifs" {
		var err error
		if options, err = resolveAddr(ctx, options); err != nil {
			return fail(errdefs.ErrInvalidArgument, "failed to mount local volume: %v", err)
		}
	}
	err := hostmount.Mount(v.Options["device"], v.Path, v.Options["type"], options)
	if err != nil {
		text := fmt.Sprintf("failed to mount local volume: mount %s:%s, data: %s: %v",
			v.Options["device"], v.Path, hidePassword(v.Options["o"]), innermost(err))
		return fail(errdefs.ErrInvalidArgument, "%s", text)
	}
	return nil
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// resolveAddr replaces the host name in addr=, which the kernel does not look
// up.
func resolveAddr(ctx context.Context, options string) (string, error) {
	words := strings.Split(options, ",")
	for i, w := range words {
		host, ok := strings.CutPrefix(w, "addr=")
		if !ok {
			continue
		}
		if _, err := netip.ParseAddr(host); err == nil {
			continue
		}
		addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
		if err != nil {
			return "", fmt.Errorf("error resolving passed in network volume address: %w", err)
		}
		words[i] = "addr=" + addrs[0].String()
	}
	return strings.Join(words, ","), nil
}

func hidePassword(options string) string {
	words := strings.Split(options, ",")
	for i, w := range words {
		if strings.HasPrefix(w, "password=") {
			words[i] = "password=********"
		}
	}
	return strings.Join(words, ",")
}
