package container

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	nettypes "github.com/moby/moby/api/types/network"

	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/fault"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/trace"
)

// Directories and files of one container, below its directory.
const (
	upperDir = "upper"
	workDir  = "work"
	logDir   = "log"
)

// Create makes a container: it validates the request, resolves the image, and
// saves the record. On an error nothing is left.
func (s *Service) Create(ctx context.Context, o CreateOptions) (_ container.CreateResponse, err error) {
	if o.Request == nil || o.Request.Config == nil {
		return container.CreateResponse{}, invalid("config cannot be empty in order to create a container")
	}
	s.sandboxes.Expect() // most are started at once
	r, img, warnings, err := s.draft(ctx, &o)
	if err != nil {
		return container.CreateResponse{}, err
	}
	at := trace.From(ctx)
	at.Mark("resolve and validate")
	e := newEntry(r)
	e.image = img

	var u undo
	defer func() {
		if err != nil {
			u.run(ctx)
		}
	}()
	if err := s.claim(r, o.Name); err != nil {
		return container.CreateResponse{}, err
	}
	u.push(func(context.Context) { s.names.release(r.Name, r.ID) })
	if err := fault.Point("container.create.claimed"); err != nil {
		return container.CreateResponse{}, err
	}
	u.push(func(context.Context) {
		s.report(r.ID, s.records.remove(r.ID, true, nil, nil))
		s.dropLimit(r)
	})
	if err := s.makeDirs(r.ID); err != nil {
		return container.CreateResponse{}, err
	}
	if err := s.limitRoot(r); err != nil {
		return container.CreateResponse{}, err
	}
	if err := s.takeVolumes(ctx, e, r, &u); err != nil {
		return container.CreateResponse{}, err
	}
	if err := s.fillOthers(ctx, r.HostConfig.VolumesFrom); err != nil {
		return container.CreateResponse{}, err
	}
	e.held = append(e.held, s.images.Hold(img, s.holder(e)))
	s.holdImages(e, r.Mounts)
	u.push(func(context.Context) { e.dropHeld() })
	at.Mark("name, directories, volumes")
	if err := fault.Point("container.create.dirs"); err != nil {
		return container.CreateResponse{}, err
	}
	if err := s.records.create(r, !r.autoRemove()); err != nil {
		return container.CreateResponse{}, err
	}
	at.Mark("record")
	s.index.add(e)
	u.keep()
	if err := fault.Point("container.create.saved"); err != nil {
		s.log.Warn("fault point", "err", err)
	}
	s.announce(r, events.ActionCreate)
	return container.CreateResponse{ID: r.ID, Warnings: warnings}, nil
}

// draft validates the request and makes the record of it. It changes nothing.
func (s *Service) draft(ctx context.Context, o *CreateOptions) (*Record, *image.Image, []string, error) {
	warnings := []string{} // clients want a list, not null
	if o.Name != "" {
		name, err := cleanName(o.Name)
		if err != nil {
			return nil, nil, nil, err
		}
		o.Name = name
	}
	if o.Request.Image == "" {
		return nil, nil, nil, invalid("invalid reference format: no image specified")
	}
	img, err := s.images.Resolve(ctx, o.Request.Image, o.Platform)
	if err != nil {
		return nil, nil, nil, err
	}
	config, err := merge(o.Request.Config, img.Config.Config)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := validateConfig(config); err != nil {
		return nil, nil, nil, err
	}
	host := container.HostConfig{}
	if o.Request.HostConfig != nil {
		host = *o.Request.HostConfig
	}
	host.LogConfig = withLogDefaults(host.LogConfig, s.defaults.LogConfig)
	more, err := validateHostConfig(config, &host)
	if err != nil {
		return nil, nil, nil, err
	}
	if host.NetworkMode.IsContainer() && len(o.Request.ExposedPorts) > 0 { // the image's do not matter
		return nil, nil, nil, invalid("conflicting options: port exposing and the container type network mode")
	}
	warnings = append(warnings, more...)
	s.adapt(&host)
	if err := s.checkRemap(&host); err != nil {
		return nil, nil, nil, err
	}
	if err := s.checkStorage(&host); err != nil {
		return nil, nil, nil, err
	}
	if err := s.checkCgroupParent(&host); err != nil {
		return nil, nil, nil, err
	}
	if err := s.chooseRuntime(&host); err != nil {
		return nil, nil, nil, err
	}
	if more, err = fitHost(&host.Resources, s.sandboxes.Features()); err != nil {
		return nil, nil, nil, err
	}
	warnings = append(warnings, more...)
	endpoints, err := s.planEndpoints(&host, o.Request.NetworkingConfig)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := s.bindLinks(&host); err != nil {
		return nil, nil, nil, err
	}
	s.bindOthers(&host)
	others, err := s.volumesFrom(host.VolumesFrom)
	if err != nil {
		return nil, nil, nil, err
	}
	mounts, err := planMounts(config, &host, others)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := s.resolveImages(ctx, mounts); err != nil {
		return nil, nil, nil, err
	}
	id := newID()
	if err := s.nameHost(id, config, &host); err != nil {
		return nil, nil, nil, err
	}
	r := &Record{
		Version: RecordVersion, ID: id, Name: o.Name, Seq: 1, State: Created, Desired: WantStopped, Created: s.clock.now(),
		Image:  ImageRef{ID: img.ID, Ref: o.Request.Image, Manifest: img.Manifest, ChainID: img.ChainID, Platform: img.Platform},
		Config: config, RequestLabels: maps.Clone(o.Request.Labels), HostConfig: &host,
		Endpoints: endpoints, Mounts: mounts,
	}
	if len(host.PortBindings) > 0 || host.PublishAllPorts {
		warnings = append(warnings, s.networks.PortWarnings()...)
	}
	return r, img, warnings, nil
}

