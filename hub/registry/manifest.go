package registry

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/berth-engine/berth/hub/account"
	"github.com/berth-engine/berth/hub/catalog"
	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Manifests are the storage's; the catalogue is told of each change.
func (r *repository) Manifests(ctx context.Context, options ...distribution.ManifestServiceOption) (distribution.ManifestService, error) {
	inner, err := r.Repository.Manifests(ctx, options...)
	if err != nil {
		return nil, err
	}
	return &manifests{inner, r}, nil
}

type manifests struct {
	distribution.ManifestService
	r *repository
}

func unknownManifest(d digest.Digest) errcode.Error {
	return errcode.ErrorCodeManifestUnknown.WithDetail(map[string]string{"digest": d.String()})
}

// Put stores a manifest, records it, and moves the tag to it, in this order: a
// tag never leads to what is not there, and when Put returns, both last.
func (m *manifests) Put(ctx context.Context, manifest distribution.Manifest, options ...distribution.ManifestServiceOption) (digest.Digest, error) {
	var parts []digest.Digest
	for _, part := range manifest.References() {
		parts = append(parts, part.Digest)
	}
	_, payload, err := manifest.Payload()
	if err != nil {
		return "", err
	}
	if err := m.r.r.relies(ctx, append(parts, digest.FromBytes(payload))...); err != nil {
		return "", err
	}
	d, err := m.ManifestService.Put(ctx, manifest, options...)
	if err != nil {
		return d, err
	}
	described, err := describe(d, manifest)
	if err != nil {
		return d, errcode.ErrorCodeManifestInvalid.WithMessage(err.Error())
	}
	tag := tagOf(options)
	c, err := m.r.r.o.Catalog.Pushed(ctx, m.r.by, m.r.catalogued, described, tag)
	if err != nil {
		return d, failure(err, unknownManifest(d))
	}
	m.r.tagged = tag
	if described.Subject != "" {
		m.r.rq.header.Set("OCI-Subject", described.Subject)
	}
	m.r.r.changed(ctx, c)
	return d, nil
}

func tagOf(options []distribution.ManifestServiceOption) string {
	for _, o := range options {
		if with, ok := o.(distribution.WithTagOption); ok {
			return with.Tag
		}
	}
	return ""
}

// Get returns a manifest and counts the pull.
func (m *manifests) Get(ctx context.Context, d digest.Digest, options ...distribution.ManifestServiceOption) (distribution.Manifest, error) {
	manifest, err := m.ManifestService.Get(ctx, d, options...)
	if err != nil || m.r.rq.method != http.MethodGet {
		return manifest, err
	}
	tag := tagOf(options)
	if tag == "" {
		// Clients ask for a tag's digest first and then for that. What no tag leads to
		// is a part of an image that was counted.
		tags, err := m.r.r.o.Catalog.TagsOf(ctx, m.r.catalogued, d.String())
		if err != nil {
			return nil, err
		}
		if len(tags) == 0 {
			return manifest, nil
		}
		tag = tags[0]
	}
	m.r.r.o.Catalog.Pulled(m.r.catalogued, tag)
	mediaType, payload, err := manifest.Payload()
	if err != nil {
		return nil, err
	}
	m.r.r.emit(ctx, Event{
		Action: "pull", Repo: m.r.catalogued, Tag: tag, Digest: d.String(), MediaType: mediaType, Size: int64(len(payload)), Principal: m.r.by,
	})
	return manifest, nil
}

// Delete forgets a manifest with its tags and then removes it.
func (m *manifests) Delete(ctx context.Context, d digest.Digest) error {
	if there, err := m.Exists(ctx, d); err != nil || !there {
		if err == nil {
			err = distribution.ErrBlobUnknown // which becomes MANIFEST_UNKNOWN
		}
		return err
	}
	changes, err := m.r.r.o.Catalog.Deleted(ctx, m.r.by, m.r.catalogued, d.String())
	if err != nil {
		return m.r.refused(err)
	}
	if err := m.ManifestService.Delete(ctx, d); err != nil {
		return err
	}
	for _, c := range changes {
		m.r.r.changed(ctx, c)
	}
	return nil
}

// describe reads what the catalogue keeps of a manifest.
func describe(d digest.Digest, manifest distribution.Manifest) (catalog.Manifest, error) {
	mediaType, payload, err := manifest.Payload()
	if err != nil {
		return catalog.Manifest{}, err
	}
	var content struct {
		ArtifactType string              `json:"artifactType"`
		Config       *ocispec.Descriptor `json:"config"`
		Subject      *ocispec.Descriptor `json:"subject"`
		Annotations  map[string]string   `json:"annotations"`
	}
	if err := json.Unmarshal(payload, &content); err != nil {
		return catalog.Manifest{}, err
	}
	m := catalog.Manifest{Digest: d.String(), MediaType: mediaType, ArtifactType: content.ArtifactType, Size: int64(len(payload))}
	m.Total = m.Size
	for _, part := range manifest.References() {
		m.Total += part.Size
	}
	if m.ArtifactType == "" && content.Config != nil {
		m.ArtifactType = content.Config.MediaType // as the specification says for referrers
	}
	if content.Subject != nil {
		if err := content.Subject.Digest.Validate(); err != nil {
			return catalog.Manifest{}, err
		}
		m.Subject = content.Subject.Digest.String()
		if len(content.Annotations) > 0 {
			text, err := json.Marshal(content.Annotations)
			if err != nil {
				return catalog.Manifest{}, err
			}
			m.Annotations = string(text)
		}
	}
	return m, nil
}

func (r *Registry) adoptManifest(ctx context.Context, by account.Principal, c catalog.Repository, from distribution.ManifestService, d digest.Digest, tag string) error {
	manifest, err := from.Get(ctx, d)
	if err != nil {
		return err
	}
	described, err := describe(d, manifest)
	if err != nil {
		return err
	}
	for _, part := range manifest.References() {
		if there, err := from.Exists(ctx, part.Digest); err == nil && there {
			if err := r.adoptManifest(ctx, by, c, from, part.Digest, ""); err != nil {
				return err
			}
		}
	}
	_, err = r.o.Catalog.Pushed(ctx, by, c, described, tag)
	return err
}
