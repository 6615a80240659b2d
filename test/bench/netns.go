package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/berth-engine/berth/kernel/netlink"
	"github.com/berth-engine/berth/kernel/ns"
)

// place is a network namespace with an address, from which and in which the
// programs of a measurement run: a container's, or one of a plain host's.
type place struct {
	space   *os.File // nil: this one
	address string
}

func (p *place) close() {
	if p.space != nil {
		p.space.Close()
	}
}

// do runs f in the namespace.
func (p *place) do(f func() error) error {
	if p.space == nil {
		return f()
	}
	return ns.WithNetNS(p.space, f)
}

// start starts a program in the namespace.
func (p *place) start(cmd *exec.Cmd) error { return p.do(cmd.Start) }

// listen opens a TCP socket in the namespace.
func (p *place) listen(address string) (l net.Listener, err error) {
	err = p.do(func() error {
		l, err = net.Listen("tcp4", address)
		return err
	})
	return l, err
}

// placeOf starts a container that sleeps and opens its namespace.
func (t *target) placeOf(ctx context.Context, name string, host *container.HostConfig, networks *network.NetworkingConfig) (*place, error) {
	created, err := t.client.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: name, HostConfig: host, NetworkingConfig: networks,
		Config: &container.Config{Image: t.image, Cmd: []string{"sleep", "1000000"}},
	})
	if err != nil {
		return nil, err
	}
	if _, err := t.client.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return nil, err
	}
	got, err := t.client.ContainerInspect(ctx, created.ID, client.ContainerInspectOptions{})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", got.Container.State.Pid))
	if err != nil {
		return nil, err
	}
	p := &place{space: f}
	for _, e := range got.Container.NetworkSettings.Networks {
		p.address = e.IPAddress.String()
	}
	return p, nil
}

// mtu is that of the place's interface: streams of segments that are longer by 7 %
// are faster by as much, so what is compared must have the same.
func (p *place) mtu() (mtu int, err error) {
	err = p.do(func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err == nil {
			mtu = eth0.MTU
		}
		return err
	})
	return mtu, err
}

// plainHost is a host without any rules: a namespace with a bridge, and two
// more that are plugged into it.
type plainHost struct {
	host, a, b *place
	conn       *netlink.Conn
}

func newPlainHost(mtu int) (_ *plainHost, err error) {
	p := &plainHost{host: &place{address: "10.99.0.1"}, a: &place{address: "10.99.0.2"}, b: &place{address: "10.99.0.3"}}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.host.space, err = ns.NewNetNS(); err != nil {
		return nil, err
	}
	if p.conn, err = netlink.OpenIn(p.host.space); err != nil {
		return nil, err
	}
	if err := p.likeHere(); err != nil {
		return nil, err
	}
	bridge, err := p.conn.AddBridge("br0", mtu)
	if err != nil {
		return nil, err
	}
	err = errors.Join(p.conn.SetUp(netlink.LoopbackIndex), p.conn.AddAddr(bridge.Index, netip.MustParsePrefix(p.host.address+"/24")), p.conn.SetUp(bridge.Index), p.conn.Finish(bridge.Index))
	if err != nil {
		return nil, err
	}
	for i, x := range []*place{p.a, p.b} {
		if x.space, err = ns.NewNetNS(); err != nil {
			return nil, err
		}
		v := netlink.Veth{Name: fmt.Sprint("veth", i), Master: bridge.Index, MTU: mtu, Peer: "eth0", PeerNS: x.space}
		if err := p.conn.AddVeth(v); err != nil {
			return nil, err
		}
		if err := x.configure(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// likeHere has frames within the bridge pass the firewalls if they do here: each
// namespace has a switch of its own, and is born with it on.
func (p *plainHost) likeHere() error {
	now, err := os.ReadFile(callIPTables)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.host.do(func() error { return os.WriteFile(callIPTables, now, 0) })
}

// configure gives eth0 the address.
func (p *place) configure() error {
	conn, err := netlink.OpenIn(p.space)
	if err != nil {
		return err
	}
	defer conn.Close()
	eth0, err := conn.Link("eth0")
	if err != nil {
		return err
	}
	return errors.Join(conn.SetUp(netlink.LoopbackIndex), conn.AddAddr(eth0.Index, netip.MustParsePrefix(p.address+"/24")), conn.SetUp(eth0.Index))
}

func (p *plainHost) close() {
	if p.conn != nil {
		p.conn.Close()
	}
	for _, x := range []*place{p.a, p.b, p.host} {
		x.close()
	}
}

// iperfServer starts iperf3's server in a place and waits until it listens.
func iperfServer(ctx context.Context, at *place, port int) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, "iperf3", "-s", "-4", "-p", strconv.Itoa(port), "--forceflush")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := at.start(cmd); err != nil {
		return nil, fmt.Errorf("iperf3 (apt-get install iperf3): %w", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "listening") {
	}
	go func() {
		for lines.Scan() { // or it would block
		}
	}()
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	}, nil
}

// iperf measures how much flows from a place to an address, in Gbit/s.
func iperf(ctx context.Context, from *place, address string, port, seconds int) (float64, error) {
	cmd := exec.CommandContext(ctx, "iperf3", "-c", address, "-p", strconv.Itoa(port), "-t", strconv.Itoa(seconds), "-J")
	var out strings.Builder
	cmd.Stdout = &out
	if err := from.start(cmd); err != nil {
		return 0, err
	}
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("iperf3 to %s: %w: %s", address, err, out.String())
	}
	var result struct {
		End struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	err := json.Unmarshal([]byte(out.String()), &result)
	return result.End.Received.Bits / 1e9, err
}
