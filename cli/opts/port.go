package opts

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
)

// maxPorts bounds what one -p may expand to: every port there is, once.
const maxPorts = 65536

// PublishedPort is one container port and where on the host it is to appear.
type PublishedPort struct {
	Port    network.Port
	Binding network.PortBinding
}

// ParsePublish parses one -p value:
//
//	[[host-ip:][host-port[-end]]:]container-port[-end][/proto]
//
// or the long form target=80,published=8080,protocol=tcp. A range on both
// sides must be of equal length; a host range with one container port lets
// the daemon choose within it.
func ParsePublish(spec string) ([]PublishedPort, error) {
	if strings.Contains(spec, "=") {
		var err error
		if spec, err = shortPublish(spec); err != nil {
			return nil, err
		}
	}
	ip, host, rest := splitPublish(spec)
	ctrPort, proto, _ := strings.Cut(rest, "/")
	if ctrPort == "" {
		return nil, fmt.Errorf("no port specified: %s<empty>", spec)
	}
	proto = strings.ToLower(proto)
	switch proto {
	case "":
		proto = "tcp"
	case "tcp", "udp", "sctp":
	default:
		return nil, errors.New("invalid proto: " + proto)
	}
	addr, err := publishAddr(ip)
	if err != nil {
		return nil, err
	}
	start, end, err := portRange(ctrPort)
	if err != nil {
		return nil, errors.New("invalid containerPort: " + ctrPort)
	}
	var hostStart, hostEnd int
	if host != "" {
		if hostStart, hostEnd, err = portRange(host); err != nil {
			return nil, errors.New("invalid hostPort: " + host)
		}
		if end-start != hostEnd-hostStart && end != start {
			return nil, fmt.Errorf("invalid ranges specified for container and host Ports: %s and %s", ctrPort, host)
		}
	}
	out := make([]PublishedPort, 0, end-start+1)
	for i := range end - start + 1 {
		p, _ := network.PortFrom(uint16(start+i), network.IPProtocol(proto))
		b := network.PortBinding{HostIP: addr}
		if host != "" {
			b.HostPort = strconv.Itoa(hostStart + i)
			if start == end && hostStart != hostEnd {
				b.HostPort += "-" + strconv.Itoa(hostEnd)
			}
		}
		out = append(out, PublishedPort{Port: p, Binding: b})
	}
	return out, nil
}

// shortPublish turns the long, comma separated form into the short one.
func shortPublish(spec string) (string, error) {
	f := map[string]string{"protocol": "tcp"}
	for field := range strings.SplitSeq(spec, ",") {
		k, v, ok := strings.Cut(field, "=")
		if !ok || k == "" {
			return "", fmt.Errorf("invalid publish opts format (should be name=value but got '%s')", field)
		}
		f[k] = v
	}
	return f["published"] + ":" + f["target"] + "/" + f["protocol"], nil
}

// splitPublish cuts at the last two colons, since an IPv6 address has its own.
func splitPublish(spec string) (ip, host, ctr string) {
	i := strings.LastIndexByte(spec, ':')
	if i < 0 {
		return "", "", spec
	}
	head, ctr := spec[:i], spec[i+1:]
	if i = strings.LastIndexByte(head, ':'); i < 0 {
		return "", head, ctr
	}
	return head[:i], head[i+1:], ctr
}

func publishAddr(ip string) (netip.Addr, error) {
	if ip == "" {
		return netip.Addr{}, nil
	}
	bare := ip
	if strings.HasPrefix(ip, "[") && strings.HasSuffix(ip, "]") {
		bare = ip[1 : len(ip)-1]
	}
	addr, err := netip.ParseAddr(bare)
	if err != nil {
		return netip.Addr{}, errors.New("invalid IP address: " + ip)
	}
	return addr, nil
}

func portRange(s string) (start, end int, err error) {
	a, b, isRange := strings.Cut(s, "-")
	n, err := strconv.ParseUint(a, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	if !isRange {
		return int(n), int(n), nil
	}
	m, err := strconv.ParseUint(b, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	if m < n || m-n >= maxPorts {
		return 0, 0, errors.New("invalid port range: " + s)
	}
	return int(n), int(m), nil
}

// Publish parses all -p values into the sets the API wants.
func Publish(specs []string) (network.PortSet, network.PortMap, error) {
	exposed, bound := network.PortSet{}, network.PortMap{}
	for _, spec := range specs {
		ports, err := ParsePublish(spec)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range ports {
			exposed[p.Port] = struct{}{}
			bound[p.Port] = append(bound[p.Port], p.Binding)
		}
	}
	return exposed, bound, nil
}

// ParseExpose parses one --expose value: port[-end][/proto].
func ParseExpose(spec string) ([]network.Port, error) {
	if strings.Contains(spec, ":") {
		return nil, fmt.Errorf("invalid port format for --expose: %s", spec)
	}
	r, err := network.ParsePortRange(spec)
	if err != nil {
		return nil, fmt.Errorf("invalid range format for --expose: %s, error: %w", spec, err)
	}
	var ports []network.Port
	for p := range r.All() {
		ports = append(ports, p)
	}
	return ports, nil
}
