// Package dockerfile applies instructions of a Dockerfile to the configuration of
// a container or image, for `commit --change` and `import --change`. Nothing
// is executed: only instructions that say something about the configuration
// are known.
package dockerfile

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// known are the instructions that change nothing but the configuration.
var known = []string{
	"cmd", "entrypoint", "env", "expose", "healthcheck", "label", "onbuild", "shell", "stopsignal", "user", "volume", "workdir",
}

// Apply carries out instructions on a copy of c and returns that. Each element
// of lines may hold several lines of a Dockerfile. What is no such instruction,
// or one that would need a build, is errdefs.InvalidArgument.
func Apply(c *container.Config, lines []string) (*container.Config, error) {
	a := &applier{c: clone(c)}
	if len(lines) == 0 {
		return a.c, nil
	}
	file, err := parser.Parse(strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		return nil, invalid(err)
	}
	for _, node := range file.AST.Children {
		if !slices.Contains(known, strings.ToLower(node.Value)) {
			return nil, errdefs.ErrInvalidArgument.WithMessage(node.Value + " is not a valid change command")
		}
		cmd, err := instructions.ParseCommand(node)
		if err != nil {
			return nil, invalid(err)
		}
		if err := a.expand(cmd, shell.NewLex(file.EscapeToken)); err != nil {
			return nil, invalid(err)
		}
		if err := a.apply(cmd); err != nil {
			return nil, invalid(err)
		}
	}
	return a.c, nil
}

func invalid(err error) error {
	return errdefs.ErrInvalidArgument.WithMessage(err.Error())
}

type applier struct {
	c      *container.Config
	cmdSet bool // by an instruction: ENTRYPOINT then leaves it
}

// clone copies what instructions change.
func clone(c *container.Config) *container.Config {
	out := *c
	out.Env, out.Cmd, out.Entrypoint = slices.Clone(c.Env), slices.Clone(c.Cmd), slices.Clone(c.Entrypoint)
	out.OnBuild, out.Shell = slices.Clone(c.OnBuild), slices.Clone(c.Shell)
	out.Labels, out.Volumes, out.ExposedPorts = map[string]string{}, map[string]struct{}{}, network.PortSet{}
	maps.Copy(out.Labels, c.Labels)
	for k := range c.Volumes {
		out.Volumes[k] = struct{}{}
	}
	for k := range c.ExposedPorts {
		out.ExposedPorts[k] = struct{}{}
	}
	return &out
}

// expand puts the values of the environment, as it is before the instruction,
// in the place of their names.
func (a *applier) expand(cmd instructions.Command, lex *shell.Lex) error {
	env := shell.EnvsFromSlice(slices.Clone(a.c.Env))
	if c, ok := cmd.(instructions.SupportsSingleWordExpansion); ok {
		return c.Expand(func(word string) (string, error) {
			word, _, err := lex.ProcessWord(word, env)
			return word, err
		})
	}
	if c, ok := cmd.(*instructions.ExposeCommand); ok {
		var ports []string
		for _, p := range c.Ports {
			words, err := lex.ProcessWords(p, env)
			if err != nil {
				return err
			}
			ports = append(ports, words...)
		}
		c.Ports = ports
	}
	return nil
}

func (a *applier) apply(cmd instructions.Command) error {
	switch c := cmd.(type) {
	case *instructions.CmdCommand:
		a.c.Cmd, a.cmdSet = a.line(c.ShellDependantCmdLine), true
	case *instructions.EntrypointCommand:
		a.c.Entrypoint = a.line(c.ShellDependantCmdLine)
		if !a.cmdSet {
			a.c.Cmd = nil // it was meant for the old one
		}
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			a.env(kv.Key, kv.Value)
		}
	case *instructions.ExposeCommand:
		return a.expose(c.Ports)
	case *instructions.HealthCheckCommand:
		a.c.Healthcheck = c.Health
	case *instructions.LabelCommand:
		for _, kv := range c.Labels {
			a.c.Labels[kv.Key] = kv.Value
		}
	case *instructions.OnbuildCommand:
		a.c.OnBuild = append(a.c.OnBuild, c.Expression)
	case *instructions.ShellCommand:
		a.c.Shell = slices.Clone(c.Shell)
	case *instructions.StopSignalCommand:
		a.c.StopSignal = c.Signal
	case *instructions.UserCommand:
		a.c.User = c.User
	case *instructions.VolumeCommand:
		for _, v := range c.Volumes {
			if v == "" {
				return fmt.Errorf("VOLUME specified can not be an empty string")
			}
			a.c.Volumes[v] = struct{}{}
		}
	case *instructions.WorkdirCommand:
		if path.IsAbs(c.Path) {
			a.c.WorkingDir = path.Clean(c.Path)
		} else {
			a.c.WorkingDir = path.Join("/", a.c.WorkingDir, c.Path)
		}
	default:
		return fmt.Errorf("%s is not a valid change command", strings.ToUpper(cmd.Name()))
	}
	return nil
}

// line is a command in the form that is executed.
func (a *applier) line(l instructions.ShellDependantCmdLine) []string {
	if !l.PrependShell {
		return slices.Clone(l.CmdLine)
	}
	sh := a.c.Shell
	if len(sh) == 0 {
		sh = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(sh), l.CmdLine...)
}

func (a *applier) env(key, value string) {
	entry := key + "=" + value
	for i, e := range a.c.Env {
		if name, _, _ := strings.Cut(e, "="); name == key {
			a.c.Env[i] = entry
			return
		}
	}
	a.c.Env = append(a.c.Env, entry)
}

func (a *applier) expose(ports []string) error {
	for _, text := range ports {
		// What would be published where means nothing to an image.
		inside := text[strings.LastIndexByte(text, ':')+1:]
		r, err := network.ParsePortRange(inside)
		if err != nil {
			return fmt.Errorf("invalid port %q: %w", text, err)
		}
		for p := range r.All() {
			a.c.ExposedPorts[p] = struct{}{}
		}
	}
	return nil
}
