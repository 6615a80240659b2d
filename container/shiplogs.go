package container

import (
	"context"
	"path/filepath"
	"time"

	"github.com/berth-engine/berth/container/logs"
	"github.com/berth-engine/berth/container/logs/driver"
)

const (
	// shipGrace is how long the rest of a log may take to be delivered when
	// something else waits for that: the next run, or the removal.
	shipGrace = 10 * time.Second
	// packEvery is how often finished segments of logs are looked for.
	packEvery = 30 * time.Second
	shipState = "log.json"
)

// shipping is a log on its way to a driver.
type shipping struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// ship delivers what the container writes, until its run has ended and all is
// delivered. opened may be nil. The caller holds the lock.
func (s *Service) ship(e *entry, opened driver.Driver, done <-chan struct{}) {
	r := e.record()
	name := r.HostConfig.LogConfig.Type
	if !driver.Ships(name) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	sh := &shipping{cancel: cancel, ended: make(chan struct{})}
	e.shipping = sh
	dir := s.records.dir(e.id)
	shipment := logs.Shipment{
		Dir: filepath.Join(dir, logDir), State: filepath.Join(dir, shipState), Driver: name, Info: s.logInfo(r),
		Opened: opened, Done: done, Log: s.log,
	}
	accepted := s.tasks.do(func(all context.Context) {
		defer close(sh.ended)
		defer cancel()
		defer context.AfterFunc(all, cancel)()
		if err := shipment.Run(ctx); err != nil {
			s.log.Error("cannot deliver a log", "container", e.id, "driver", name, "err", err)
		}
	})
	if !accepted { // the daemon ends; the next one goes on
		cancel()
		close(sh.ended)
	}
}

// endShipping waits until the log of an ended run is delivered, but not for
// ever. The caller holds the lock.
func (e *entry) endShipping() {
	if e.shipping == nil {
		return
	}
	select {
	case <-e.shipping.ended:
	case <-time.After(shipGrace):
		e.shipping.cancel()
		select {
		case <-e.shipping.ended:
		case <-time.After(shipGrace): // inside a library that cannot be told to stop
		}
	}
	e.shipping = nil
}

// shipRest delivers what a killed daemon left, of a container that does not
// run. The caller holds the lock.
func (s *Service) shipRest(e *entry) {
	dir := s.records.dir(e.id)
	if e.shipping == nil && driver.Ships(e.record().HostConfig.LogConfig.Type) && logs.Pending(filepath.Join(dir, logDir), filepath.Join(dir, shipState)) {
		done := make(chan struct{})
		close(done)
		s.ship(e, nil, done)
	}
}

// openLogDriver connects to what takes the log, so that a start fails if that
// is not there. Files are opened when the first line is written.
func (s *Service) openLogDriver(r *Record) (driver.Driver, error) {
	name := r.HostConfig.LogConfig.Type
	if !driver.Ships(name) || name == "json-file" {
		return nil, nil
	}
	d, err := driver.Open(name, s.logInfo(r))
	if err != nil {
		return nil, initLogError(err)
	}
	return d, nil
}

// packLogs compresses finished segments of all logs now and then.
func (s *Service) packLogs(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(packEvery):
		}
		for _, e := range s.index.all() {
			r := e.record()
			if ctx.Err() != nil || !r.State.live() || !packsLog(&r.HostConfig.LogConfig) {
				continue
			}
			if err := logs.Pack(filepath.Join(s.records.dir(e.id), logDir)); err != nil {
				s.log.Warn("cannot compress a log", "container", e.id, "err", err)
			}
		}
	}
}
