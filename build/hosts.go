package build

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/containerd/errdefs"
)

// hostGateway as an address means the host, as steps reach it.
const hostGateway = "host-gateway"

// hostList writes "name:address" or "name=address", with several addresses apart
// by commas, as the frontend reads it. gateway is what host-gateway means;
// InvalidArgument for what is no address.
func hostList(list []string, gateway string) (string, error) {
	var out []string
	for _, h := range list {
		name, addrs, ok := strings.Cut(h, "=")
		if !ok {
			name, addrs, ok = strings.Cut(h, ":")
		}
		if !ok || name == "" || addrs == "" {
			return "", fmt.Errorf("bad format for add-host: %q: want NAME:ADDRESS: %w", h, errdefs.ErrInvalidArgument)
		}
		for text := range strings.SplitSeq(addrs, ",") {
			if text == hostGateway {
				if text = gateway; text == "" {
					return "", fmt.Errorf("add-host %q: the engine has no bridge network, so that host-gateway means nothing: set host-gateway-ip: %w", h, errdefs.ErrInvalidArgument)
				}
			}
			text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return "", fmt.Errorf("invalid IP address in add-host: %q: %w", text, errdefs.ErrInvalidArgument)
			}
			out = append(out, name+"="+addr.String())
		}
	}
	return strings.Join(out, ","), nil
}
