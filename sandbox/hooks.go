package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/sandbox/stage"
)

// hookState is the state that hooks and the seccomp agent get; nil if spec asks
// for neither. Its bundle, in which hooks look for the config and the root
// file system, is written here: dir is removed with the sandbox.
func hookState(id, dir string, spec *specs.Spec) (*specs.State, error) {
	if !stage.NeedsState(spec) {
		return nil, nil
	}
	config, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		return nil, fmt.Errorf("bundle for hooks: %w", err)
	}
	if spec.Root != nil && filepath.IsLocal(spec.Root.Path) {
		if err := os.Mkdir(filepath.Join(dir, spec.Root.Path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("bundle for hooks: %w", err)
		}
	}
	return &specs.State{Version: specs.Version, ID: id, Bundle: dir, Annotations: spec.Annotations}, nil
}