func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// adapt writes the engine's defaults into the host configuration, where
// inspect shows them.
func (s *Service) adapt(h *container.HostConfig) {
	if isBridge(string(h.NetworkMode)) {
		h.NetworkMode = nettypes.NetworkBridge
	}
	if h.IpcMode.IsEmpty() {
		h.IpcMode = cmp.Or(s.defaults.IPCMode, container.IPCModePrivate)
	}
	if h.CgroupnsMode.IsEmpty() {
		h.CgroupnsMode = cmp.Or(s.defaults.CgroupnsMode, container.CgroupnsModePrivate)
	}
	if size := s.defaults.RootSize; size > 0 && len(h.StorageOpt) == 0 {
		h.StorageOpt = map[string]string{"size": strconv.FormatInt(size, 10)}
	}
	if h.ShmSize == 0 {
		if h.ShmSize = s.defaults.ShmSize; h.ShmSize == 0 {
			h.ShmSize = spec.DefaultShmSize
		}
	}
	if h.RestartPolicy.Name == "" {
		h.RestartPolicy.Name = container.RestartPolicyDisabled
	}
	if h.Memory > 0 && h.MemorySwap == 0 {
		h.MemorySwap = 2 * h.Memory
	}
	h.MaskedPaths, h.ReadonlyPaths = spec.MaskedPaths(h), spec.ReadonlyPaths(h)
}

// nameHost decides the host name of the container.
func (s *Service) nameHost(id string, c *container.Config, h *container.HostConfig) error {
	if c.Hostname != "" {
		return nil
	}
	if !h.NetworkMode.IsHost() && !h.UTSMode.IsHost() {
		c.Hostname = short(id)
		return nil
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name the container: %w", err)
	}
	c.Hostname = name
	return nil
}

// claim takes the wanted name, or one that is free.
func (s *Service) claim(r *Record, name string) error {
	if name != "" {
		r.Name = name
		return s.names.claim(name, r.ID)
	}
	for try := range 8 {
		r.Name = randomName(try)
		err := s.names.claim(r.Name, r.ID)
		if !errdefs.IsConflict(err) {
			return err
		}
	}
	r.Name = short(r.ID)
	return s.names.claim(r.Name, r.ID)
}

func (s *Service) makeDirs(id string) error {
	dir := s.records.dir(id)
	if err := os.Mkdir(dir, 0o710); err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	if err := fault.Point("container.create.mkdir"); err != nil {
		return err
	}
	for sub, mode := range map[string]os.FileMode{upperDir: 0o755, workDir: 0o700, logDir: 0o700} {
		if err := os.Mkdir(filepath.Join(dir, sub), mode); err != nil {
			return fmt.Errorf("create container: %w", err)
		}
	}
	return os.Chmod(filepath.Join(dir, upperDir), 0o755)
}

// bindOthers resolves the containers that the modes name to their IDs, so that
// a later rename changes nothing. Whether they exist is asked at the start, as
// Docker does: a client takes "not found" here for the image's.
func (s *Service) bindOthers(h *container.HostConfig) {
	if h.NetworkMode.IsContainer() {
		if e, err := s.find(h.NetworkMode.ConnectedContainer()); err == nil {
			h.NetworkMode = container.NetworkMode("container:" + e.id)
		}
	}
	if h.IpcMode.IsContainer() {
		if e, err := s.find(h.IpcMode.Container()); err == nil {
			h.IpcMode = container.IpcMode("container:" + e.id)
		}
	}
	if h.PidMode.IsContainer() {
		if e, err := s.find(h.PidMode.Container()); err == nil {
			h.PidMode = container.PidMode("container:" + e.id)
		}
	}
}

// dropHeld gives back the container's share of image and volumes.
func (e *entry) dropHeld() {
	for _, release := range e.held {
		release()
	}
	e.held = nil
}

// report logs an error of cleaning up that nobody else can hear of.
func (s *Service) report(id string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.log.Warn("cleaning up after a failure", "container", id, "err", err)
	}
}
