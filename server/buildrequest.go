package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/berth-engine/berth/build"
)

// buildRequest reads the parameters of a build.
func buildRequest(r *request) (*build.Request, error) {
	q := r.query
	b := &build.Request{
		ID: q.Get("buildid"), Context: r.Body, Remote: q.Get("remote"), Session: q.Get("session"), Trace: q.Get("version") == "2",
		Dockerfile: q.Get("dockerfile"), Target: q.Get("target"), Platform: q.Get("platform"), Network: q.Get("networkmode"),
		NoCache: r.flag("nocache"), Pull: r.flag("pull"), Quiet: r.flag("q"), Squash: r.flag("squash"), Parent: q.Get("cgroupparent"),
	}
	if v := q.Get("version"); v != "" && v != "1" && v != "2" {
		return nil, invalid(fmt.Sprintf("invalid version %q", v))
	}
	for _, text := range q["securityopt"] {
		if text != "" && text != "[]" && text != "null" {
			return nil, invalid("security options are not supported on linux")
		}
	}
	if v := q.Get("isolation"); v != "" && v != "default" {
		return nil, invalid(fmt.Sprintf("unsupported isolation: %q", v))
	}
	var err error
	if b.Tags, err = build.ParseTags(q["t"]); err != nil {
		return nil, invalid(err.Error())
	}
	b.ExtraHosts = q["extrahosts"]
	for _, p := range []struct {
		name string
		into any
		bad  string // Docker's words before what is wrong
	}{
		{"outputs", &b.Exports, "invalid outputs specified"},
		{"ulimits", &b.Ulimits, "error reading ulimit settings"},
		{"buildargs", &b.Args, "error reading build args"},
		{"labels", &b.Labels, "error reading labels"},
		{"cachefrom", &b.CacheFrom, "error reading cache-from"},
	} {
		if text := q.Get(p.name); text != "" {
			if err := json.Unmarshal([]byte(text), p.into); err != nil {
				return nil, invalid(p.bad + ": " + err.Error())
			}
		}
	}
	if !b.Trace {
		b.Exports = nil // as in Docker, the classic builder makes an image
	}
	for name, into := range map[string]*int64{
		"shmsize": &b.ShmSize, "memory": &b.Limits.Memory, "memswap": &b.Limits.MemorySwap, "cpushares": &b.Limits.CPUShares,
		"cpuperiod": &b.Limits.CPUPeriod, "cpuquota": &b.Limits.CPUQuota,
	} {
		if text := q.Get(name); text != "" {
			if *into, err = strconv.ParseInt(text, 10, 64); err != nil {
				return nil, invalid(fmt.Sprintf("invalid %s %q: must be a number", name, text))
			}
		}
	}
	b.Limits.CpusetCpus, b.Limits.CpusetMems = q.Get("cpusetcpus"), q.Get("cpusetmems")
	if text := r.Header.Get("X-Registry-Config"); text != "" {
		// As Docker does, a header that does not decode counts as no credentials.
		if data, err := base64.URLEncoding.DecodeString(text); err == nil {
			_ = json.Unmarshal(data, &b.Auth)
		}
	}
	return b, nil
}
