package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/api"
	"github.com/berth-engine/berth/test/golden"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

func inspected(tty bool) http.HandlerFunc {
	return answer(container.InspectResponse{
		ID: "c1full", Name: "/c1", State: &container.State{Running: true}, Config: &container.Config{Tty: tty}, HostConfig: &container.HostConfig{},
		NetworkSettings: &container.NetworkSettings{Ports: network.PortMap{
			network.MustParsePort("80/tcp"):  {{HostIP: netip.MustParseAddr("0.0.0.0"), HostPort: "8080"}, {HostIP: netip.MustParseAddr("::"), HostPort: "8080"}},
			network.MustParsePort("9/udp"):   {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: "99"}},
			network.MustParsePort("443/tcp"): nil,
		}},
	})
}

// oneSample is one with what goes into each column.
func oneSample() container.StatsResponse {
	s := container.StatsResponse{ID: "0123456789abcdef", Name: "/web"}
	s.CPUStats.CPUUsage.TotalUsage, s.PreCPUStats.CPUUsage.TotalUsage = 300, 100
	s.CPUStats.SystemUsage, s.PreCPUStats.SystemUsage, s.CPUStats.OnlineCPUs = 1800, 1000, 2
	s.MemoryStats = container.MemoryStats{Usage: 5 << 20, Limit: 8 << 20, Stats: map[string]uint64{"total_inactive_file": 2 << 20}}
	s.Networks = map[string]container.NetworkStats{"eth0": {RxBytes: 1000, TxBytes: 20}, "eth1": {RxBytes: 500}}
	s.BlkioStats.IoServiceBytesRecursive = []container.BlkioStatEntry{{Op: "Read", Value: 4096}, {Op: "Total", Value: 4096}}
	s.PidsStats.Current = 7
	return s
}

