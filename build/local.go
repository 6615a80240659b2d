package build

import (
	"context"
	"strings"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"
)

// ResolveSourceMetadata takes an image that is here without asking its registry
// for a newer one, unless that is asked for (--pull), as Docker does. BuildKit
// alone would ask each time. What it asks of a repository has the bounds of a clone.
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
	remote, ok := strings.CutPrefix(op.GetIdentifier(), srctypes.GitScheme+"://")
	if !ok || b.clones.Source == nil {
		return b.Worker.ResolveSourceMetadata(ctx, op, opt, sm, job)
	}
	var resp *sourceresolver.MetaResponse
	err := b.clones.watched(ctx, remote, func(ctx context.Context) (err error) {
		resp, err = b.Worker.ResolveSourceMetadata(ctx, op, opt, sm, job)
		return err
	})
	return resp, err
}
