package spec

import (
	"path"
	"slices"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Exec makes the process of an exec in the container that in describes. user
// is who it runs as; in.User is the container's. Of the result only Process,
// and of Linux what holds for all processes of the container, are meant.
func Exec(in *Input, x *container.ExecCreateRequest, user User) (*specs.Spec, error) {
	if len(x.Cmd) == 0 {
		return nil, invalid("No exec command specified")
	}
	dir := WorkingDir(in.Config)
	if x.WorkingDir != "" {
		if !path.IsAbs(x.WorkingDir) {
			return nil, invalid("Cwd must be an absolute path")
		}
		dir = path.Clean(x.WorkingDir)
	}
	lean := *in
	lean.Mounts, lean.Devices = nil, nil
	config := *in.Config
	if len(config.Entrypoint)+len(config.Cmd) == 0 {
		config.Cmd = x.Cmd // what Build insists on
	}
	lean.Config = &config
	s, err := Build(&lean)
	if err != nil {
		return nil, err
	}
	bounding := s.Process.Capabilities.Bounding
	if x.Privileged {
		bounding = in.Capabilities
	}
	p := s.Process
	p.Terminal, p.ConsoleSize = x.Tty, nil
	if size := x.ConsoleSize; x.Tty && size != nil && *size != [2]uint{} {
		p.ConsoleSize = &specs.Box{Height: size[0], Width: size[1]}
	}
	p.Args, p.Cwd = x.Cmd, dir
	p.Env = environment(in.Config, x.Tty, slices.Concat(in.LinkEnv, in.Config.Env, x.Env), user.Home)
	p.User = specs.User{UID: user.UID, GID: user.GID, AdditionalGids: user.Additional, Umask: in.Host.Umask}
	p.Capabilities = processCaps(bounding, user.UID)
	return s, nil
}