// TestVerbs runs each verb's common use against fixed answers.
func TestVerbs(t *testing.T) {
	t.Setenv("TZ", "UTC")
	vol := volume.Volume{Name: "v1", Driver: "local", Mountpoint: "/m/v1", Labels: map[string]string{"a": "b"}, Scope: "local"}
	routes := map[string]http.HandlerFunc{
		"GET /containers/c1/json":  inspected(false),
		"GET /containers/tty/json": inspected(true),
		"GET /containers/c1full/logs": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "\x01\x00\x00\x00\x00\x00\x00\x03out\x02\x00\x00\x00\x00\x00\x00\x03err")
		},
		"POST /containers/c1/stop":    status(204),
		"POST /containers/c2/stop":    fail(500, "cannot stop"),
		"POST /containers/c1/restart": status(204),
		"POST /containers/c1/kill":    status(204),
		"POST /containers/c1/rename":  status(204),
		"POST /containers/c2/rename":  fail(409, "Conflict"),
		"POST /containers/c1/start":   status(204),
		"DELETE /containers/c1":       status(204),
		"DELETE /containers/gone":     fail(404, "No such container: gone"),
		"POST /containers/c1/wait":    answer(container.WaitResponse{StatusCode: 3}),
		"GET /containers/c1/top":      answer(container.TopResponse{Titles: []string{"PID", "CMD"}, Processes: [][]string{{"1", "sh"}}}),
		"POST /containers/prune":      answer(container.PruneReport{ContainersDeleted: []string{"a", "b"}, SpaceReclaimed: 1500}),
		"DELETE /images/i1":           answer([]image.DeleteResponse{{Untagged: "i1:latest"}, {Deleted: "sha256:1"}}),
		"DELETE /images/none":         fail(404, "No such image: none"),
		"POST /images/i1/tag":         status(201),
		"GET /plugins":                answer([]map[string]any{{"Id": "p1", "Name": "p1", "Enabled": true, "Config": map[string]any{"Description": "plugin at /x"}}}),
		"GET /removal/build-cache":    answer(api.Removal{BuildCache: []build.CacheRecord{{ID: "b1", Type: "regular", Size: 7000}}, SpaceReclaimed: 7000}),
		"GET /removal/networks":       answer(api.Removal{Networks: []string{"n1"}}),
		"GET /removal/volumes/v1":     answer(api.Removal{Volumes: []string{"v1"}}),
		"GET /removal/volumes/none":   fail(404, "get none: no such volume"),
		"GET /removal/volumes":        answer(api.Removal{Volumes: []string{"v1"}, SpaceReclaimed: 5}),
		"GET /removal/containers/c1":  answer(api.Removal{Containers: []api.RemovedContainer{{ID: "0123456789abcdef", Name: "one", Kill: true}}, Volumes: []string{"v1"}}),
		"GET /removal/containers":     answer(api.Removal{Containers: []api.RemovedContainer{{ID: "0123456789abcdef", Name: "one"}}, SpaceReclaimed: 1500}),
		"GET /removal/images/i1":      answer(api.Removal{Images: []image.DeleteResponse{{Untagged: "i1:latest"}, {Deleted: "sha256:1"}}}),
		"GET /removal/images":         answer(api.Removal{Images: []image.DeleteResponse{{Deleted: "sha256:1"}}, SpaceReclaimed: 2000}),
		"POST /images/prune":          answer(image.PruneReport{ImagesDeleted: []image.DeleteResponse{{Untagged: "i1:latest"}, {Deleted: "sha256:1"}}, SpaceReclaimed: 2000}),
		"POST /networks/prune":        answer(network.PruneReport{NetworksDeleted: []string{"n1"}}),
		"POST /build/prune":           fail(501, "not supported yet"),
		"GET /system/df": answer(map[string]any{
			"LayersSize": 10e6, "Images": []image.Summary{{Containers: 1, Size: 6e6}, {Size: 4e6}},
			"Containers": []container.Summary{{State: container.StateRunning, SizeRw: 10}},
			"Volumes":    []volume.Volume{{UsageData: &volume.UsageData{Size: 5}}},
		}),
		"GET /system/space":                answer(api.SpaceReport{Items: []api.Space{{What: "container logs", Bytes: 1000}}}),
		"POST /commit":                     answer(container.CommitResponse{ID: "sha256:made"}),
		"GET /images/i1/json":              answer(map[string]any{"Id": "sha256:1", "RepoTags": []string{"i1:latest"}}),
		"GET /containers/json":             answer([]container.Summary{{ID: "0123456789abcdef", Names: []string{"/one"}, Image: "i", State: "running"}}),
		"GET /images/json":                 answer([]image.Summary{{ID: "sha256:0123456789abcdef", RepoTags: []string{"i:1"}}}),
		"POST /containers/c2/start":        fail(404, "No such container: c2"),
		"GET /containers/nothing/json":     fail(404, "No such container: nothing"),
		"GET /images/nothing/json":         fail(404, "No such image: nothing"),
		"GET /containers/i1/json":          fail(404, "No such container: i1"),
		"POST /containers/c1/exec":         answer(map[string]string{"Id": "e1"}),
		"POST /containers/c2/exec":         fail(409, "container c2 is paused, unpause the container before exec"),
		"POST /exec/e1/start":              status(200),
		"GET /containers/v1/json":          fail(404, "No such container: v1"),
		"GET /images/v1/json":              fail(404, "No such image: v1"),
		"GET /volumes/nothing":             fail(404, "get nothing: no such volume"),
		"GET /volumes/none":                fail(404, "get none: no such volume"),
		"GET /volumes/v1":                  answer(vol),
		"GET /volumes":                     answer(volume.ListResponse{Volumes: []volume.Volume{vol}}),
		"POST /volumes/create":             answer(vol),
		"POST /volumes/prune":              answer(volume.PruneReport{VolumesDeleted: []string{"v1"}, SpaceReclaimed: 5}),
		"DELETE /volumes/v1":               status(204),
		"DELETE /volumes/none":             fail(404, "get none: no such volume"),
		"POST /volumes/v1/rename":          answer(vol),
		"POST /volumes/v1/copy":            answer(volume.Volume{Name: "v3", Status: map[string]any{"Warning": "in use"}}),
		"POST /volumes/v1/snapshots":       answer(api.VolumeSnapshot{Name: "now"}),
		"GET /volumes/v1/snapshots":        answer([]api.VolumeSnapshot{{Name: "now", CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}),
		"DELETE /volumes/v1/snapshots":     status(204),
		"POST /volumes/v1/restore":         status(204),
		"POST /volumes/none/restore":       fail(404, "get none: no such volume"),
		"GET /volumes/v1/archive":          func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a tar") },
		"PUT /volumes/v4/archive":          status(201),
		"POST /containers/missing/restart": fail(404, "No such container: missing"),
		"POST /containers/missing/pause":   fail(404, "No such container: missing"),
		"POST /containers/missing/update":  fail(404, "No such container: missing"),
		"GET /containers/missing/stats":    fail(404, "No such container: missing"),
		"POST /containers/c1/pause":        status(204),
		"POST /containers/c1/unpause":      status(204),
		"POST /containers/c1/update":       answer(container.UpdateResponse{Warnings: []string{"some warning"}}),
		"GET /containers/c1/stats":         answer(oneSample()),
	}
	for _, tc := range []struct {
		args      string
		code      int
		out, errs string
		call      string // that must have been made
	}{
		{args: "ps -q", out: "0123456789ab\n", call: "GET /containers/json?brief=1"},
		{args: "ps -q --no-trunc -l", out: "0123456789abcdef\n", call: "GET /containers/json?brief=1&limit=1"},
		{args: "container ls -aqs", out: "0123456789ab\n", call: "GET /containers/json?all=1&brief=1&size=1"},
		{args: "ps --format {{.Names}}", out: "one\n"},
		{args: "ps --format {{.Size}}", out: "0B\n", call: "GET /containers/json?size=1"},
		{args: "ps --format {{.Size}} --size=false", out: "0B\n", call: "GET /containers/json"},
		{args: "ps --format {{.None}}", code: 1, errs: "template parsing error"},
		{args: "ps --format {{", code: 1, errs: "failed to parse template"},
		{args: "ps -f status=exited -f status=created -q", out: "0123456789ab\n", call: "GET /containers/json?filters=%7B%22status%22%3A%7B%22created%22%3Atrue%2C%22exited%22%3Atrue%7D%7D"},
		{args: "images -q", out: "0123456789ab\n"},
		{args: "images --format {{.Repository}}:{{.Tag}} i", out: "i:1\n", call: "GET /images/json?filters=%7B%22reference%22%3A%7B%22i%22%3Atrue%7D%7D"},
		{args: "logs c1", out: "out", errs: "err", call: "GET /containers/c1full/logs?stderr=1&stdout=1"},
		{args: "logs -ft -n 5 c1", out: "out", errs: "err", call: "GET /containers/c1full/logs?follow=1&stderr=1&stdout=1&tail=5&timestamps=1"},
		{args: "stop c1 c2", code: 1, out: "c1\n", errs: "Error response from daemon: cannot stop\n"},
		{args: "stop -t 3 -s INT c1", out: "c1\n", call: "POST /containers/c1/stop?signal=INT&t=3"},
		{args: "stop -t 3 --time 4 c1", code: 1, errs: "conflicting options: cannot specify both --timeout and --time"},
		{args: "restart c1 missing", code: 1, out: "c1\n", errs: "Error response from daemon: No such container: missing\n"},
		{args: "kill -s HUP c1", out: "c1\n", call: "POST /containers/c1/kill?signal=HUP"},
		{args: "rename c1 new", call: "POST /containers/c1/rename?name=new"},
		{args: "rename c2 new", code: 1, errs: "Error response from daemon: Conflict\nError: failed to rename container named c2\n"},
		{args: "start c1 c2", code: 1, out: "c1\n", errs: "Error response from daemon: No such container: c2\nError: failed to start containers: c2\n"},
		{args: "rm /c1 gone", code: 1, out: "/c1\n", errs: "Error response from daemon: No such container: gone\n"},
		{args: "rm -fv c1 gone", out: "c1\n", errs: "Error response from daemon: No such container: gone\n", call: "DELETE /containers/c1?force=1&v=1"},
		{args: "wait c1 c1", out: "3\n3\n"},
		{args: "top c1 -o pid", out: "PID                 CMD\n1                   sh\n", call: "GET /containers/c1/top?ps_args=-o+pid"},
		{args: "pause c1 missing", code: 1, out: "c1\n", errs: "Error response from daemon: No such container: missing\n", call: "POST /containers/c1/pause"},
		{args: "unpause c1", out: "c1\n", call: "POST /containers/c1/unpause"},
		{args: "update c1", code: 1, errs: "you must provide one or more flags when using this command"},
		{args: "update -m 64m --pids-limit -1 --restart on-failure:3 c1", out: "c1\nsome warning\n", call: "POST /containers/c1/update"},
		{args: "update --restart on-failure:x c1", code: 1, errs: "maximum retry count must be an integer"},
		{args: "update --cpus 1 missing", code: 1, errs: "Error response from daemon: No such container: missing\n"},
		{
			args: "stats --no-stream --format {{.Container}}|{{.Name}}|{{.CPUPerc}}|{{.MemUsage}}|{{.MemPerc}}|{{.NetIO}}|{{.BlockIO}}|{{.PIDs}} c1",
			out:  "c1|web|50.00%|3MiB / 8MiB|37.50%|1.5kB / 20B|4.1kB / 0B|7\n", call: "GET /containers/c1/stats?stream=false",
		},
		{
			args: "stats --no-stream c1 missing", code: 1, errs: "Error response from daemon: No such container: missing\n",
			out: "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O       BLOCK I/O    PIDS\n" +
				"0123456789ab   web       50.00%    3MiB / 8MiB         37.50%    1.5kB / 20B   4.1kB / 0B   7\n",
		},
		{args: "stats --format {{ c1", code: 1, errs: "failed to parse template"},
		{args: "port c1", out: "9/udp -> 127.0.0.1:99\n80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"},
		{args: "port c1 80", out: "0.0.0.0:8080\n[::]:8080\n"},
		{args: "port c1 443/tcp", code: 1, errs: "Error: No public port '443/tcp' published for c1\n"},
		{args: "port c1 x", code: 1, errs: "Error: invalid port (x)"},
		{args: "container prune -f", out: "Deleted Containers:\na\nb\n\nTotal reclaimed space: 1.5kB\n"},
		{args: "container prune", code: 1, errs: "container prune has been cancelled\n"},
		{args: "rmi i1", out: "Untagged: i1:latest\nDeleted: sha256:1\n"},
		{args: "rmi none", code: 1, errs: "Error response from daemon: No such image: none\n"},
		{args: "rmi -f none i1", out: "Untagged: i1:latest\nDeleted: sha256:1\n", errs: "No such image: none\n", call: "DELETE /images/i1?force=1"},
		{args: "commit -a me -m why --no-pause c1 a", out: "sha256:made\n", call: "POST /commit?author=me&comment=why&container=c1&pause=0&repo=docker.io%2Flibrary%2Fa&tag=latest"},
		{args: "plugin ls", out: "ID        NAME      DESCRIPTION    ENABLED\np1        p1        plugin at /x   true\n"},
		{args: "plugin ls -q -f enabled=true", out: "p1\n", call: "GET /plugins?filters=%7B%22enabled%22%3A%7B%22true%22%3Atrue%7D%7D"},
		{args: "commit -p=false --no-pause c1", code: 1, errs: "conflicting options"},
		{args: "tag i1 reg/x:2", call: "POST /images/i1/tag?repo=docker.io%2Freg%2Fx&tag=2"},
		{args: "inspect -f {{.Name}} c1", out: "/c1\n"},
		{args: "inspect --type image -f {{.Id}} i1", out: "sha256:1\n"},
		{args: "inspect -f {{.RepoTags}} i1", out: "[i1:latest]\n"},
		{args: "inspect i1", out: "[\n    {\n        \"Id\": \"sha256:1\",\n        \"RepoTags\": [\n            \"i1:latest\"\n        ]\n    }\n]\n"},
		{args: "inspect nothing", code: 1, out: "[]\n", errs: "Error: No such object: nothing\n"},
		{args: "inspect --type container nothing", code: 1, out: "[]\n", errs: "Error response from daemon: No such container: nothing\n"},
		{args: "inspect --type node x", code: 1, errs: `unknown type: "node": must be one of "container", "image", "network", "volume"`},
		{args: "inspect -f {{.Mountpoint}} v1", out: "/m/v1\n"},
		{args: "inspect --type volume -f {{.Name}} v1", out: "v1\n"},
		{args: "volume ls", out: "DRIVER    VOLUME NAME\nlocal     v1\n", call: "GET /volumes"},
		{args: "volume ls --format raw", out: "name: v1\ndriver: local\n\n"},
		{args: "volume ls -q --format raw", out: "name: v1\n"},
		{args: "stats --no-stream nothing", code: 1, errs: "GET /containers/nothing/stats"},
		{args: "port c1 99999", code: 1, errs: "value out of range"},
		{args: "volume ls -q -f dangling=true", out: "v1\n", call: "GET /volumes?filters=%7B%22dangling%22%3A%7B%22true%22%3Atrue%7D%7D"},
		{args: "volume ls --format {{.Name}},{{.Labels}},{{.Size}}", out: "v1,a=b,N/A\n"},
		{args: "volume create -o type=tmpfs -o device=tmpfs --label a=b v1", out: "v1\n"},
		{args: "volume create --name x v1", code: 1, errs: "conflicting options: cannot specify a volume name through both --name and as a positional arg\n"},
		{args: "volume inspect -f {{.Name}} v1", out: "v1\n"},
		{args: "volume rm -f v1 none", code: 1, out: "v1\n", errs: "Error response from daemon: get none: no such volume\n", call: "DELETE /volumes/v1?force=1"},
		{args: "volume rm --dry-run v1 none", code: 1, out: "Would remove volume: v1\n", errs: "Error response from daemon: get none: no such volume\n"},
		{args: "rm --dry-run -f c1", out: "Would remove container: 0123456789ab one (after killing it)\nWould remove volume: v1\n", call: "GET /removal/containers/c1?force=1"},
		{args: "rmi --dry-run i1", out: "Would untag image: i1:latest\nWould remove image: sha256:1\n", call: "GET /removal/images/i1"},
		{args: "container prune --dry-run --filter until=1h", out: "Would remove container: 0123456789ab one\nTotal space that would be reclaimed: 1.5kB\n", call: "GET /removal/containers?filters=%7B%22until%22%3A%7B%221h%22%3Atrue%7D%7D"},
		{args: "image prune -a --dry-run", out: "Would remove image: sha256:1\nTotal space that would be reclaimed: 2kB\n", call: "GET /removal/images?filters=%7B%22dangling%22%3A%7B%22false%22%3Atrue%7D%7D"},
		{args: "image prune -f", out: "Deleted Images:\nuntagged: i1:latest\ndeleted: sha256:1\n\nTotal reclaimed space: 2kB\n", call: "POST /images/prune?filters=%7B%22dangling%22%3A%7B%22true%22%3Atrue%7D%7D"},
		{args: "image prune", code: 1, out: "WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] ", errs: "image prune has been cancelled"},
		{args: "system prune --dry-run -a --volumes", out: "Would remove container: 0123456789ab one\nWould remove network: n1\nWould remove volume: v1\nWould remove image: sha256:1\nWould remove build cache: b1 (regular, 7kB)\nTotal space that would be reclaimed: 10.51kB\nWhat only these containers use would go as well; it is not counted.\n", call: "GET /removal/build-cache?all=1&filters=null"},
		{args: "system prune --volumes --filter until=1h", code: 1, errs: `ERROR: The "until" filter is not supported with "--volumes"`},
		{args: "system prune --filter label=a", code: 1, out: "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  - all dangling images\n  - unused build cache\n\n  Items to be pruned will be filtered with:\n  - label=a\n\nAre you sure you want to continue? [y/N] ", errs: "system prune has been cancelled"},
		{args: "system prune -f", out: "Deleted Containers:\na\nb\n\nDeleted Networks:\nn1\n\nDeleted Images:\nuntagged: i1:latest\ndeleted: sha256:1\n\nTotal reclaimed space: 3.5kB\n"},
		{args: "system df", out: "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\nImages          2         1         10MB      4MB (40%)\nContainers      1         1         10B       0B (0%)\nLocal Volumes   1         0         5B        5B (100%)\nBuild Cache     0         0         0B        0B\n", call: "GET /system/df"},
		{args: "system df --format {{.Type}}:{{.Size}}", out: "Images:10MB\nContainers:10B\nLocal Volumes:5B\nBuild Cache:0B\n"},
		{args: "system df -v --format {{range.Images}}{{.UniqueSize}},{{end}}{{range.Space}}{{.What}}={{.Size}}{{end}}", out: "6MB,4MB,container logs=1kB\n", call: "GET /system/df?verbose=1"},
		{args: "volume prune -f", out: "Deleted Volumes:\nv1\n\nTotal reclaimed space: 5B\n"},
		{args: "volume prune -af", call: "POST /volumes/prune?filters=%7B%22all%22%3A%7B%22true%22%3Atrue%7D%7D"},
		{args: "volume prune", code: 1, errs: "volume prune has been cancelled\n"},
		{args: "volume prune --dry-run", out: "Would remove volume: v1\nTotal space that would be reclaimed: 5B\n", call: "GET /removal/volumes?filters=null"},
		{args: "volume mv v1 v2", call: "POST /volumes/v1/rename?name=v2"},
		{args: "volume cp v1 v3", out: "v3\n", errs: "WARNING: in use\n"},
		{args: "volume snapshot v1", out: "now\n", call: "POST /volumes/v1/snapshots"},
		{args: "volume snapshot -l v1", out: "SNAPSHOT   CREATED\nnow        2026-01-02 03:04:05\n"},
		{args: "volume snapshot --rm v1 now", call: "DELETE /volumes/v1/snapshots?snapshot=now"},
		{args: "volume snapshot --rm --dry-run v1 now", out: "Would remove snapshot: now of volume v1\n"},
		{args: "volume snapshot --rm --dry-run v1 then", code: 1, errs: "volume v1 has no snapshot \"then\"\n"},
		{args: "volume snapshot --dry-run v1 now", code: 1, errs: "--dry-run goes with --rm\n"},
		{args: "volume snapshot --rm v1", code: 1, errs: "--rm needs the name of a snapshot\n"},
		{args: "volume restore v1 now", call: "POST /volumes/v1/restore?snapshot=now"},
		{args: "volume restore none now", code: 1, errs: "Error response from daemon: get none: no such volume\n"},
		{args: "volume export v1", out: "a tar"},
		{args: "volume import - v4", out: "v4\n", call: "PUT /volumes/v4/archive"},
		{args: "inspect -f {{ c1", code: 64, errs: "template parsing error"},
		{args: "exec -d c1 ls -l", call: "POST /exec/e1/start"},
		{args: "container exec -dt -u 1 -w / -e A=b c1 ls", call: "POST /containers/c1/exec"},
		{args: "exec c2 ls", code: 1, errs: "Error response from daemon: container c2 is paused, unpause the container before exec\n"},
		{args: "exec c1", code: 1, errs: "berth: 'berth exec' requires at least 2 arguments\n"},
		{args: "exec -it c1 sh", code: 1, errs: "the input device is not a TTY\n"},
		{args: "exec -e =x c1 sh", code: 125, errs: "invalid environment variable: =x"},
		{args: "exec --env-file /nosuch c1 sh", code: 1, errs: "open /nosuch: no such file or directory"},
		{args: "attach tty", code: 1, errs: "the input device is not a TTY\n"},
		{args: "-D tag i1 reg/x:2", errs: "DEBUG: POST /v1.51/images/i1/tag?repo=docker.io%2Freg%2Fx&tag=2: 201 Created\n"},
	} {
		d := newFake(t, routes)
		args := strings.Split(tc.args, " ")
		code, out, errs := d.run("", args...)
		if code != tc.code || tc.out != "" && out != tc.out || !strings.Contains(errs, tc.errs) || tc.errs == "" && errs != "" {
			t.Errorf("%s: got %d, %q, %q", tc.args, code, out, errs)
		}
		if tc.call != "" && !d.called(tc.call) {
			t.Errorf("%s: %q is not among %q", tc.args, tc.call, d.calls)
		}
	}
}

