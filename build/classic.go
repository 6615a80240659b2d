package build

import (
	"cmp"
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
)

// What BuildKit says of a source that is not there: in the context, whose checksum
// it wants, and in another image or stage.
var (
	notInContext = regexp.MustCompile(`failed to calculate checksum of ref [^ ]+: "/([^"]*)": not found$`)
	notInImage   = regexp.MustCompile(`lstat /([^:]*): no such file or directory$`)
)

// unfit begins what BuildKit says of Dockerfiles that it cannot read. It gives such
// errors no kind.
var unfit = []string{"dockerfile parse error", "no build stage in current context"}

// unfinished stands between the name of a process and why it could not be run.
const unfinished = " did not complete successfully: "

// classicError is an error of a build in the words of Docker's classic builder, and
// of its kind. instruction is what failed, if it is known.
func (r *Request) classicError(err error, instruction string) error {
	instruction = strings.TrimPrefix(instruction, "ONBUILD ") // what a base had for its users
	if exit, ok := errors.AsType[*gatewayapi.ExitError](err); ok && instruction != "" {
		return &StepError{Command: commandOf(instruction), Code: int(exit.ExitCode), err: err}
	}
	text := err.Error()
	verb, args, _ := strings.Cut(instruction, " ")
	if verb == "COPY" || verb == "ADD" {
		from := strings.HasPrefix(args, "--from=") || strings.Contains(args, " --from=")
		m := notInContext.FindStringSubmatch(text)
		if m == nil && from {
			m = notInImage.FindStringSubmatch(text)
		}
		if m != nil {
			where := "file not found in build context or excluded by .dockerignore: "
			if from {
				where = ""
			}
			return &classic{verb + " failed: " + where + "stat " + m[1] + ": file does not exist", err}
		}
	}
	for _, begin := range unfit {
		if strings.HasPrefix(text, begin) {
			return errdefs.ErrInvalidArgument.WithMessage(text)
		}
	}
	switch {
	case text == "the Dockerfile cannot be empty":
		return errdefs.ErrInvalidArgument.WithMessage("the Dockerfile (" + cmp.Or(r.Dockerfile, "Dockerfile") + ") cannot be empty")
	case r.Target != "" && strings.HasPrefix(text, "target stage ") && strings.HasSuffix(text, " could not be found"):
		return errdefs.ErrInvalidArgument.WithMessage("failed to reach build target " + r.Target + " in Dockerfile")
	case verb == "RUN" && strings.HasPrefix(text, "process "):
		if _, why, ok := strings.Cut(text, unfinished); ok {
			return &classic{why, err}
		}
	}
	return err
}

// commandOf is the command of a RUN as Docker tells that it failed.
func commandOf(instruction string) string {
	text := strings.TrimPrefix(instruction, "RUN ")
	for strings.HasPrefix(text, "--") {
		_, text, _ = strings.Cut(text, " ")
	}
	var words []string
	if err := json.Unmarshal([]byte(text), &words); err == nil && len(words) > 0 {
		return strings.Join(words, " ") // without a shell
	}
	return "/bin/sh -c " + text
}

// classic is an error with the text of Docker's classic builder.
type classic struct {
	text string
	err  error
}

func (e *classic) Error() string { return e.text }
func (e *classic) Unwrap() error { return e.err }
