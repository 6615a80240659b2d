package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/build/executor"
	"github.com/berth-engine/berth/config"
	engine "github.com/berth-engine/berth/container"
	"github.com/berth-engine/berth/kernel/ns"
)

// remapped reads userns-remap. The engine then has a data-root of its own, as dockerd has it: what containers have written belongs
// to other users. Without the setting, it returns cfg and nil.
func remapped(cfg *config.Config) (*config.Config, *engine.Remap, error) {
	who, err := cfg.Remapped()
	if err != nil || who.Name == "" {
		return cfg, nil, err
	}
	m := &engine.Remap{UIDs: idMap(who.UIDs), GIDs: idMap(who.GIDs)}
	if err := ours(cfg.DataRoot); err != nil {
		return nil, nil, err
	}
	if err := makeDir(cfg.DataRoot, 0o710); err != nil {
		return nil, nil, err
	}
	own := *cfg
	own.DataRoot = filepath.Join(cfg.DataRoot, fmt.Sprintf("%d.%d", m.UIDs[0].Outside, m.GIDs[0].Outside))
	return &own, m, nil
}

// stepsRemap has the steps of builds remapped as containers are.
func stepsRemap(m *engine.Remap) *executor.Remap {
	if m == nil {
		return nil
	}
	return &executor.Remap{User: m.User, ToHost: m.ToHost}
}

// ofRemapped tells whether a name in a data-root is that of the data-root of
// remapped users.
func ofRemapped(name string) bool {
	uid, gid, ok := strings.Cut(name, ".")
	return ok && uid != "" && gid != "" && strings.Trim(uid+gid, "0123456789") == ""
}

func idMap(ranges []config.IDRange) []ns.IDMap {
	out := make([]ns.IDMap, len(ranges))
	for i, r := range ranges {
		out[i] = ns.IDMap(r)
	}
	return out
}
