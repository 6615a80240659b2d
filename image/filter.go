package image

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// filter decides what List shows: names one by one, then images.
type filter struct {
	records []func(images.Image) bool
	images  []func(images.Image, []*variant) bool
}

func (f *filter) record(r images.Image) bool {
	for _, match := range f.records {
		if !match(r) {
			return false
		}
	}
	return true
}

func (f *filter) image(r images.Image, variants []*variant) bool {
	for _, match := range f.images {
		if !match(r, variants) {
			return false
		}
	}
	return true
}

func badFilter(format string, args ...any) error {
	return fmt.Errorf("invalid filter "+format+"%w", append(args, kind{errdefs.ErrInvalidArgument})...)
}

func (s *Store) filter(ctx context.Context, v *view, filters map[string]map[string]bool) (*filter, error) {
	f := &filter{}
	for name, values := range filters {
		switch name {
		case "dangling":
			want, err := boolean(values)
			if err != nil {
				return nil, badFilter("'dangling=%s'", err.Error())
			}
			f.records = append(f.records, func(r images.Image) bool { return isDangling(r) == want })
		case "pinned":
			want, err := boolean(values)
			if err != nil {
				return nil, badFilter("'pinned=%s'", err.Error())
			}
			f.records = append(f.records, func(r images.Image) bool { return pinned(r) == want })
		case "reference":
			match, err := references(values)
			if err != nil {
				return nil, err
			}
			f.records = append(f.records, match)
		case "label", "label!":
			for text := range values {
				f.images = append(f.images, labelled(text, name == "label"))
			}
		case "until":
			for text := range values {
				t, err := timestamp(text, time.Now())
				if err != nil {
					return nil, fmt.Errorf("failed to parse value as time or duration: %q%w", text, kind{errdefs.ErrInvalidArgument})
				}
				f.images = append(f.images, func(r images.Image, m []*variant) bool { return created(r, m).Before(t) })
			}
		case "before", "since":
			for text := range values {
				match, err := s.relative(ctx, v, text, name == "before")
				if err != nil {
					return nil, err
				}
				f.images = append(f.images, match)
			}
		default:
			return nil, badFilter("'%s'", name)
		}
	}
	return f, nil
}

func (s *Store) relative(ctx context.Context, v *view, ref string, before bool) (func(images.Image, []*variant) bool, error) {
	record, _, err := v.find(ref)
	if err != nil {
		return nil, err
	}
	variants, err := s.variants(ctx, v, record.Target)
	if err != nil {
		return nil, err
	}
	t := created(record, variants)
	return func(r images.Image, m []*variant) bool {
		if before {
			return created(r, m).Before(t)
		}
		return created(r, m).After(t)
	}, nil
}

func boolean(values map[string]bool) (want bool, err error) {
	seen := map[bool]bool{}
	for text := range values {
		switch strings.ToLower(text) {
		case "1", "true":
			seen[true] = true
		case "0", "false":
			seen[false] = true
		default:
			return false, fmt.Errorf("[%s]", text)
		}
	}
	if len(seen) != 1 {
		return false, fmt.Errorf("[%d values]", len(values))
	}
	return seen[true], nil
}

// references matches a name against patterns as path.Match knows them, with and
// without its tag.
func references(patterns map[string]bool) (func(images.Image) bool, error) {
	for p := range patterns {
		if _, err := reference.FamiliarMatch(p, reference.TagNameOnly(probe)); err != nil {
			return nil, badFilter("'reference=%s'", p)
		}
	}
	return func(r images.Image) bool {
		n, err := reference.ParseNormalizedNamed(r.Name)
		if err != nil || isDangling(r) {
			return false
		}
		for p := range patterns {
			if ok, _ := reference.FamiliarMatch(p, n); ok {
				return true
			}
		}
		return false
	}, nil
}

// probe is any name, to try patterns on.
var probe, _ = reference.WithName("docker.io/library/probe")

// labelled matches images one of whose configs has (or not) "key" or "key=value".
func labelled(text string, want bool) func(images.Image, []*variant) bool {
	key, value, withValue := strings.Cut(text, "=")
	return func(_ images.Image, variants []*variant) bool {
		for _, m := range variants {
			if !m.isImage {
				continue
			}
			have, ok := m.config.Config.Labels[key]
			if ok && (!withValue || have == value) {
				return want
			}
		}
		return !want
	}
}

// timestamp reads what Docker takes for a time: seconds since 1970 with or
// without a fraction, RFC 3339 with parts left out, or a duration before now.
func timestamp(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	whole, fraction, _ := strings.Cut(text, ".")
	if seconds, err := strconv.ParseInt(whole, 10, 64); err == nil {
		nanos, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
		if err != nil {
			return time.Time{}, err
		}
		return time.Unix(seconds, nanos), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02", "2006-01-02Z07:00"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("not a time: %q", text)
}
