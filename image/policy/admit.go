package policy

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// Signature is one of an image, as cosign stores it
// (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md). Nothing
// in it is to be believed before it is verified.
type Signature struct {
	Payload []byte // the statement that is signed, in JSON
	Base64  string // the signature over it
}

// statement is the payload ("simple signing").
type statement struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest digest.Digest `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional json.RawMessage `json:"optional"`
}

const statementType = "cosign container image signature"

// Refuses tells, before anything is asked of a registry, whether nothing by that
// name may come: PermissionDenied.
func (p *Policy) Refuses(ref reference.Named) error {
	for _, r := range p.rules(ref) {
		if r.kind == reject {
			return refusal(ref, errors.New("images by that name are rejected"))
		}
	}
	return nil
}

// Demands tells whether Admit will ask for the signatures of an image.
func (p *Policy) Demands(ref reference.Named) bool {
	for _, r := range p.rules(ref) {
		if r.kind == signed {
			return true
		}
	}
	return false
}

// Admit decides whether the image with that digest may come by the name ref:
// PermissionDenied with the reason if not. signatures fetches those that there are,
// once, and only if they are needed.
func (p *Policy) Admit(ctx context.Context, ref reference.Named, target digest.Digest, signatures func(context.Context) ([]Signature, error)) error {
	if err := p.Refuses(ref); err != nil || !p.Demands(ref) {
		return err
	}
	list, err := signatures(ctx)
	if err != nil {
		return fmt.Errorf("signatures of %s: %w", reference.FamiliarString(ref), err)
	}
	for _, r := range p.rules(ref) {
		if r.kind != signed {
			continue
		}
		if err := r.met(ref, target, list); err != nil {
			return refusal(ref, err)
		}
	}
	return nil
}

// met looks for a signature that meets the rule. If there is none the error is
// about the one that came closest.
func (r *rule) met(ref reference.Named, target digest.Digest, list []Signature) error {
	why := fmt.Errorf("%s has no signature", target)
	best := 0
	for _, s := range list {
		how, err := r.check(ref, target, s)
		if err == nil {
			return nil
		}
		if how > best {
			best, why = how, err
		}
	}
	return why
}

// check verifies one signature; with an error it tells how far it came. Nothing of
// the statement is read before the signature is good.
func (r *rule) check(ref reference.Named, target digest.Digest, s Signature) (how int, err error) {
	raw, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil {
		return 1, errors.New("a signature is no base64")
	}
	good := false
	for _, k := range r.keys {
		good = good || k.VerifySignature(bytes.NewReader(raw), bytes.NewReader(s.Payload)) == nil
	}
	if !good {
		return 2, fmt.Errorf("no signature of %s is by an accepted key", target)
	}
	var said statement
	if err := json.Unmarshal(s.Payload, &said); err != nil {
		return 3, fmt.Errorf("a signed statement is no JSON: %w", err)
	}
	if said.Critical.Type != statementType {
		return 4, fmt.Errorf("a statement of type %q is signed", said.Critical.Type)
	}
	if said.Critical.Image.Digest != target {
		return 5, fmt.Errorf("the signature is for another image, %q", said.Critical.Image.Digest)
	}
	if !r.name.accepts(ref, said.Critical.Identity.Reference) {
		return 6, fmt.Errorf("the signature is for the name %q, which the rule (%s) does not accept; cosign signs for a repository: see matchRepository",
			said.Critical.Identity.Reference, r.name.kind)
	}
	return 0, nil
}

func refusal(ref reference.Named, why error) error {
	return fmt.Errorf("the signature policy does not allow %s: %w: %w", reference.FamiliarString(ref), why, errdefs.ErrPermissionDenied)
}
