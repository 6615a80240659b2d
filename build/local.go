package build

import (
	"context"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
)

// ResolveSourceMetadata takes an image that is here without asking its registry
// for a newer one, unless that is asked for (--pull), as Docker does. BuildKit
// alone would ask each time.
func (b *moby) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt, sm *session.Manager, job solver.JobContext) (*sourceresolver.MetaResponse, error) {
	if opt.ImageOpt != nil && (opt.ImageOpt.ResolveMode == "" || opt.ImageOpt.ResolveMode == pb.AttrImageResolveModeDefault) {
		local, image := opt, *opt.ImageOpt
		image.ResolveMode = pb.AttrImageResolveModePreferLocal
		local.ImageOpt = &image
		// It may be here for another platform only.
		if resp, err := b.Worker.ResolveSourceMetadata(ctx, op, local, sm, job); err == nil {
			return resp, nil
		}
	}
	return b.Worker.ResolveSourceMetadata(ctx, op, opt, sm, job)
}
