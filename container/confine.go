package container

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-engine/berth/container/apparmor"
	"github.com/berth-engine/berth/container/spec"
)

// defaultProfile is the AppArmor profile of containers that name none; "": the
// host has no AppArmor.
func (s *Service) defaultProfile() string {
	if s.defaults.AppArmor == nil {
		return ""
	}
	return apparmor.Name
}

// ensureProfile has the default profile loaded if a process gets it.
func (s *Service) ensureProfile(sp *specs.Spec) error {
	if s.defaults.AppArmor == nil || sp.Process.ApparmorProfile != apparmor.Name {
		return nil
	}
	return s.defaults.AppArmor.Ensure()
}

// profileOf is the AppArmor profile that a container runs with; "": none.
func (s *Service) profileOf(r *Record) string {
	sec, err := spec.ParseSecurity(r.HostConfig.SecurityOpt)
	if err != nil {
		return "" // it was checked when the container was made
	}
	return spec.AppArmor(sec.AppArmor, s.defaultProfile(), r.HostConfig.Privileged)
}