func TestAttach(t *testing.T) {
	b := &box{out: "hi", code: 4}
	b.request.Config = &container.Config{}
	routes := b.routes()
	routes["GET /containers/c1/json"] = answer(container.InspectResponse{ID: "c1", State: &container.State{Running: true}, Config: &container.Config{}, HostConfig: &container.HostConfig{}})
	routes["GET /containers/off/json"] = answer(container.InspectResponse{ID: "off", State: &container.State{}, Config: &container.Config{}})
	close(b.started)
	d := newFake(t, routes)
	if code, out, errs := d.run("", "attach", "c1"); code != 4 || out != "hi" {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	if code, _, errs := d.run("", "attach", "off"); code != 1 || errs != "You cannot attach to a stopped container, start it first\n" {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestStartAttached(t *testing.T) {
	b := &box{out: "hi", code: 5}
	b.request.Config = &container.Config{AttachStdout: true}
	routes := b.routes()
	routes["GET /containers/c1/json"] = answer(container.InspectResponse{ID: "c1", State: &container.State{}, Config: &container.Config{}, HostConfig: &container.HostConfig{AutoRemove: true}})
	d := newFake(t, routes)
	if code, out, errs := d.run("", "start", "-a", "c1"); code != 5 || out != "hi" || !d.called("POST /containers/c1/wait?condition=removed") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	if code, _, errs := d.run("", "start", "-a", "c1", "c2"); code != 1 || errs != "you cannot start and attach multiple containers at once\n" {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestPull(t *testing.T) {
	var auth string
	d := newFake(t, map[string]http.HandlerFunc{"POST /images/create": func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("X-Registry-Auth")
		fmt.Fprintln(w, `{"status":"Pulling from x","id":"latest"}`)
		fmt.Fprintln(w, `{"errorDetail":{"message":"manifest unknown"},"error":"manifest unknown"}`)
	}})
	code, out, errs := d.run("", "pull", "reg.example/x")
	if code != 1 || out != "Using default tag: latest\nlatest: Pulling from x\n" || errs != "manifest unknown\n" || auth != "" {
		t.Errorf("got %d, %q, %q, auth %q", code, out, errs, auth)
	}
	d.routes["POST /images/create"] = func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("X-Registry-Auth")
		fmt.Fprintln(w, `{"status":"Status: Image is up to date for reg.example/x:1"}`)
	}
	cfg := filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json")
	if err := os.WriteFile(cfg, []byte(`{"auths":{"reg.example":{"auth":"YTpi"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ = d.run("", "pull", "-q", "--platform", "linux/arm64", "reg.example/x:1")
	if code != 0 || out != "reg.example/x:1\n" || auth == "" || !d.called("POST /images/create?fromImage=reg.example%2Fx&platform=linux%2Farm64&tag=1") {
		t.Errorf("got %d, %q, auth %q, %q", code, out, auth, d.calls)
	}
	if code, _, _ = d.run("", "pull", "other.example/x:1"); code != 0 || auth != "" {
		t.Errorf("credentials went to another registry: %q", auth)
	}
	if code, _, errs = d.run("", "pull", "-a", "x:1"); code != 1 || errs != "tag can't be used with --all-tags/-a\n" {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestPush(t *testing.T) {
	d := newFake(t, map[string]http.HandlerFunc{"POST /images/reg.example/x/push": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"status":"The push refers to repository [reg.example/x]"}`)
		fmt.Fprintln(w, `{"aux":{"manifestPushedInsteadOfIndex":true,"originalIndex":{"digest":"sha256:one"},"selectedManifest":{"digest":"sha256:two"}}}`)
		fmt.Fprintln(w, `{"status":"1: digest: sha256:two size: 3"}`)
	}})
	code, out, errs := d.run("", "push", "reg.example/x")
	if code != 0 || out != "Using default tag: latest\nThe push refers to repository [reg.example/x]\n1: digest: sha256:two size: 3\n" ||
		!strings.Contains(errs, "sha256:one -> sha256:two") || !d.called("POST /images/reg.example/x/push?tag=latest") {
		t.Errorf("got %d, %q, %q, %q", code, out, errs, d.calls)
	}
	if code, out, _ = d.run("", "image", "push", "-a", "-q", "reg.example/x"); code != 0 || out != "reg.example/x\n" || !d.called("POST /images/reg.example/x/push") {
		t.Errorf("got %d, %q, %q", code, out, d.calls)
	}
	if code, _, errs = d.run("", "push", "-a", "x:1"); code != 1 || errs != "tag can't be used with --all-tags/-a\n" {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestSaveLoad(t *testing.T) {
	var got string
	d := newFake(t, map[string]http.HandlerFunc{
		"GET /images/get": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "tar") },
		"POST /images/load": func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			got = string(data)
			fmt.Fprintln(w, `{"stream":"Loaded image: x:1\n"}`)
		},
	})
	if code, out, errs := d.run("", "save", "x:1", "y"); code != 0 || out != "tar" || !d.called("GET /images/get?names=x%3A1&names=y") {
		t.Errorf("got %d, %q, %q, %q", code, out, errs, d.calls)
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if code, _, errs := d.run("", "image", "save", "-o", file, "x:1"); code != 0 {
		t.Errorf("got %d, %q", code, errs)
	}
	code, out, errs := d.run("", "load", "-i", file)
	if code != 0 || out != "Loaded image: x:1\n" || got != "tar" || !d.called("POST /images/load?quiet=1") {
		t.Errorf("got %d, %q, %q, %q", code, out, errs, got)
	}
	if code, out, _ = d.run("stream", "load", "-q"); code != 0 || out != "Loaded image: x:1\n" || got != "stream" {
		t.Errorf("got %d, %q, %q", code, out, got)
	}
	if code, _, errs = d.run("", "load", "-i", file+".no"); code != 1 || !strings.Contains(errs, "no such file") {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestImport(t *testing.T) {
	var got string
	d := newFake(t, map[string]http.HandlerFunc{"POST /images/create": func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got = string(data)
		fmt.Fprintln(w, `{"status":"sha256:x"}`)
	}})
	if code, out, errs := d.run("tar", "import", "-c", "CMD x", "-m", "why", "-", "a:b"); code != 0 || out != "sha256:x\n" || got != "tar" ||
		!d.called("POST /images/create?changes=CMD+x&fromSrc=-&message=why&repo=a%3Ab") {
		t.Errorf("got %d, %q, %q, %q", code, out, errs, d.calls)
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, []byte("file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := d.run("", "image", "import", file); code != 0 || got != "file" || !d.called("POST /images/create?fromSrc=-") {
		t.Errorf("got %d, %q, %q", code, errs, d.calls)
	}
	if code, _, errs := d.run("", "import", "https://x.example/y.tar", "a"); code != 0 || got != "" || !d.called("POST /images/create?fromSrc=https%3A%2F%2Fx.example%2Fy.tar&repo=a") {
		t.Errorf("got %d, %q, %q", code, errs, d.calls)
	}
}

func TestSearch(t *testing.T) {
	d := newFake(t, map[string]http.HandlerFunc{"GET /images/search": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"name":"few","star_count":1,"description":"a\nb"},{"name":"many","star_count":9,"is_official":true,"description":"`+strings.Repeat("x", 50)+`"}]`)
	}})
	want := "NAME      DESCRIPTION                                     STARS     OFFICIAL\n" +
		"many      " + strings.Repeat("x", 44) + "…   9         [OK]\n" +
		"few       a b                                             1         \n"
	if code, out, errs := d.run("", "search", "--limit", "2", "-f", "stars=1", "t"); code != 0 || out != want {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	if !d.called(`GET /images/search?filters=%7B%22stars%22%3A%7B%221%22%3Atrue%7D%7D&limit=2&term=t`) {
		t.Errorf("%q", d.calls)
	}
}

func TestEvents(t *testing.T) {
	d := newFake(t, map[string]http.HandlerFunc{"GET /events": func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"Type":"container","Action":"die","Actor":{"ID":"c1","Attributes":{"name":"x","exitCode":"0"}},"scope":"local","time":1700000000,"timeNano":1700000000123456789}`)
	}})
	t.Setenv("TZ", "UTC")
	code, out, errs := d.run("", "events", "--since", "1", "--until", "2", "-f", "type=container")
	if code != 0 || !strings.HasSuffix(out, " container die c1 (exitCode=0, name=x)\n") || !strings.Contains(out, ".123456789") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
	if code, out, _ = d.run("", "events", "--format", "{{.Action}} {{.Actor.ID}}"); code != 0 || out != "die c1\n" {
		t.Errorf("got %d, %q", code, out)
	}
	if code, out, _ = d.run("", "events", "--format", "json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("got %d, %q", code, out)
	}
	if code, _, errs = d.run("", "events", "--format", "{{.Nope}}"); code != 64 || !strings.HasPrefix(errs, "Error parsing format: ") {
		t.Errorf("got %d, %q", code, errs)
	}
}

