package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/sandbox/checkpoint"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// streamsFile is kept with the saved processes, as runc has it.
const streamsFile = "descriptors.json"

// Checkpoint saves the processes of a running or paused container. Of d, what
// is the container's (Pid, Root, Freezer, Mounts, Namespaces, Config) is filled
// in here. The container is removed then, unless d lets it run on.
// Errors: errdefs.FailedPrecondition (the state), NotImplemented (no criu, or
// not on this kernel), and what criu says.
func (r *Root) Checkpoint(ctx context.Context, id string, d *checkpoint.Dump) error {
	c, err := r.hold(id)
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := c.Status()
	if err != nil {
		return err
	}
	if status != Running && status != Paused {
		return fmt.Errorf("Container cannot be checkpointed in %s state: %w", status, errdefs.ErrFailedPrecondition)
	}
	if err := c.describeDump(d); err != nil {
		return err
	}
	// Before the dump: with LazyPages, the processes are restored while it goes on.
	if !d.PreDump {
		if err := c.writeStreams(d.Images); err != nil {
			return err
		}
	}
	if err := c.dump(ctx, d, status == Paused); err != nil {
		return err
	}
	if d.PreDump || d.LeaveRunning {
		return nil
	}
	return c.destroy(ctx)
}

// dump saves the processes. If they were frozen before, what is left of them is
// frozen afterwards.
func (c *Container) dump(ctx context.Context, d *checkpoint.Dump, frozen bool) error {
	if !frozen {
		return d.Run(ctx)
	}
	g, err := c.group()
	if err != nil {
		return err
	}
	back, err := g.FreezeByV1(ctx)
	if err != nil {
		return err
	}
	if err = d.Run(ctx); err == nil && !d.LeaveRunning && !d.PreDump {
		return nil // nobody is left
	}
	return errors.Join(err, back())
}

func (c *Container) describeDump(d *checkpoint.Dump) error {
	if c.Mount != nil {
		return fmt.Errorf("checkpoint of a container without a mount namespace of its own: %w", errdefs.ErrNotImplemented)
	}
	spec, err := c.Spec()
	if err != nil {
		return err
	}
	g, err := c.group()
	if err != nil {
		return err
	}
	d.Pid, d.Root, d.Freezer, d.Config = c.Pid, c.Rootfs, g.Path("freezer"), c.criuConfig()
	for _, n := range kept(spec) {
		n.Path = "/proc/" + strconv.Itoa(c.Pid) + "/ns/" + n.Kind
		d.Namespaces = append(d.Namespaces, n)
	}
	root, err := c.inside()
	if err != nil {
		return err
	}
	defer root.Close()
	d.Mounts, err = mounted(root, outside(spec, g.JoinDirs()))
	return err
}

const criuAnnotation = "org.criu.config"

// criuConfig is the configuration file that runc has, too. One that an
// annotation names would be an image's to choose with some engines, and names
// programs that criu runs on the host.
func (c *Container) criuConfig() string {
	file, set := c.Annotations[criuAnnotation]
	if set && file == "" {
		return ""
	}
	if set {
		c.root.warn("annotation %s is not followed: /etc/criu/runc.conf is criu's configuration", criuAnnotation)
	}
	return "/etc/criu/runc.conf"
}

// kept are the namespaces that criu leaves as they are: somebody else has made
// them, and will again.
func kept(spec *specs.Spec) []checkpoint.Namespace {
	kinds := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.PIDNamespace: "pid"}
	var list []checkpoint.Namespace
	for _, n := range spec.Linux.Namespaces {
		if kind := kinds[n.Type]; kind != "" && n.Path != "" {
			list = append(list, checkpoint.Namespace{Kind: kind, Path: n.Path})
		}
	}
	return list
}

func (c *Container) writeStreams(dir string) error {
	data, err := json.Marshal(c.Streams)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.WriteFile(filepath.Join(dir, streamsFile), data, 0o600)
}
