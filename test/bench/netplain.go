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

func newPlainRouter(port string) (_ *plainRouter, err error) {
	p := &plainRouter{undo: func() {}}
	if p.plainHost, err = newPlainHost(); err != nil {
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
	conn, err := netlink.OpenIn(p.a.space)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	eth0, err := conn.Link("eth0")
	if err == nil {
		err = conn.AddDefaultRoute(eth0.Index, netip.MustParseAddr(p.host.address))
	}
	if err != nil {
		return nil, err
	}
	nft := exec.Command("nft", fmt.Sprintf(oneRule, port))
	nft.Stderr = os.Stderr
	err = p.host.start(nft)
	if err == nil {
		err = nft.Wait()
	}
	if err != nil {
		return nil, errors.Join(errors.New("nft"), err)
	}
	return p, nil
}

func (p *plainRouter) close() {
	p.undo()
	p.plainHost.close()
}
