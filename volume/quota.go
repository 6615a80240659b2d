package volume

import (
	"errors"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/kernel/quota"
)

// Quotas limit what the files in a directory may take; *quota.Projects are the
// kernel's.
type Quotas interface {
	Make(path string, bytes int64) (id uint32, err error)
	Keep(path string, id uint32, bytes int64) error
	Join(path string, id uint32) error
	Limit(path string, id uint32, bytes int64) error
	Used(path string, id uint32) (int64, error)
	Drop(path string, id uint32) error
}

// limit is how much the files of a volume may take, in bytes; 0: as much as
// there is.
func (v *Volume) limit() int64 {
	if v.remote() {
		return 0
	}
	n, err := sizeOption(v.Options)
	if err != nil {
		return 0 // it was checked when the volume was made
	}
	return n
}

// limitNew limits a volume that is being made, whose empty directory is dir.
func (s *Store) limitNew(v *Volume, dir string) (err error) {
	if v.limit() == 0 {
		return nil
	}
	if s.quotas == nil {
		return fail(errdefs.ErrInvalidArgument, "quota size requested but no quota support")
	}
	v.Project, err = s.quotas.Make(dir, v.limit())
	if no, ok := errors.AsType[*quota.UnsupportedError](err); ok {
		no.Path = s.root
		return fail(errdefs.ErrInvalidArgument, "quota size requested but no quota support: %v", no)
	}
	if err != nil {
		return fmt.Errorf("limit its size: %w", err)
	}
	return nil
}

// keepLimit limits a volume again after a restart. A volume that cannot be
// limited any more stays usable; Describe does not show a limit then.
func (s *Store) keepLimit(v *Volume) {
	if v.Project == 0 {
		return
	}
	err := errors.ErrUnsupported
	if s.quotas != nil {
		err = s.quotas.Keep(v.Path, v.Project, v.limit())
	}
	if err != nil {
		s.log.Error("the size of a volume is not limited any more", "volume", v.Name, "err", err)
		v.Project = 0
	}
}

// dropLimit gives the quota of a volume back whose files are gone.
func (s *Store) dropLimit(v *Volume) {
	if v.Project == 0 {
		return
	}
	if err := s.quotas.Drop(s.root, v.Project); err != nil {
		s.log.Warn("cannot give back the quota of a volume", "volume", v.Name, "err", err)
	}
}

// unlimited runs fn, which fills a second directory for the data of a volume:
// both count until one is removed, so there is no limit meanwhile.
func (s *Store) unlimited(v *Volume, fn func() error) error {
	if v.Project == 0 {
		return fn()
	}
	if err := s.quotas.Limit(s.root, v.Project, 0); err != nil {
		return err
	}
	return errors.Join(fn(), s.quotas.Limit(s.root, v.Project, v.limit()))
}

// limitCopy has a new directory for the data of a volume count as its own.
func (s *Store) limitCopy(v *Volume, dir string) error {
	if v.Project == 0 {
		return nil
	}
	return s.quotas.Join(dir, v.Project)
}

// quotaStatus is what inspect and df show of a volume with a limit: bytes.
func (s *Store) quotaStatus(v *Volume) map[string]any {
	if v.Project == 0 {
		return nil
	}
	used, err := s.quotas.Used(s.root, v.Project)
	if err != nil {
		s.log.Warn("cannot read the quota of a volume", "volume", v.Name, "err", err)
		return nil
	}
	return map[string]any{"Limit": v.limit(), "Used": used}
}
