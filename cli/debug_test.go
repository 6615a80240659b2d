package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestDebugRun(t *testing.T) {
	target := func(h container.HostConfig) *container.InspectResponse {
		return &container.InspectResponse{ID: "0123", Name: "/app", HostConfig: &h, State: &container.State{Running: true, Pid: 77}}
	}
	for _, c := range []struct {
		host    container.HostConfig
		flags   debugFlags
		command []string
		want    string
		root    string
	}{
		{want: "--rm --interactive --pid container:0123 --network container:0123 --cap-add SYS_PTRACE -- busybox sh", root: "/proc/1/root"},
		{
			host: container.HostConfig{PidMode: "host", UsernsMode: "host"}, flags: debugFlags{image: "tools:1", privileged: true}, command: []string{"ps", "-ef"},
			want: "--rm --interactive --pid host --network container:0123 --cap-add SYS_PTRACE --userns host --privileged -- tools:1 ps -ef", root: "/proc/77/root",
		},
		{
			host: container.HostConfig{PidMode: "container:9", IpcMode: "shareable"}, flags: debugFlags{user: "1:2", env: []string{"A=b c"}},
			want: "--rm --interactive --pid container:9 --network container:0123 --cap-add SYS_PTRACE --ipc container:0123 --user 1:2 --env A=b c -- busybox sh", root: "/proc/PID/root of its process",
		},
	} {
		got, err := debugRun(target(c.host), &c.flags, c.command)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%v\ngot  %v\nwant %v", err, strings.Join(got, " "), c.want)
		}
		if root := debugRoot(target(c.host)); root != c.root {
			t.Errorf("files below %q, want %q", root, c.root)
		}
	}
	t.Setenv("BERTH_DEBUG_IMAGE", "from/env")
	if got, _ := debugRun(target(container.HostConfig{}), &debugFlags{}, nil); !slices.Contains(got, "from/env") {
		t.Errorf("BERTH_DEBUG_IMAGE is passed over: %v", got)
	}
	for state, want := range map[*container.State]string{{}: "not running", {Running: true, Paused: true}: "paused"} {
		if _, err := debugRun(&container.InspectResponse{State: state, HostConfig: &container.HostConfig{}}, &debugFlags{}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", state, err)
		}
	}
}
