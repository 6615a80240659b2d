package build

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/source"
	"github.com/moby/buildkit/source/local"
	"github.com/moby/moby/api/types/registry"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/berth-engine/berth/oci"
)

// untar writes a tar, compressed or not, into dir, and reads the stream to its end,
// past that of the archive. A link in it leads nowhere outside; what exceeds the
// bounds is InvalidArgument.
func untar(ctx context.Context, dir string, r io.Reader, bounds oci.Bounds) error {
	plain, err := bounds.Decompress(r)
	if err != nil {
		return err
	}
	defer plain.Close()
	_, err = archive.Apply(ctx, dir, plain, archive.WithNoSameOwner(), archive.WithConvertWhiteout(plainFile), archive.WithFilter(bounds.Counter()))
	if err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	// As Docker does. net/http panics when it comes to the end of a request only
	// after its answer, which was written meanwhile, and the connection is lost.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return nil
}

// servedKey is the shared key of the sessions that serve makes, and of no others.
const servedKey = "engine"

// directories is the source of what sessions have. BuildKit takes files that it has
// got before, from any build, for unchanged if their size and time are the same.
// Tars know only whole seconds, and many have one time for all files: of those that
// were unpacked here everything is taken anew, at no more cost than a copy.
type directories struct{ source.Source }

// Resolve makes an instance.
func (d directories) Resolve(ctx context.Context, id source.Identifier, sm *session.Manager, vtx solver.Vertex) (source.SourceInstance, error) {
	l, ok := id.(*local.LocalIdentifier)
	if !ok {
		return nil, fmt.Errorf("source %T is no directory of a session", id)
	}
	if caller, err := sm.Get(ctx, l.SessionID, true); err == nil && caller != nil && caller.SharedKey() == servedKey {
		anew := *l
		anew.Differ = fsutil.DiffNone
		l = &anew
	}
	return d.Source.Resolve(ctx, l, sm, vtx)
}

// serve makes a session within the process that has a directory as context, if
// there is one, and credentials.
func (p *parts) serve(ctx context.Context, dir string, auths map[string]registry.AuthConfig) (id string, stop func(), err error) {
	s, err := session.NewSession(ctx, servedKey)
	if err != nil {
		return "", nil, err
	}
	if dir != "" {
		root, err := fsutil.NewFS(dir)
		if err != nil {
			return "", nil, err
		}
		root, err = fsutil.NewFilterFS(root, &fsutil.FilterOpt{Map: asRoot})
		if err != nil {
			return "", nil, err
		}
		s.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": root, "dockerfile": root}))
	}
	s.Allow(credentials{auths: auths})
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx, func(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _ = p.sessions.HandleConn(ctx, theirs, meta) }()
			return ours, nil
		})
	}()
	return s.ID(), func() {
		cancel()
		_ = s.Close()
		<-done
	}, nil
}

// credentials answer the solver's question for a registry's.
type credentials struct {
	auth.UnimplementedAuthServer
	auths map[string]registry.AuthConfig
}

func (c credentials) Register(server *grpc.Server) { auth.RegisterAuthServer(server, c) }

func (c credentials) Credentials(_ context.Context, r *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	host := r.Host
	if host == "registry-1.docker.io" {
		host = "https://index.docker.io/v1/"
	}
	for name, a := range c.auths {
		if name == host || hostOf(name) == host {
			if a.IdentityToken != "" {
				return &auth.CredentialsResponse{Secret: a.IdentityToken}, nil
			}
			return &auth.CredentialsResponse{Username: a.Username, Secret: a.Password}, nil
		}
	}
	return &auth.CredentialsResponse{}, nil
}

// The two ways to have tokens fetched by the client: it is told that we do not.
func (credentials) FetchToken(context.Context, *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	return nil, status.Error(codes.Unavailable, "no token of ours")
}

func (credentials) GetTokenAuthority(context.Context, *auth.GetTokenAuthorityRequest) (*auth.GetTokenAuthorityResponse, error) {
	return nil, status.Error(codes.Unavailable, "no authority of ours")
}

func (credentials) VerifyTokenAuthority(context.Context, *auth.VerifyTokenAuthorityRequest) (*auth.VerifyTokenAuthorityResponse, error) {
	return nil, status.Error(codes.Unavailable, "no authority of ours")
}

// hostOf is the host of a registry that a client names by an address.
func hostOf(name string) string {
	if !strings.Contains(name, "://") {
		return strings.TrimSuffix(name, "/")
	}
	if u, err := url.Parse(name); err == nil {
		return u.Host
	}
	return name
}

// plainFile takes names that mean removal in a layer for what they are here.
func plainFile(*tar.Header, string) (bool, error) { return true, nil }

// asRoot gives all files of a context to root, as clients of builds do.
func asRoot(_ string, s *types.Stat) fsutil.MapResult {
	s.Uid, s.Gid = 0, 0
	return fsutil.MapResultKeep
}
