package compat

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/storage"
)

// imageInspect is an image's description before API 1.52.
type imageInspect struct {
	image.InspectResponse
	Parent          string
	Comment         string
	DockerVersion   string
	Author          string
	VirtualSize     *int64 `json:",omitempty"` // before 1.44
	Container       any    `json:",omitempty"` // before 1.45
	ContainerConfig any    `json:",omitempty"` // before 1.45
	Config          any
}

// imageConfig never omitted these fields.
type imageConfig struct {
	*dockerspec.DockerOCIImageConfig
	Cmd        []string
	Entrypoint []string
	Env        []string
	Labels     map[string]string
	OnBuild    []string
	User       string
	Volumes    map[string]struct{}
	WorkingDir string
}

// imageConfig149 also had a container's fields, always empty, before API 1.50.
type imageConfig149 struct {
	imageConfig
	AttachStderr, AttachStdin, AttachStdout bool
	Domainname, Hostname, Image             string
	OpenStdin, StdinOnce, Tty               bool
}

// InspectImage lowers the answer of GET /images/{name}/json. driver is the
// storage driver's name.
func InspectImage(v Version, r image.InspectResponse, driver string) any {
	if r.RepoTags == nil {
		r.RepoTags = []string{}
	}
	if r.RepoDigests == nil {
		r.RepoDigests = []string{}
	}
	if v.before(53) {
		r.Identity = nil
	}
	if v.before(48) {
		r.Descriptor, r.Manifests = nil, nil
	}
	if v.Has(52) {
		return r
	}
	if r.GraphDriver == nil {
		r.GraphDriver = &storage.DriverData{Name: driver}
	}
	if r.Created == "" && v.before(44) {
		r.Created = time.Time{}.Format(time.RFC3339Nano)
	}
	old := imageInspect{InspectResponse: r, Comment: r.Comment, Author: r.Author}
	if v.before(44) {
		old.VirtualSize = &r.Size
	}
	cfg := r.Config
	if cfg == nil {
		cfg = &dockerspec.DockerOCIImageConfig{}
	}
	c := imageConfig{
		DockerOCIImageConfig: cfg,
		Cmd:                  cfg.Cmd, Entrypoint: cfg.Entrypoint, Env: cfg.Env, Labels: cfg.Labels,
		OnBuild: cfg.OnBuild, User: cfg.User, Volumes: cfg.Volumes, WorkingDir: cfg.WorkingDir,
	}
	old.Config = c
	if v.before(50) {
		old.Config = imageConfig149{imageConfig: c}
	}
	if v.before(45) {
		// Of the container the image was committed from, only what
		// docker-compose 1 reads: it keeps these volumes' data.
		built := imageConfig{DockerOCIImageConfig: &dockerspec.DockerOCIImageConfig{}, Volumes: cfg.Volumes}
		old.Container, old.ContainerConfig = "", imageConfig149{imageConfig: built}
	}
	return old
}

// imageSummary is an entry of the list of images before API 1.44.
type imageSummary struct {
	image.Summary
	VirtualSize int64
}

// ListImages lowers the answer of GET /images/json; never null.
func ListImages(v Version, list []image.Summary) any { return listImages(v, list, v.Has(51)) }

// listImages keeps the numbers of containers if they are counted: in lists only
// new versions have them, in /system/df all.
func listImages(v Version, list []image.Summary, counted bool) any {
	out := make([]image.Summary, 0, len(list))
	var old []imageSummary
	for _, s := range list {
		if v.before(43) && len(s.RepoTags) == 0 && len(s.RepoDigests) == 0 {
			s.RepoTags, s.RepoDigests = []string{"<none>:<none>"}, []string{"<none>@<none>"}
		}
		if s.RepoTags == nil {
			s.RepoTags = []string{}
		}
		if s.RepoDigests == nil {
			s.RepoDigests = []string{}
		}
		if v.before(47) {
			s.Manifests = nil
		}
		if v.before(48) {
			s.Descriptor = nil
		}
		if !counted {
			s.Containers = -1
		}
		out = append(out, s)
		old = append(old, imageSummary{s, s.Size})
	}
	if v.before(44) && len(old) > 0 {
		return old
	}
	return out
}

// progress is a message of a pull, push or load as clients before API 1.52 read
// it: with an error's text and a drawn bar beside the data.
type progress struct {
	jsonstream.Message
	Error string `json:"error,omitempty"`
	Bar   string `json:"progress,omitempty"`
}

// Progress lowers one message of a stream of progress.
func Progress(v Version, m jsonstream.Message) any {
	if v.Has(52) && m.Error == nil {
		return m
	}
	p := progress{Message: m}
	if m.Error != nil {
		p.Error = m.Error.Message // still read by scripts, in every version
	}
	if v.before(52) {
		p.Bar = bar(m.Progress)
	}
	return p
}

// barWidth is the number of characters of a drawn bar.
const barWidth = 50

func bar(p *jsonstream.Progress) string {
	if p == nil || p.Current <= 0 && p.Total <= 0 {
		return ""
	}
	size := func(n int64) string {
		if p.Units == "" {
			return units.HumanSize(float64(n))
		}
		return fmt.Sprint(n)
	}
	if p.Total <= 0 {
		return strings.TrimSpace(fmt.Sprintf("%8s %s", size(p.Current), p.Units))
	}
	done := min(int(p.Current*barWidth/p.Total), barWidth)
	s := "[" + strings.Repeat("=", done) + ">"
	if done < barWidth {
		s += strings.Repeat(" ", barWidth-done)
	}
	s += "]"
	if !p.HideCounts && p.Current <= p.Total {
		s += strings.TrimRight(fmt.Sprintf(" %8s/%s %s", size(p.Current), size(p.Total), p.Units), " ")
	}
	return s
}
