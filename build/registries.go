package build

import (
	"context"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/util/resolver"
	"google.golang.org/grpc"
)

// askAnew has what is built next reach registries as the settings say now. BuildKit
// keeps how a repository is reached, mirrors, certificates and all, until nobody has
// asked for it for ten minutes, and only once a session that had a token for it is
// gone: a registry that was refused for its certificate would stay refused. Builds
// that run go on with what they have.
func askAnew() { resolver.DefaultPool.Clear() }

// anew does so before each build that a client asks for.
func anew(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if _, ok := req.(*controlapi.SolveRequest); ok {
		askAnew()
	}
	return handler(ctx, req)
}
