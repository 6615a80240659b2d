package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/kernel/quota"
)

// storageSize is how much a container may write besides its volumes, in bytes;
// 0: as much as there is. It is the only option of the storage.
func storageSize(h *container.HostConfig) (size int64, err error) {
	for key, value := range h.StorageOpt {
		if !strings.EqualFold(key, "size") {
			return 0, invalid("StorageOpt: Unknown option %s", key)
		}
		if size, err = units.RAMInBytes(value); err != nil {
			return 0, invalid("StorageOpt size: %v", err)
		}
	}
	return size, nil
}

// checkStorage refuses a limit that the file system does not have.
func (s *Service) checkStorage(h *container.HostConfig) error {
	size, err := storageSize(h)
	if err != nil || size == 0 {
		return err
	}
	err = quota.Supported(s.records.root)
	if errors.Is(err, errors.ErrUnsupported) {
		return invalid("--storage-opt is supported only for overlay over xfs or ext4 with project quotas: %v", err)
	}
	return err
}

// limitRoot limits what is written to the directories of a new container's root
// file system. Both are in one project: overlayfs renames between them.
func (s *Service) limitRoot(r *Record) error {
	size, err := storageSize(r.HostConfig)
	if err != nil || size == 0 {
		return err
	}
	dir := s.records.dir(r.ID)
	if r.Project, err = s.quotas.Make(filepath.Join(dir, upperDir), size); err == nil {
		err = s.quotas.Join(filepath.Join(dir, workDir), r.Project)
	}
	if err != nil {
		return fmt.Errorf("limit the size of the container: %w", err)
	}
	return nil
}

// keepLimit limits a container again after a restart of the daemon. One that
// cannot be limited any more goes on without.
func (s *Service) keepLimit(r *Record) {
	if r.Project == 0 {
		return
	}
	dir := s.records.dir(r.ID)
	size, err := storageSize(r.HostConfig)
	if err == nil {
		err = s.quotas.Keep(filepath.Join(dir, upperDir), r.Project, size)
	}
	if errors.Is(err, os.ErrExist) || errors.Is(err, os.ErrInvalid) {
		r.Project = 0 // it is not the container's to give back
	}
	if err != nil {
		s.log.Error("the size of a container is not limited any more", "container", r.ID, "err", err)
	}
}

// dropLimit gives back the quota of a container whose files are gone.
func (s *Service) dropLimit(r *Record) {
	if r.Project != 0 {
		s.report(r.ID, s.quotas.Drop(s.records.root, r.Project))
	}
}
