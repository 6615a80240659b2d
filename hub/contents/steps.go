package contents

import (
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Step is one line of the Dockerfile that made an image, as far as its history
// tells.
type Step struct {
	Instruction string // such as RUN; "" when the history does not say
	Arguments   string
	Comment     string
	Created     time.Time
	Layer       *Layer // what the step added; nil when it changed the configuration only
}

// maxSteps bounds a history, which has no bound of its own.
const maxSteps = 1024

// steps pairs the history with the layers: each entry that is not marked empty
// made the next one. Layers that the history does not tell of get a step without
// words, so that none is hidden.
func steps(history []ocispec.History, layers []Layer) []Step {
	var list []Step
	next := 0
	for _, h := range history[:min(len(history), maxSteps)] {
		instruction, arguments := instruction(h.CreatedBy)
		s := Step{Instruction: instruction, Arguments: arguments, Comment: h.Comment}
		if h.Created != nil {
			s.Created = *h.Created
		}
		if !h.EmptyLayer && next < len(layers) {
			s.Layer = &layers[next]
			next++
		}
		list = append(list, s)
	}
	for ; next < len(layers); next++ {
		list = append(list, Step{Layer: &layers[next]})
	}
	return list
}

// keywords are the instructions of a Dockerfile.
var keywords = map[string]bool{
	"ADD": true, "ARG": true, "CMD": true, "COPY": true, "ENTRYPOINT": true, "ENV": true, "EXPOSE": true, "FROM": true,
	"HEALTHCHECK": true, "LABEL": true, "MAINTAINER": true, "ONBUILD": true, "RUN": true, "SHELL": true, "STOPSIGNAL": true,
	"USER": true, "VOLUME": true, "WORKDIR": true,
}

// instruction undoes what builders write into the history: the classic one
// marks what it did not run by "#(nop)", and puts a shell before what it ran; both
// write ports as Go prints a map, and build arguments before a command
// ("|1 A=b /bin/sh -c …").
func instruction(created string) (string, string) {
	s := strings.TrimSuffix(strings.TrimSpace(created), "# buildkit")
	s = strings.TrimSpace(s)
	if _, after, found := strings.Cut(s, "#(nop)"); found {
		s = strings.TrimSpace(after)
	} else if after, found := strings.CutPrefix(s, "/bin/sh -c "); found {
		s = "RUN " + after
	} else if strings.HasPrefix(s, "|") {
		s = "RUN " + s
	}
	word, rest, _ := strings.Cut(s, " ")
	if !keywords[word] {
		return "", s
	}
	rest = strings.TrimSpace(rest)
	if word == "RUN" {
		if strings.HasPrefix(rest, "|") {
			if _, after, found := strings.Cut(rest, "/bin/sh -c "); found {
				rest = after
			}
		}
		rest = strings.TrimPrefix(rest, "/bin/sh -c ")
	}
	if list, found := strings.CutPrefix(rest, "map["); found && word == "EXPOSE" {
		rest = strings.ReplaceAll(strings.TrimSuffix(list, "]"), ":{}", "")
	}
	return word, rest
}
