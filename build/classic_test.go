package build

import (
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
)

// TestClassicError: BuildKit's errors as Docker's classic builder tells them.
func TestClassicError(t *testing.T) {
	sum := `failed to compute cache key: failed to calculate checksum of ref a1::b2: `
	for _, c := range []struct {
		instruction, says, want string
		kind                    func(error) bool
	}{
		{"COPY nosuch /x", sum + `"/nosuch": not found`, "COPY failed: file not found in build context or excluded by .dockerignore: stat nosuch: file does not exist", nil},
		{"ADD --chown=1:1 a/nosuch /x", sum + `"/a/nosuch": not found`, "ADD failed: file not found in build context or excluded by .dockerignore: stat a/nosuch: file does not exist", nil},
		{"COPY --from=one /nosuch /x", `lstat /nosuch: no such file or directory`, "COPY failed: stat nosuch: file does not exist", nil},
		{"COPY --chown=1:1 --from=one /nosuch /x", sum + `"/nosuch": not found`, "COPY failed: stat nosuch: file does not exist", nil},
		{"COPY a /x", "no space left on device", "no space left on device", nil},
		{"RUN true", `process "/bin/sh -c true" did not complete successfully: unable to find user a: no matching entries in passwd file`, "unable to find user a: no matching entries in passwd file", nil},
		{"", "dockerfile parse error on line 2: unknown instruction: NOSUCH", "dockerfile parse error on line 2: unknown instruction: NOSUCH", errdefs.IsInvalidArgument},
		{"", "no build stage in current context", "no build stage in current context", errdefs.IsInvalidArgument},
		{"", "the Dockerfile cannot be empty", "the Dockerfile (Other) cannot be empty", errdefs.IsInvalidArgument},
		{"", `target stage "one" could not be found`, "failed to reach build target one in Dockerfile", errdefs.IsInvalidArgument},
	} {
		r := &Request{Dockerfile: "Other", Target: "one"}
		err := r.classicError(errors.New(c.says), c.instruction)
		if err.Error() != c.want || c.kind != nil && !c.kind(err) || c.kind == nil && errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %s: %v", c.instruction, c.says, err)
		}
	}
}

// TestStepError: the command that failed is told as Docker tells it.
func TestStepError(t *testing.T) {
	for instruction, want := range map[string]string{
		`RUN exit 3`: "/bin/sh -c exit 3",
		`RUN --mount=type=cache,target=/c --network=none exit 3`: "/bin/sh -c exit 3",
		`RUN ["sh", "-c", "exit 3"]`:                             "sh -c exit 3",
		`ONBUILD RUN exit 3`:                                     "/bin/sh -c exit 3",
		`RUN [ -e /nosuch ]`:                                     "/bin/sh -c [ -e /nosuch ]",
	} {
		err := (&Request{}).classicError(&gatewayapi.ExitError{ExitCode: 3}, instruction)
		failed, ok := errors.AsType[*StepError](err)
		if !ok || failed.Code != 3 || err.Error() != "The command '"+want+"' returned a non-zero code: 3" {
			t.Errorf("%s: %v", instruction, err)
		}
	}
}
