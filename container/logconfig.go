package container

import (
	"maps"
	"os"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
)

// logLimits reads the size of one log file in bytes and the number of files;
// 0 means the sandbox's default.
func logLimits(l *container.LogConfig) (size int64, files int, err error) {
	if v := l.Config["max-size"]; v != "" && v != "-1" {
		if size, err = units.RAMInBytes(v); err != nil || size <= 0 {
			return 0, 0, invalid("invalid value for max-size: %s", v)
		}
	}
	if v := l.Config["max-file"]; v != "" {
		if files, err = strconv.Atoi(v); err != nil || files < 1 {
			return 0, 0, invalid("max-file cannot be less than 1")
		}
	}
	return size, files, nil
}

// logAttrs are the details that `logs --details` shows: the labels and
// variables that the log options name, and the tag.
func logAttrs(r *Record) map[string]string {
	attrs := map[string]string{}
	opts := r.HostConfig.LogConfig.Config
	for key := range strings.SplitSeq(opts["labels"], ",") {
		if v, ok := r.Config.Labels[strings.TrimSpace(key)]; ok && key != "" {
			attrs[strings.TrimSpace(key)] = v
		}
	}
	for key := range strings.SplitSeq(opts["env"], ",") {
		for _, e := range r.Config.Env {
			if k, v, _ := strings.Cut(e, "="); key != "" && k == strings.TrimSpace(key) {
				attrs[k] = v
			}
		}
	}
	if tag := opts["tag"]; tag != "" {
		attrs["tag"] = expandTag(tag, r)
	}
	return attrs
}

// expandTag replaces the fields that Docker documents for log tags. It is not
// a template engine: a tag cannot do more than name these.
func expandTag(tag string, r *Record) string {
	host, _ := os.Hostname()
	fields := map[string]string{
		"ID": short(r.ID), "FullID": r.ID, "Name": r.Name, "ImageID": short(r.Image.ID.Encoded()),
		"ImageFullID": r.Image.ID.String(), "ImageName": r.Config.Image, "DaemonName": "berth", "Hostname": host,
	}
	for name := range maps.Keys(fields) {
		tag = strings.ReplaceAll(tag, "{{."+name+"}}", fields[name])
	}
	return tag
}
