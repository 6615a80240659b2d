package build

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/distribution/reference"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"

	"github.com/berth-engine/berth/oci"
)

// stepName is how BuildKit names what an instruction does: "[2/5] RUN x",
// "[ 2/10] RUN x", "[builder 2/5] RUN x"; before it there may be a platform.
var stepName = regexp.MustCompile(`(?s)^\[(?:[^\]]* )?(\d+)/(\d+)\] (.*)$`)

// Steps tells of a build as the classic builder does: a line for each step and
// what its command prints, errors in red. Steps of several stages may run at once;
// they are told one after the other, in the order in which they began. What a step
// has made is no image here, so that none is told but the one that a stage is FROM.
type Steps struct {
	Send func(jsonstream.Message)
	// Here tells whether the image with an ID is in the store: a base from a
	// registry need not be. nil: none is.
	Here func(id digest.Digest) bool

	mu     sync.Mutex
	byID   map[string]*stepLog
	queue  []*stepLog
	failed string
}

// stepLog is one step until all is told of it.
type stepLog struct {
	head   string // the line that begins it
	text   string // of the instruction
	from   bool   // is no work of the build's
	base   digest.Digest
	output []string
	cached bool
	ended  bool
	told   bool // the head is out
}

var _ Progress = (*Steps)(nil)

// Failed is the instruction that failed.
func (s *Steps) Failed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Status takes a piece of BuildKit's progress.
func (s *Steps) Status(r *controlapi.StatusResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[string]*stepLog{}
	}
	for _, v := range r.Vertexes {
		s.vertex(v)
	}
	for _, l := range r.Logs {
		if step := s.byID[l.Vertex]; step != nil {
			step.output = append(step.output, printed(l))
		}
	}
	s.flush()
	return nil
}

func (s *Steps) vertex(v *controlapi.Vertex) {
	step := s.byID[v.Digest]
	if step == nil {
		m := stepName.FindStringSubmatch(v.Name)
		if m == nil || v.Started == nil {
			return
		}
		step = &stepLog{text: m[3]}
		var instruction string
		instruction, step.base, step.from = written(m[3])
		step.head = fmt.Sprintf("Step %s/%s : %s\n", m[1], m[2], instruction)
		s.byID[v.Digest] = step
		s.queue = append(s.queue, step)
	}
	step.cached = step.cached || v.Cached
	if v.Completed != nil {
		step.ended = true
	}
	// Others end with it, and may be told of first.
	if v.Error != "" && !strings.HasSuffix(v.Error, context.Canceled.Error()) && s.failed == "" {
		s.failed = step.text
	}
}

// printed is what a command has printed, as Docker has it: errors in red. The colour
// ends before the line does, because no line as Docker's "Removing intermediate
// container" comes between that and the next step, whose line is for scripts.
func printed(l *controlapi.VertexLog) string {
	if l.Stream != stderr {
		return string(l.Msg)
	}
	text, end := string(l.Msg), ""
	if cut, ok := strings.CutSuffix(text, "\n"); ok {
		text, end = cut, "\n"
	}
	return "\x1b[91m" + text + "\x1b[0m" + end
}

// stderr is the number of the stream in BuildKit's progress, too.
const stderr = 2

// written is an instruction as in the Dockerfile, and the ID of the image that it
// is FROM: BuildKit names an image in full and with the digest that it has found.
func written(instruction string) (text string, base digest.Digest, from bool) {
	image, from := strings.CutPrefix(instruction, "FROM ")
	if !from {
		return instruction, "", false
	}
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return instruction, "", true // of a stage
	}
	if d, ok := ref.(reference.Digested); ok {
		base = d.Digest()
	}
	if tagged, ok := ref.(reference.Tagged); ok {
		if ref, err = reference.WithTag(reference.TrimNamed(ref), tagged.Tag()); err != nil {
			return instruction, base, true
		}
	}
	return "FROM " + reference.FamiliarString(ref), base, true
}

// flush tells what is due: the first step that has not ended, as it goes on, and
// the next when it has.
func (s *Steps) flush() {
	for len(s.queue) > 0 {
		step := s.queue[0]
		if !step.told {
			s.stream(step.head)
			step.told = true
		}
		for _, text := range step.output {
			s.stream(text)
		}
		step.output = nil
		if !step.ended {
			return
		}
		switch {
		case step.from:
			if step.base != "" && s.Here != nil && s.Here(step.base) {
				s.stream(Arrow(step.base))
			}
		case step.cached:
			s.stream(" ---> Using cache\n")
		}
		s.queue = s.queue[1:]
	}
}

// Arrow is the line of the classic builder that names the image of a step.
func Arrow(id digest.Digest) string { return " ---> " + oci.ShortID(id) + "\n" }

func (s *Steps) stream(text string) { s.Send(jsonstream.Message{Stream: text}) }

// Trace tells of a build in BuildKit's own form, each piece in a message of the
// Engine API, as clients of version 2 read it.
type Trace struct {
	Send func(jsonstream.Message)
}

// traceID marks the messages of Trace.
const traceID = "moby.buildkit.trace"

var _ Progress = Trace{}

// Failed is empty: such clients see the failure in the trace.
func (Trace) Failed() string { return "" }

// Status takes a piece of BuildKit's progress.
func (t Trace) Status(r *controlapi.StatusResponse) error {
	data, err := r.MarshalVT()
	if err != nil {
		return err
	}
	text, err := json.Marshal(base64.StdEncoding.EncodeToString(data))
	if err != nil {
		return err
	}
	raw := json.RawMessage(text)
	t.Send(jsonstream.Message{ID: traceID, Aux: &raw})
	return nil
}
