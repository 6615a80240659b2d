package checkpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// TestMain is criu as well (criu swrk 3), so that what is asked of it, and how its
// answers are taken, can be looked at on any kernel.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "swrk" && os.Args[2] == "3" {
		os.Exit(new(fake).serve())
	}
	os.Exit(m.Run())
}

// How the fake is: what its version is and what it can, and where it writes what
// it was asked, a line of JSON each.
const (
	fakeVersion  = "FAKE_CRIU_VERSION"
	fakeFeatures = "FAKE_CRIU_FEATURES"
	fakeAsked    = "FAKE_CRIU_ASKED"
)

type fake struct{}

// serve answers until the other end is closed. After a pre-dump criu wants
// another request, and says by its status that there was none.
func (f *fake) serve() int {
	status := 0
	for {
		req, ok := f.receive()
		if !ok {
			return status
		}
		if err := f.note(req); err != nil {
			return 9
		}
		resp := &rpc.CriuResp{Type: req.Type, Success: new(true)}
		switch req.GetType() {
		case rpc.CriuReqType_VERSION:
			v := &rpc.CriuVersion{MajorNumber: new(int32(0)), MinorNumber: new(int32(0))}
			if _, err := fmt.Sscanf(os.Getenv(fakeVersion), "%d.%d", v.MajorNumber, v.MinorNumber); err != nil {
				return 9
			}
			resp.Version = v
		case rpc.CriuReqType_FEATURE_CHECK:
			has := func(name string) *bool { return new(strings.Contains(os.Getenv(fakeFeatures), name)) }
			resp.Features = &rpc.CriuFeatures{MemTrack: has("mem_track"), LazyPages: has("lazy_pages")}
		case rpc.CriuReqType_PRE_DUMP:
			status = 1
		case rpc.CriuReqType_DUMP:
			if req.GetOpts().GetLazyPages() && !f.tell("status-ready") {
				return 9
			}
		}
		if !f.send(resp) {
			return 9
		}
	}
}

// tell announces what it has come to, and wants to hear that this is fine.
func (f *fake) tell(script string) bool {
	if !f.send(&rpc.CriuResp{Type: new(rpc.CriuReqType_NOTIFY), Success: new(true), Notify: &rpc.CriuNotify{Script: &script}}) {
		return false
	}
	req, ok := f.receive()
	return ok && req.GetType() == rpc.CriuReqType_NOTIFY && req.GetNotifySuccess()
}

const fakeSocket = 3

func (f *fake) receive() (*rpc.CriuReq, bool) {
	data := make([]byte, 1<<16)
	n, err := unix.Read(fakeSocket, data)
	if err != nil || n == 0 {
		return nil, false
	}
	req := new(rpc.CriuReq)
	return req, req.UnmarshalVT(data[:n]) == nil
}

func (f *fake) send(resp *rpc.CriuResp) bool {
	data, err := resp.MarshalVT()
	if err == nil {
		_, err = unix.Write(fakeSocket, data)
	}
	return err == nil
}

func (f *fake) note(req *rpc.CriuReq) error {
	out, err := os.OpenFile(os.Getenv(fakeAsked), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	return json.NewEncoder(out).Encode(req)
}

// asked has a dump made by the fake, and returns the requests by their kinds.
func asked(t *testing.T, d *Dump, version, features string) (kinds []string, last *rpc.CriuReq, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "asked")
	t.Setenv(fakeVersion, version)
	t.Setenv(fakeFeatures, features)
	t.Setenv(fakeAsked, file)
	d.Program, d.Pid = self, 1
	if d.Images == "" {
		d.Images = t.TempDir()
	}
	err = d.Run(context.Background())
	data, rerr := os.ReadFile(file)
	if rerr != nil {
		t.Fatal(rerr, err)
	}
	for line := range strings.Lines(string(data)) {
		last = new(rpc.CriuReq)
		if err := json.Unmarshal([]byte(line), last); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, last.GetType().String())
	}
	return kinds, last, err
}

// TestDumps: how criu is asked, and what is asked of it before.
func TestDumps(t *testing.T) {
	for _, row := range []struct {
		name, version, features string
		dump                    Dump
		kinds                   string
		refused                 string
	}{
		{"a dump", "3.16", "", Dump{}, "VERSION DUMP", ""},
		{"a dump upon an earlier one", "3.17", "", Dump{Parent: "../x"}, "VERSION DUMP", ""},
		{"a pre-dump", "4.2", "mem_track", Dump{PreDump: true}, "VERSION FEATURE_CHECK PRE_DUMP", ""},
		{"a pre-dump without tracking", "4.2", "lazy_pages", Dump{PreDump: true}, "VERSION FEATURE_CHECK", "CONFIG_MEM_SOFT_DIRTY"},
		{"a pre-dump to a server", "4.2", "mem_track", Dump{PreDump: true, PageServer: &PageServer{"h", 1}}, "VERSION FEATURE_CHECK PRE_DUMP", ""},
		{"a dump to a server", "4.2", "", Dump{PageServer: &PageServer{"h", 1}}, "VERSION DUMP", ""},
		{"a lazy dump", "4.2", "lazy_pages", Dump{Options: Options{LazyPages: true}, PageServer: &PageServer{"h", 1}}, "VERSION FEATURE_CHECK DUMP", ""},
		{"a lazy dump without userfaultfd", "4.2", "mem_track", Dump{Options: Options{LazyPages: true}}, "VERSION FEATURE_CHECK", "userfaultfd"},
		{"an old criu", "3.15", "", Dump{}, "VERSION", "3.16 is needed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ready := 0
			row.dump.Serving = func() error { ready++; return nil }
			kinds, last, err := asked(t, &row.dump, row.version, row.features)
			if got := strings.Join(kinds, " "); got != row.kinds {
				t.Errorf("asked: %s", got)
			}
			if row.refused == "" && err != nil || row.refused != "" && (!errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), row.refused)) {
				t.Errorf("error: %v", err)
			}
			if want := row.dump.LazyPages && row.refused == ""; want != (ready == 1) {
				t.Errorf("ready %d times", ready)
			}
			if ps := last.GetOpts().GetPs(); row.refused == "" && (ps.GetPort() != 0) != (row.dump.PageServer != nil) {
				t.Errorf("page server: %v", ps)
			}
		})
	}
}

// TestNotReady: that nobody could be told ends a lazy dump.
func TestNotReady(t *testing.T) {
	d := &Dump{Options: Options{LazyPages: true}, Serving: func() error { return os.ErrClosed }}
	if kinds, _, err := asked(t, d, "4.2", "lazy_pages"); err == nil || !slices.Contains(kinds, "DUMP") {
		t.Errorf("%v: %v", kinds, err)
	}
}
