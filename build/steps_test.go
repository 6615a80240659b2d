package build

import (
	"strings"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	hereID   = "sha256:aa31eb533260ae7f1c170d933ac371415a9f73f6fc4e1af47e234c089d20f134"
	absentID = "sha256:f1f6d6f0ef5ba131979c37289365523b501c1bfee73dad8055a85e1a8cd7a7a3"
)

// toldOf is what Steps sends of pieces of progress, which are one vertex or log each.
func toldOf(t *testing.T, pieces ...any) (string, *Steps) {
	t.Helper()
	var out strings.Builder
	s := &Steps{
		Send: func(m jsonstream.Message) { out.WriteString(m.Stream) },
		Here: func(id digest.Digest) bool { return id == hereID },
	}
	for _, p := range pieces {
		r := &controlapi.StatusResponse{}
		switch p := p.(type) {
		case *controlapi.Vertex:
			r.Vertexes = append(r.Vertexes, p)
		case *controlapi.VertexLog:
			r.Logs = append(r.Logs, p)
		}
		if err := s.Status(r); err != nil {
			t.Fatal(err)
		}
	}
	return out.String(), s
}

// begun, done and cached are what BuildKit tells of a step, whose name is its
// digest here; failure is how it ended otherwise.
func begun(name string) *controlapi.Vertex {
	return &controlapi.Vertex{Digest: name, Name: name, Started: timestamppb.Now()}
}

func done(name string) *controlapi.Vertex {
	v := begun(name)
	v.Completed = timestamppb.Now()
	return v
}

func cached(name string) *controlapi.Vertex {
	v := done(name)
	v.Cached = true
	return v
}

func failure(name, err string) *controlapi.Vertex {
	v := done(name)
	v.Error = err
	return v
}

func printedBy(name string, stream int64, text string) *controlapi.VertexLog {
	return &controlapi.VertexLog{Vertex: name, Stream: stream, Msg: []byte(text)}
}

func TestSteps(t *testing.T) {
	const (
		from  = "[one 1/3] FROM docker.io/library/busybox:1@" + hereID
		far   = "[ 1/10] FROM docker.io/library/busybox:1@" + absentID
		run   = "[one 2/3] RUN echo [ 1/2] x"
		other = "[stage-1 2/3] COPY --from=one /a /b"
	)
	for name, c := range map[string]struct {
		pieces []any
		want   string
	}{
		"a base that is here":     {[]any{begun(from), done(from)}, "Step 1/3 : FROM busybox:1\n ---> aa31eb533260\n"},
		"a base is not cached":    {[]any{cached(from)}, "Step 1/3 : FROM busybox:1\n ---> aa31eb533260\n"},
		"a base that is not here": {[]any{cached(far)}, "Step 1/10 : FROM busybox:1\n"},
		"a base by digest alone":  {[]any{done("[1/1] FROM quay.io/a/b@" + hereID)}, "Step 1/1 : FROM quay.io/a/b@" + hereID + "\n ---> aa31eb533260\n"},
		"a base without digest":   {[]any{cached("[1/1] FROM Context")}, "Step 1/1 : FROM Context\n"},
		"work":                    {[]any{begun(run), done(run)}, "Step 2/3 : RUN echo [ 1/2] x\n"},
		"work done before":        {[]any{cached(run)}, "Step 2/3 : RUN echo [ 1/2] x\n ---> Using cache\n"},
		"both streams": {
			[]any{begun(run), printedBy(run, 1, "out\n"), printedBy(run, 2, "err\n"), done(run)},
			"Step 2/3 : RUN echo [ 1/2] x\nout\n\x1b[91merr\x1b[0m\n",
		},
		"two at once": {
			[]any{begun(run), begun(other), printedBy(other, 1, "later\n"), done(other), printedBy(run, 1, "first\n"), done(run)},
			"Step 2/3 : RUN echo [ 1/2] x\nfirst\nStep 2/3 : COPY --from=one /a /b\nlater\n",
		},
		"what is no step": {[]any{done("[internal] load build context"), done("exporting to image")}, ""},
	} {
		if got, _ := toldOf(t, c.pieces...); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestFailedStep: the step that failed is told, and not one that ended because of it.
func TestFailedStep(t *testing.T) {
	const sleeps, fails = "[a 2/2] RUN sleep 1000", "[b 2/2] RUN exit 3"
	_, s := toldOf(t, begun(sleeps), begun(fails),
		failure(sleeps, `process "/bin/sh -c sleep 1000" did not complete successfully: context canceled`),
		failure(fails, `process "/bin/sh -c exit 3" did not complete successfully: exit code: 3`))
	if got := s.Failed(); got != "RUN exit 3" {
		t.Errorf("%q", got)
	}
	if _, s := toldOf(t, done("[2/2] RUN true")); s.Failed() != "" {
		t.Errorf("%q failed", s.Failed())
	}
}
