package oci

import (
	"slices"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotations by which an index says that a manifest is about another one in it,
// as BuildKit writes them.
const (
	AnnotationReferenceType   = "vnd.docker.reference.type"
	AnnotationReferenceDigest = "vnd.docker.reference.digest"
)

// ForPlatforms chooses of an index's manifests those for some platforms, what is
// attested of them, and those that do not say what they are for. No platforms
// mean all.
func ForPlatforms(manifests []ocispec.Descriptor, want []ocispec.Platform) []ocispec.Descriptor {
	if len(want) == 0 {
		return manifests
	}
	chosen := map[digest.Digest]bool{}
	for _, m := range manifests {
		chosen[m.Digest] = m.Platform == nil || IsPlatform(*m.Platform, want)
	}
	var list []ocispec.Descriptor
	for _, m := range manifests {
		about := digest.Digest(m.Annotations[AnnotationReferenceDigest])
		if chosen[m.Digest] && about == "" || about != "" && chosen[about] {
			list = append(list, m)
		}
	}
	return list
}

// IsPlatform tells whether a platform is one of a list.
func IsPlatform(p ocispec.Platform, list []ocispec.Platform) bool {
	return slices.ContainsFunc(list, func(w ocispec.Platform) bool { return platforms.OnlyStrict(w).Match(p) })
}
