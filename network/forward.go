package network

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/berth-engine/berth/kernel/netlink"
)

// forward switches IP forwarding on. If it was off, this host was no router,
// and shall not become one between the links that it had: their names are
// returned, and kept in the file at path for later Managers.
func forward(conn *netlink.Conn, path string) ([]string, error) {
	const sysctl = "ipv4/ip_forward"
	on, err := netlink.Sysctl(sysctl)
	if err != nil {
		return nil, err
	}
	var apart []string
	if on == "1" {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return apart, json.Unmarshal(data, &apart)
	}
	links, err := conn.Links()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Index != netlink.LoopbackIndex {
			apart = append(apart, l.Name)
		}
	}
	data, err := json.Marshal(apart)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return nil, err
	}
	return apart, netlink.SetSysctl(sysctl, "1")
}
