package container

import (
	"context"
	"io"
	"path/filepath"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/container/logs"
	"github.com/berth-engine/berth/container/logs/driver"
)

// Logs writes the container's log to what open returns, which it calls once
// the request is known to be good. Following ends with the run.
func (s *Service) Logs(ctx context.Context, ref string, o LogsOptions, open func(multiplexed bool) io.Writer) error {
	if !o.Stdout && !o.Stderr {
		return invalid("Bad parameters: you must choose at least one stream")
	}
	e, err := s.find(ref)
	if err != nil {
		return err
	}
	r := e.record()
	if !readsLog(&r.HostConfig.LogConfig) {
		return fail(errdefs.ErrNotImplemented, "configured logging driver does not support reading")
	}
	lo := logs.Options{
		Stdout: o.Stdout, Stderr: o.Stderr, Timestamps: o.Timestamps, Since: o.Since, Until: o.Until,
		Tail: o.Tail, Follow: o.Follow, Framed: !r.Config.Tty, Grep: o.Grep,
	}
	if o.Details {
		if lo.Details, err = driver.Attrs(s.logInfo(r)); err != nil {
			return err
		}
	}
	if o.Follow {
		lo.Done = e.streams.ended()
	}
	return logs.Copy(ctx, filepath.Join(s.records.dir(e.id), logDir), lo, open(lo.Framed))
}
