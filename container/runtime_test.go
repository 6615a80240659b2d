package container

import (
	"slices"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

func TestChooseRuntime(t *testing.T) {
	s := new(Service)
	s.SetRuntimes(map[string][]string{"other": {"/bin/other", "--x"}}, "other")
	for asked, want := range map[string]string{"": "other", "other": "other", "runc": "runc", "berth": "berth"} {
		h := &container.HostConfig{Runtime: asked}
		if err := s.chooseRuntime(h); err != nil || h.Runtime != want {
			t.Errorf("%q: %q, %v", asked, h.Runtime, err)
		}
		command, err := s.runtimeCommand(h.Runtime)
		if err != nil || slices.Equal(command, []string{"/bin/other", "--x"}) != (want == "other") {
			t.Errorf("%q: %q, %v", asked, command, err)
		}
	}
	if err := s.chooseRuntime(&container.HostConfig{Runtime: "kata"}); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	yes := true
	h := &container.HostConfig{}
	h.Init = &yes
	if err := s.chooseRuntime(h); !errdefs.IsNotImplemented(err) {
		t.Error(err)
	}
}
