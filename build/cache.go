package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/disk"
	"github.com/moby/moby/api/types/build"
	"google.golang.org/grpc/metadata"

	"github.com/berth-engine/berth/build/sweep"
)

// PruneOptions say what of the cache to remove.
type PruneOptions struct {
	All      bool  // also what images or frontends use
	Reserved int64 // bytes that may stay in any case
	MaxUsed  int64 // bytes that may stay at most; 0: no limit
	MinFree  int64 // bytes that should be free on the disk after it
	Unused   time.Duration
	Filters  []string // BuildKit's: "id==x", "type==exec.cachemount"; all have to match
}

// Records lists what the cache holds, latest use first.
func (e *Engine) Records(ctx context.Context) ([]build.CacheRecord, error) {
	if e.unused() {
		return []build.CacheRecord{}, nil
	}
	p, err := e.open()
	if err != nil {
		return nil, err
	}
	list, err := p.worker.DiskUsage(ctx, client.DiskUsageInfo{})
	if err != nil {
		return nil, fmt.Errorf("build cache: %w", err)
	}
	out := shownRecords(list)
	slices.SortStableFunc(out, func(a, b build.CacheRecord) int { return lastUse(b).Compare(lastUse(a)) })
	return out, nil
}

// shownRecords are records as the Engine API has them.
func shownRecords(list []*client.UsageInfo) []build.CacheRecord {
	out := []build.CacheRecord{}
	for _, r := range list {
		out = append(out, build.CacheRecord{
			ID: r.ID, Parents: r.Parents, Type: string(r.RecordType), Description: r.Description,
			InUse: r.InUse, Shared: r.Shared, Size: r.Size, CreatedAt: r.CreatedAt, LastUsedAt: r.LastUsedAt, UsageCount: r.UsageCount,
		})
	}
	return out
}

// unused tells that nothing was ever built here.
func (e *Engine) unused() bool {
	_, err := os.Stat(e.o.Root)
	return errors.Is(err, os.ErrNotExist)
}

func lastUse(r build.CacheRecord) time.Time {
	if r.LastUsedAt != nil {
		return *r.LastUsedAt
	}
	return r.CreatedAt
}

// Prune removes records of the cache that no build uses, and tells which and how
// many bytes they had.
func (e *Engine) Prune(ctx context.Context, o PruneOptions) (ids []string, bytes int64, err error) {
	if e.unused() {
		return nil, 0, nil
	}
	p, err := e.open()
	if err != nil {
		return nil, 0, err
	}
	stream := &pruneStream{ctx: ctx}
	err = p.controller.Prune(&controlapi.PruneRequest{
		Filter: together(o.Filters), All: o.All, KeepDuration: int64(o.Unused),
		ReservedSpace: o.Reserved, MaxUsedSpace: o.MaxUsed, MinFreeSpace: o.MinFree,
	}, stream)
	if err != nil {
		return nil, 0, fmt.Errorf("prune the build cache: %w", err)
	}
	for _, r := range stream.records {
		ids = append(ids, r.ID)
		bytes += r.Size
	}
	return ids, bytes, nil
}

// WouldPrune lists what Prune would remove.
func (e *Engine) WouldPrune(ctx context.Context, o PruneOptions) ([]build.CacheRecord, error) {
	if e.unused() {
		return []build.CacheRecord{}, nil
	}
	p, err := e.open()
	if err != nil {
		return nil, err
	}
	all, err := p.worker.DiskUsage(ctx, client.DiskUsageInfo{})
	if err != nil {
		return nil, fmt.Errorf("build cache: %w", err)
	}
	stat, err := disk.GetDiskStat(e.o.Root)
	if err != nil {
		return nil, fmt.Errorf("free space for the build cache: %w", err)
	}
	list, err := sweep.Foretell(all, client.PruneInfo{
		Filter: together(o.Filters), All: o.All, KeepDuration: o.Unused,
		ReservedSpace: o.Reserved, MaxUsedSpace: o.MaxUsed, MinFreeSpace: o.MinFree,
	}, stat.Free, time.Now())
	if err != nil {
		return nil, err
	}
	return shownRecords(list), nil
}

// PruneFilter turns a filter of the Engine API into BuildKit's.
func PruneFilter(key, value string) (string, error) {
	switch key {
	case "id", "parent", "type", "description":
		if strings.ContainsAny(value, `"\`) {
			return "", fmt.Errorf("invalid filter '%s=%s'", key, value)
		}
		if key == "parent" {
			key = "parents"
		}
		return key + `~="^` + value + `$"`, nil
	case "inuse", "shared", "private":
		return key, nil
	}
	return "", fmt.Errorf("invalid filter '%s'", key)
}

// pruneStream is the server's side of Control.Prune, within the process.
type pruneStream struct {
	ctx     context.Context //nolint:containedctx // the stream's
	records []*controlapi.UsageRecord
}

func (s *pruneStream) Context() context.Context { return s.ctx }
func (s *pruneStream) Send(r *controlapi.UsageRecord) error {
	s.records = append(s.records, r)
	return nil
}

func (s *pruneStream) SendMsg(m any) error {
	if r, ok := m.(*controlapi.UsageRecord); ok {
		return s.Send(r)
	}
	return fmt.Errorf("message of type %T", m)
}
func (*pruneStream) RecvMsg(any) error            { return io.EOF }
func (*pruneStream) SetHeader(metadata.MD) error  { return nil }
func (*pruneStream) SendHeader(metadata.MD) error { return nil }
func (*pruneStream) SetTrailer(metadata.MD)       {}