func TestVersionAndInfo(t *testing.T) {
	d := newFake(t, map[string]http.HandlerFunc{
		"GET /version": answer(system.VersionResponse{
			Platform: system.PlatformInfo{Name: "Berth"}, Version: "1.0", APIVersion: "1.51", MinAPIVersion: "1.24", Os: "linux", Arch: "amd64",
			Components: []system.ComponentVersion{
				{Name: "Engine", Version: "1.0", Details: map[string]string{"ApiVersion": "1.51", "MinAPIVersion": "1.24", "GitCommit": "abc", "GoVersion": "go1.26", "Os": "linux", "Arch": "amd64", "BuildTime": "2026-01-02T03:04:05.000000000+00:00", "Experimental": "false"}},
				{Name: "berth-sandbox", Version: "1.0", Details: map[string]string{"GitCommit": "abc"}},
			},
		}),
		"GET /info": answer(system.Info{
			Containers: 3, ContainersRunning: 1, Images: 2, ServerVersion: "1.0", Driver: "overlayfs", DriverStatus: [][2]string{{"driver-type", "x"}},
			SecurityOptions: []string{"name=seccomp,profile=builtin"}, NCPU: 2, MemTotal: 4 << 30, DockerRootDir: "/var/lib/berth", OSType: "linux",
			Warnings:       []string{"WARNING: careful"},
			RegistryConfig: &registry.ServiceConfig{Mirrors: []string{"http://m/"}, InsecureRegistryCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		}),
	})
	code, out, errs := d.run("", "version")
	if code != 0 || errs != "" {
		t.Errorf("got %d, %q", code, errs)
	}
	lines := strings.Split(out, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, " Go version:") {
			lines[i] = " Go version:        X"
		}
	}
	golden.Compare(t, "version.golden", strings.Join(lines, "\n"))
	if code, out, _ = d.run("", "version", "-f", "{{.Client.Version}} {{.Server.APIVersion}} {{.Server.GitCommit}}"); code != 0 || out != "1.2 1.51 abc\n" {
		t.Errorf("got %d, %q", code, out)
	}
	code, out, errs = d.run("", "info")
	if code != 0 || errs != "WARNING: careful\n" {
		t.Errorf("got %d, %q", code, errs)
	}
	golden.Compare(t, "info.golden", out)
	if code, out, _ = d.run("", "info", "-f", "{{.ServerVersion}} {{.ClientInfo.Version}}"); code != 0 || out != "1.0 1.2\n" {
		t.Errorf("got %d, %q", code, out)
	}
}

func TestVersionWithoutDaemon(t *testing.T) {
	newFake(t, nil)
	code, out, errs := runCLI(t, "", "-H", "unix:///nonexistent", "version")
	if code != 1 || !strings.HasPrefix(out, "Client: Berth\n Version:           1.2\n") || !strings.HasPrefix(errs, "Cannot connect to the Berth daemon") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
}

func TestBrokenConfig(t *testing.T) {
	d := newFake(t, map[string]http.HandlerFunc{"GET /containers/json": answer([]container.Summary{})})
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := d.run("", "ps", "-q"); code != 0 || !strings.HasPrefix(errs, "WARNING: Error loading config file: ") {
		t.Errorf("got %d, %q", code, errs)
	}
}
