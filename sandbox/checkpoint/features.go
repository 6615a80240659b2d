package checkpoint

import (
	"context"
	"fmt"
	"os"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/containerd/errdefs"
)

// minVersion is that of criu 3.16: its freezer knows cgroup v2, external
// namespaces of all kinds are kept, and LSM profiles can be replaced.
const minVersion = 31600

// check fails unless criu is there, new enough, and can do what is asked for.
func (o *Options) check(ctx context.Context, track, lazy bool) error {
	resp, err := o.once(ctx, &rpc.CriuReq{Type: new(rpc.CriuReqType_VERSION)})
	switch {
	case errdefs.IsNotImplemented(err): // there is none
		return err
	case err != nil:
		return fmt.Errorf("version of criu: %w", err)
	}
	v := resp.GetVersion()
	if n := v.GetMajorNumber()*10000 + v.GetMinorNumber()*100 + v.GetSublevel(); n < minVersion {
		return fmt.Errorf("criu %d.%d is too old: 3.16 is needed: %w", v.GetMajorNumber(), v.GetMinorNumber(), errdefs.ErrNotImplemented)
	}
	if !track && !lazy {
		return nil
	}
	resp, err = o.once(ctx, &rpc.CriuReq{Type: new(rpc.CriuReqType_FEATURE_CHECK), Features: &rpc.CriuFeatures{MemTrack: &track, LazyPages: &lazy}})
	if err != nil {
		return fmt.Errorf("features of criu: %w", err)
	}
	has := resp.GetFeatures()
	if track && !has.GetMemTrack() {
		return fmt.Errorf("this kernel does not tell criu which memory has changed (CONFIG_MEM_SOFT_DIRTY): %w", errdefs.ErrNotImplemented)
	}
	if lazy && !has.GetLazyPages() {
		return fmt.Errorf("this kernel or criu cannot fetch memory lazily (userfaultfd): %w", errdefs.ErrNotImplemented)
	}
	return nil
}

// once starts criu for a question.
func (o *Options) once(ctx context.Context, req *rpc.CriuReq) (*rpc.CriuResp, error) {
	s, err := o.begin(ctx, [3]*os.File{})
	if err != nil {
		return nil, err
	}
	resp, err := s.ask(req)
	if end := s.end(); err == nil && end != nil {
		err = fmt.Errorf("criu: %w", end)
	}
	return resp, err
}
