package container

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/moby/sys/capability"

	"github.com/berth-engine/berth/container/exec"
	"github.com/berth-engine/berth/container/spec"
	"github.com/berth-engine/berth/container/stats"
	"github.com/berth-engine/berth/event"
	"github.com/berth-engine/berth/image"
	"github.com/berth-engine/berth/kernel/quota"
	"github.com/berth-engine/berth/network"
	"github.com/berth-engine/berth/sandbox"
	"github.com/berth-engine/berth/trace"
	"github.com/berth-engine/berth/volume"
)

// Service is all containers of this host. Its verbs may be called from several
// goroutines, after Restore; Run must be running for what happens by itself
// (exits, restarts) to be seen.
type Service struct {
	images    *image.Store
	networks  *network.Manager
	sandboxes *sandbox.Runtime
	volumes   *volume.Store
	quotas    *quota.Projects
	events    *event.Bus
	log       *slog.Logger
	traces    *trace.Recorder // nil: nobody asks
	defaults  Defaults
	remap     *Remap // nil: containers have the host's ids

	runtimes atomic.Pointer[runtimes]

	records records
	names   *names
	index   index
	tasks   tasks
	stats   stats.Collector
	clock   clock
	caps    []string // that the kernel knows
	execs   exec.Table

	checksMade, checksFailed atomic.Uint64 // of health

	// restored: Restore is through, so that containers may be started.
	restored atomic.Bool
}

// clock is replaced by tests.
type clock struct {
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
}

// New opens the directory of containers and loads their records. Directories
// that a killed daemon left half made are removed.
func New(ctx context.Context, o Options) (*Service, error) {
	if err := os.MkdirAll(o.Root, 0o710); err != nil {
		return nil, fmt.Errorf("open containers: %w", err)
	}
	s := &Service{
		images: o.Images, networks: o.Networks, sandboxes: o.Sandboxes, volumes: o.Volumes, quotas: o.Quotas,
		events: o.Events, log: o.Log, traces: o.Traces, defaults: o.Defaults, remap: o.Remap,
		records: records{root: o.Root, gone: newGone(), states: newStateLog(o.Root)},
		index:   index{byID: map[string]*entry{}},
		clock:   clock{now: func() time.Time { return time.Now().UTC() }, after: time.After},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.quotas == nil {
		s.quotas = quota.New(o.Root)
	}
	s.SetRuntimes(o.Defaults.Runtimes, o.Defaults.Runtime)
	err := s.records.open()
	if err != nil {
		return nil, err
	}
	if err := makePlaces(o.Root); err != nil && !isFull(err) {
		return nil, err
	}
	if s.caps, err = kernelCaps(); err != nil {
		return nil, fmt.Errorf("open containers: %w", err)
	}
	if s.volumes == nil {
		if s.volumes, err = volume.Open(filepath.Join(filepath.Dir(o.Root), "volumes"), o.Events, s.log, nil, nil); err != nil {
			return nil, err
		}
	}
	if o.Records == nil {
		o.Records = ReadRecords(ctx, o.Root)
	}
	return s, s.load(o.Records)
}

// load takes in the records that were read.
func (s *Service) load(read *Reading) error {
	<-read.done
	if read.err != nil {
		return fmt.Errorf("load containers: %w", read.err)
	}
	named := map[string]string{}
	found := read.found
	read.found = nil // whoever keeps the reading does not keep old records
	var newer []*Record
	for _, f := range found {
		switch {
		case errors.Is(f.err, os.ErrNotExist):
			s.log.Info("removing a half-made container", "container", f.id)
			if err := os.RemoveAll(s.records.dir(f.id)); err != nil {
				return fmt.Errorf("load containers: %w", err)
			}
		case f.err != nil:
			s.log.Error("cannot read the record of a container; it is left as it is", "container", f.id, "err", f.err)
		default:
			if f.logged {
				newer = append(newer, f.record)
			}
			s.keepLimit(f.record)
			s.index.add(newEntry(f.record))
			named[f.id] = f.record.Name
		}
	}
	var err error
	if s.names, err = openNames(s.records.root, named); err != nil {
		return err
	}
	return s.openStates(newer, read.round)
}

// openStates writes to their files the versions of records that the log of the
// daemon before has, and begins the log anew. If one cannot be written, the log
// stays as it is, for the next daemon.
func (s *Service) openStates(newer []*Record, round uint64) error {
	whole := true
	for _, r := range newer {
		s.records.states.expect(late{record: r})
	}
	if len(newer) > 0 {
		whole = s.persist()
	}
	if !whole {
		return nil
	}
	return s.records.states.open(round)
}

// Run owns what happens in the background until ctx ends, and then waits for
// it. Running containers live on.
func (s *Service) Run(ctx context.Context) error {
	s.tasks.do(s.packLogs)
	s.tasks.do(s.keepDurable)
	s.tasks.do(s.stats.Run)
	s.tasks.run(ctx)
	s.records.gone.end()
	s.persist() // what the last of the tasks have saved
	return s.records.states.close()
}

// Counts returns how many containers there are, by what `info` shows.
func (s *Service) Counts() (running, paused, stopped int) {
	for _, e := range s.index.all() {
		switch e.record().State {
		case Running, Stopping:
			running++
		case Paused:
			paused++
		case Created, Starting, Exited, Restarting, Removing, Dead:
			stopped++
		}
	}
	return running, paused, stopped
}

// save makes r the record of e: for daemons to come, then in memory. The caller
// holds the lock and announces what changed afterwards.
func (s *Service) save(e *entry, r *Record) error {
	r.Seq = e.record().Seq + 1
	if err := s.records.save(r); err != nil {
		return err
	}
	e.rec.Store(r)
	return nil
}

// step advances the record of e and saves it.
func (s *Service) step(e *entry, to State, out *Outcome, change func(*Record)) (*Record, error) {
	r, err := e.record().advance(to, s.clock.now(), out)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(&r)
	}
	if err := s.save(e, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

func kernelCaps() ([]string, error) {
	known, err := capability.ListSupported()
	if err != nil {
		return nil, err
	}
	return spec.CapNames(known), nil
}

// Capabilities are those that the kernel knows, by name ("CAP_CHOWN").
func (s *Service) Capabilities() []string { return s.caps }
