package executor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	bkexecutor "github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/solver/pb"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/kernel/mount"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/network/dns"
)

// etc writes the step's /etc/hosts and /etc/resolv.conf and opens them as mounts.
func (x *Executor) etc(dir string, meta bkexecutor.Meta, r network.Result, sources map[string]*os.File, u *undo) ([]specs.Mount, error) {
	resolv, err := x.resolvConf(meta)
	if err != nil {
		return nil, err
	}
	uid, gid := x.o.Remap.root()
	var list []specs.Mount
	for _, f := range []struct{ name, text string }{{"hosts", hosts(meta, r)}, {"resolv.conf", resolv}} {
		name := filepath.Join(dir, f.name)
		if err := os.WriteFile(name, []byte(f.text), 0o644); err != nil {
			return nil, fmt.Errorf("build step: %w", err)
		}
		if err := os.Lchown(name, uid, gid); err != nil {
			return nil, fmt.Errorf("build step: %w", err)
		}
		tree, err := mount.Clone(name, false)
		if err != nil {
			return nil, fmt.Errorf("build step: %w", err)
		}
		u.push(func(context.Context) error { return tree.Close() })
		sources[f.name] = tree
		options := []string{"bind", "rprivate"}
		if meta.ReadonlyRootFS {
			options = append(options, "ro")
		}
		list = append(list, specs.Mount{Destination: "/etc/" + f.name, Type: "bind", Source: f.name, Options: options})
	}
	return list, nil
}

func hosts(meta bkexecutor.Meta, r network.Result) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost " + meta.Hostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, e := range r.Endpoints {
		if e.IPv4.IsValid() {
			fmt.Fprintf(&b, "%s\t%s\n", e.IPv4.Addr(), meta.Hostname)
		}
	}
	for _, h := range meta.ExtraHosts {
		fmt.Fprintf(&b, "%s\t%s\n", h.IP, h.Host)
	}
	return b.String()
}

func (x *Executor) resolvConf(meta bkexecutor.Meta) (string, error) {
	if meta.NetMode == pb.NetMode_HOST {
		text, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("build step: %w", err)
		}
		return string(text), nil
	}
	if meta.NetMode == pb.NetMode_NONE {
		return "", nil
	}
	return dns.Text(x.o.Networks.DNS()), nil
}
