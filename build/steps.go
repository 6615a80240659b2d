package build

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/distribution/reference"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/moby/api/types/jsonstream"
)

// stepName is how BuildKit names what an instruction does: "[2/5] RUN x",
// "[builder 2/5] RUN x"; before it there may be a platform.
var stepName = regexp.MustCompile(`^\[(?:.* )?(\d+)/(\d+)\] (.*)$`)

// Steps tells of a build as the classic builder does: a line for each step and
// what its command prints. Steps of several stages may run at once; they are told
// one after the other, in the order in which they began.
type Steps struct {
	Send func(jsonstream.Message)

	mu     sync.Mutex
	byID   map[string]*stepLog
	queue  []*stepLog
	failed string
}

// stepLog is one step until all is told of it.
type stepLog struct {
	head    string // the line that begins it
	command string // without RUN
	text    []string
	cached  bool
	ended   bool
	told    bool // the head is out
}

var _ Progress = (*Steps)(nil)

// Failed names the command that failed.
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
			step.text = append(step.text, string(l.Msg))
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
		step = &stepLog{head: fmt.Sprintf("Step %s/%s : %s\n", m[1], m[2], written(m[3])), command: "/bin/sh -c " + strings.TrimPrefix(m[3], "RUN ")}
		s.byID[v.Digest] = step
		s.queue = append(s.queue, step)
	}
	step.cached = step.cached || v.Cached
	if v.Completed != nil {
		step.ended = true
	}
	if v.Error != "" && s.failed == "" {
		s.failed = step.command
	}
}

// written is an instruction as in the Dockerfile: BuildKit names an image in full
// and with the digest that it has found.
func written(instruction string) string {
	image, ok := strings.CutPrefix(instruction, "FROM ")
	if !ok {
		return instruction
	}
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return instruction // of a stage
	}
	if tagged, ok := ref.(reference.Tagged); ok {
		if ref, err = reference.WithTag(reference.TrimNamed(ref), tagged.Tag()); err != nil {
			return instruction
		}
	}
	return "FROM " + reference.FamiliarString(ref)
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
		for _, text := range step.text {
			s.stream(text)
		}
		step.text = nil
		if !step.ended {
			return
		}
		if step.cached {
			s.stream(" ---> Using cache\n")
		}
		s.queue = s.queue[1:]
	}
}

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
