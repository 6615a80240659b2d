package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"

	"github.com/berth-engine/berth/kernel/netlink"
)

// plainRouter is a host that publishes a port with what the kernel has, and
// nothing else: a bridge, a container on it, another machine at a cable, and one
// rule. What it loses is the kernel's part of what an engine loses.
type plainRouter struct {
	*plainHost
	remote *place
	here   string // the address that remote knows
	undo   func()
}

// oneRule leads a port to plainHost's first container.
const oneRule = `table ip plain {
	chain prerouting { type nat hook prerouting priority dstnat; tcp dport %s dnat to 10.99.0.2:80; }
}`

func newPlainRouter(port string, mtu int) (_ *plainRouter, err error) {
	p := &plainRouter{undo: func() {}}
	if p.plainHost, err = newPlainHost(mtu); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	err = p.host.do(func() (err error) {
		var undo func()
		if p.remote, p.here, undo, err = remoteHost(); err != nil {
			return err
		}
		p.undo = undo
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
	})
	if err != nil {
		return nil, err
	}
	if err := p.leadOut(); err != nil {
		return nil, err
	}
	if err := p.rules(fmt.Sprintf(oneRule, port)); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *plainRouter) close() {
	p.undo()
	p.plainHost.close()
}

// byHand is what the column of newHandHost is called.
const byHand = "rules by hand"

// handRules are the least with which a host publishes a port of plainHost's first
// container, on 127.0.0.1, too: the port, then the container's.
const handRules = `table ip plain {
	chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local meta l4proto { tcp, udp } th dport %[1]s dnat to 10.99.0.2:%[2]d; }
	chain output { type nat hook output priority -100; fib daddr type local meta l4proto { tcp, udp } th dport %[1]s dnat to 10.99.0.2:%[2]d; }
	chain postrouting { type nat hook postrouting priority srcnat; oifname "br0" ip saddr 127.0.0.0/8 masquerade; }
	chain forward { type filter hook forward priority filter; ct state established,related accept; }
}`

// newHandHost is a plain host that publishes a port as one writes it down by
// hand. What it loses beside newPlainHost is the kernel's part of what an engine
// loses: connection tracking, and changing addresses.
func newHandHost(port string, to, mtu int) (_ *plainHost, err error) {
	p, err := newPlainHost(mtu)
	if err != nil {
		return nil, err
	}
	err = p.host.do(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
			os.WriteFile("/proc/sys/net/ipv4/conf/br0/route_localnet", []byte("1"), 0))
	})
	if err == nil {
		err = p.leadOut()
	}
	if err == nil {
		err = p.rules(fmt.Sprintf(handRules, port, to))
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// leadOut makes the host the way out of its first container.
func (p *plainHost) leadOut() error {
	conn, err := netlink.OpenIn(p.a.space)
	if err != nil {
		return err
	}
	defer conn.Close()
	eth0, err := conn.Link("eth0")
	if err != nil {
		return err
	}
	return conn.AddRoute(netlink.Route{Index: eth0.Index, To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr(p.host.address)})
}

// rules loads rules of nft(8).
func (p *plainHost) rules(text string) error {
	nft := exec.Command("nft", text)
	nft.Stderr = os.Stderr
	err := p.host.start(nft)
	if err == nil {
		err = nft.Wait()
	}
	if err != nil {
		return fmt.Errorf("nft: %w", err)
	}
	return nil
}
