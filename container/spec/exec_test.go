package spec

import (
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func TestExec(t *testing.T) {
	in := &Input{
		ID: "x", Config: &container.Config{Hostname: "box", Env: []string{"A=run", "B=run"}, WorkingDir: "/srv", Cmd: []string{"init"}},
		Host: &container.HostConfig{}, User: User{Home: "/root"}, Capabilities: []string{"CAP_CHOWN", "CAP_SYS_ADMIN"},
	}
	s, err := Exec(in, &container.ExecCreateRequest{Cmd: []string{"ls", "-l"}, Env: []string{"A=exec", "C=exec"}}, in.User)
	if err != nil {
		t.Fatal(err)
	}
	p := s.Process
	for _, want := range []string{"A=exec", "B=run", "C=exec", "HOSTNAME=box", "HOME=/root"} {
		if !slices.Contains(p.Env, want) {
			t.Errorf("no %s in %q", want, p.Env)
		}
	}
	if p.Cwd != "/srv" || !slices.Equal(p.Args, []string{"ls", "-l"}) || p.Terminal || slices.Contains(p.Env, "TERM=xterm") || s.Linux.Seccomp == nil {
		t.Errorf("%+v", p)
	}
	if !slices.Equal(p.Capabilities.Effective, DefaultCapabilities) || !slices.Equal(p.Capabilities.Bounding, DefaultCapabilities) {
		t.Errorf("%+v", p.Capabilities)
	}

	s, err = Exec(in, &container.ExecCreateRequest{
		Cmd: []string{"sh"}, Tty: true, ConsoleSize: &[2]uint{3, 4}, Privileged: true, WorkingDir: "/a/../b",
	}, User{UID: 5, GID: 6, Additional: []uint32{6, 7}, Home: "/home/five"})
	if err != nil {
		t.Fatal(err)
	}
	p = s.Process
	if !p.Terminal || p.ConsoleSize.Height != 3 || p.Cwd != "/b" || p.User.UID != 5 || p.User.GID != 6 || len(p.User.AdditionalGids) != 2 {
		t.Errorf("%+v", p)
	}
	if !slices.Contains(p.Env, "TERM=xterm") || !slices.Contains(p.Env, "HOME=/home/five") {
		t.Errorf("%q", p.Env)
	}
	if len(p.Capabilities.Effective) != 0 || !slices.Equal(p.Capabilities.Bounding, in.Capabilities) {
		t.Errorf("%+v", p.Capabilities)
	}

	for _, bad := range []*container.ExecCreateRequest{{}, {Cmd: []string{"a"}, WorkingDir: "b"}} {
		if _, err := Exec(in, bad, in.User); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
