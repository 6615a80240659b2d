package oci

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// maxReference bounds what is given to the parser. The longest valid name is a
// repository of 255 bytes with its domain, a tag of 128 and a digest.
const maxReference = 1024

// ParseName gives the full form of an image's name as a user writes it:
// "busybox" becomes docker.io/library/busybox:latest. A name with tag and digest
// keeps only the digest, which decides alone. The error has the kind
// errdefs.InvalidArgument and Docker's text.
func ParseName(s string) (reference.Named, error) {
	named, err := ParseRepository(s)
	if err != nil {
		return nil, err
	}
	if d, ok := named.(reference.Digested); ok {
		named, err = reference.WithDigest(reference.TrimNamed(named), d.Digest())
		if err != nil {
			return nil, invalid(err)
		}
	}
	return reference.TagNameOnly(named), nil
}

// ParseRepository is ParseName without the default tag: what s leaves out stays
// out, and a tag beside a digest is kept.
func ParseRepository(s string) (reference.Named, error) {
	if len(s) > maxReference {
		return nil, invalid(reference.ErrReferenceInvalidFormat)
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return nil, invalid(err)
	}
	return named, checkDigest(named)
}

// ParseNameOrID is ParseName for what may also be an image's full ID, with or
// without "sha256:". Exactly one of the results is set. A short ID is a valid
// name, too: the caller tries both.
func ParseNameOrID(s string) (reference.Named, digest.Digest, error) {
	if len(s) <= maxReference {
		ref, err := reference.ParseAnyReference(s)
		if err != nil {
			return nil, "", invalid(err)
		}
		if _, named := ref.(reference.Named); !named {
			if d, ok := ref.(reference.Digested); ok {
				if err := d.Digest().Validate(); err != nil {
					return nil, "", invalid(err)
				}
				return nil, d.Digest(), nil
			}
		}
	}
	named, err := ParseName(s)
	return named, "", err
}

// IDPrefix returns the hexadecimal digits of what may be an image's ID or the
// start of one, with or without "sha256:"; "" if s cannot be that.
func IDPrefix(s string) string {
	hex := strings.TrimPrefix(s, digest.SHA256.String()+":")
	if hex == "" || len(hex) > digest.SHA256.Size()*2 {
		return ""
	}
	if strings.Trim(hex, "0123456789abcdef") != "" {
		return ""
	}
	return hex
}

// ShortID is the form in which IDs and layers are shown: the first 12 digits.
func ShortID(d digest.Digest) string {
	_, hex, found := strings.Cut(d.String(), ":")
	if !found {
		hex = d.String()
	}
	return hex[:min(len(hex), 12)]
}

func checkDigest(named reference.Named) error {
	if d, ok := named.(reference.Digested); ok {
		if err := d.Digest().Validate(); err != nil {
			return invalid(err)
		}
	}
	return nil
}

func invalid(err error) error { return fmt.Errorf("%w%w", err, quiet{errdefs.ErrInvalidArgument}) }

// quiet adds a kind to an error without adding to its text.
type quiet struct{ kind error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.kind }
